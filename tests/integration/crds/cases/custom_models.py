"""The other fields of a CustomModel."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    values,
)
from tests.integration.crds.manifests import (
    FROM_PREFIX,
)

CUSTOM_MODELS = [
    *values(
        FROM_PREFIX,
        "spec.type",
        accepted=("TextGeneration", "Embedding", "Adapter"),
        refused={"Image": ENUM},
    ),
    *values(
        FROM_PREFIX,
        "spec.baseModel",
        accepted=("ml_CZaQ8Kx2", "Qwen/Qwen2.5-7B"),
        refused={"https://huggingface.co/a/b": "leave out https://", "a b": "base model in"},
    ),
    *values(
        FROM_PREFIX,
        "spec.description",
        accepted=("", "a" * 1000),
        refused={"a" * 1001: "may not be more than 1000"},
    ),
    *values(
        FROM_PREFIX,
        "spec.visibility",
        accepted=("Private", "Internal"),
        refused={"Public": ENUM},
    ),
]
