"""Fields of a ModelDeployment."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    TOO_BIG,
    TOO_SMALL,
    Case,
    Refusal,
    values,
)
from tests.integration.crds.manifests import (
    ABSENT,
    DEPLOYMENT,
    DEPLOYMENT_BY_CONFIG,
    changed,
)

DEPLOYMENTS = [
    *values(
        DEPLOYMENT,
        "spec.modelRef.name",
        accepted=("a", "model.v1-2"),
        refused={
            "acme/model": "not the model's name at Together",
            "ML_1": "must be the name of a CustomModel",
            "": "at least 1",
        },
    ),
    Case(
        "no model",
        changed(DEPLOYMENT, {"spec.modelRef": ABSENT}),
        Refusal("spec.modelRef", "Required value"),
    ),
    *values(
        DEPLOYMENT,
        "spec.hardware.gpu",
        accepted=("nvidia-b200",),
        refused={"NVIDIA H100": "in lower case, such as nvidia-h100-80gb"},
    ),
    *values(
        DEPLOYMENT,
        "spec.hardware.count",
        accepted=(1, 8),
        refused={0: TOO_SMALL, 9: TOO_BIG},
    ),
    *values(
        DEPLOYMENT,
        "spec.optimization",
        accepted=("balanced", "latency"),
        refused={"Balanced": "in lower case: balanced, throughput or latency"},
    ),
    *values(
        DEPLOYMENT_BY_CONFIG,
        "spec.config",
        accepted=("cr_1",),
        refused={"1xnvidia-h100-80gb": "begins with cr_"},
    ),
    *values(
        DEPLOYMENT,
        "spec.replicas",
        accepted=(0, 1000),
        refused={-1: TOO_SMALL, 1001: TOO_BIG},
    ),
    *(
        Case(
            f"config beside {field}",
            changed(DEPLOYMENT_BY_CONFIG, {f"spec.{field}": value}),
            Refusal("spec.config", "remove them, or remove config"),
        )
        for field, value in (
            ("hardware", {"gpu": "nvidia-h100-80gb"}),
            ("optimization", "latency"),
        )
    ),
]
