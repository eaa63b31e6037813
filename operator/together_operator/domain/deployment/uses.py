"""Which models a ModelDeployment uses, from its body alone: none of them may be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from together_operator.domain.together import DOWN


def wanted_model(body: Mapping[str, Any]) -> str | None:
    """Name of the CustomModel that the spec refers to, if it refers to one."""
    reference = body.get("spec", {}).get("modelRef")
    return reference.get("name") if reference else None


def models_in_use(body: Mapping[str, Any]) -> Iterator[str]:
    """Ids (ml_...) of the models that its deployments at Together run, by its status.

    In the middle of a change they are others than the one that the spec refers to, and the one to
    which a change by Recreate may have to return.
    """
    status = body.get("status") or {}
    if status.get("objectUID") not in {None, body["metadata"].get("uid")}:
        return  # it was written for another object
    served = (status.get("model") or {}).get("id")
    current, previous = status.get("deployment") or {}, status.get("previous") or {}
    rollout = status.get("rollout") or {}
    target = rollout.get("target") or {}
    found = (
        (current, served or current.get("model")),
        *((d, d.get("model")) for d in (previous, target)),
    )
    for deployment, model in found:
        if model and deployment.get("id") and deployment.get("state") not in DOWN:
            yield model
    source = ((rollout.get("source") or {}).get("model") or "").split("/")
    if len(source) > 3:
        yield source[3]
