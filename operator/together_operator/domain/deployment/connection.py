"""Where applications find the endpoint: a ConfigMap with base URL and model string, never a key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from together_operator.api.v1alpha1 import Connection, ModelDeployment
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.actions import DeploymentPlan, Publish, Unpublish
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.status import (
    PUBLISH,
    busy,
    failed,
    failure,
    planned,
    stalled,
)
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After
from together_operator.domain.plan import has_finalizer, is_deleting

_HOSTED = "https://api.together.ai"
_CHAT = "https://api-inference.together.ai/v1"
"""Together's own host for chat; everything else, and every other base URL, has one host for all."""


def inference_url(base_url: str, *, is_embedding: bool) -> str:
    """Base URL for OpenAI's clients, from that of Together's API."""
    base = base_url.rstrip("/")
    return _CHAT if base == _HOSTED and not is_embedding else f"{base}/v1"


def names_to_look_at(md: ModelDeployment) -> tuple[str, ...]:
    """ConfigMaps that are or shall be this object's."""
    if not has_finalizer(md) or is_deleting(md):
        return ()  # with its owner, Kubernetes deletes it
    both = (md.status.connection, md.spec.connection)
    return tuple({c.config_map_name: None for c in both if c is not None})


def data_of(o: Observed) -> dict[str, str] | None:
    """What the ConfigMap shall hold; None before there is an endpoint."""
    endpoint = o.md.status.endpoint
    if endpoint is None or not endpoint.name:
        return None
    url = inference_url(o.process.base_url, is_embedding=o.is_embedding)
    return {"baseURL": url, "model": endpoint.name}


def manifest(md: ModelDeployment, name: str, data: Mapping[str, str]) -> dict[str, Any]:
    """The ConfigMap, which Kubernetes deletes with its owner should nobody else do so."""
    owner = {
        "apiVersion": md.api_version,
        "kind": md.kind,
        "name": md.metadata.name,
        "uid": md.metadata.uid,
        "controller": True,
    }
    labels = {
        "app.kubernetes.io/managed-by": "together-operator",
        "together.ai/modeldeployment": md.metadata.name,
    }
    metadata = {"name": name, "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def connected(o: Observed, now: datetime, plan: DeploymentPlan) -> DeploymentPlan:
    """The plan, which last of all, once everything else is done, makes the ConfigMap true."""
    if plan.action is not None or is_deleting(o.md) or not is_ready(plan):
        return plan
    if o.config_map_error is not None:
        # It must not keep anything from being scaled or stopped: it is told last of all.
        told = replace(o, md=o.md.model_copy(update={"status": plan.status}))
        return failure(told, now, StageError(PUBLISH, o.config_map_error))
    status, known, wanted = plan.status, o.md.status.connection, o.md.spec.connection
    if known is not None and known != wanted:
        if _is_ours(o, known):
            say = busy(PUBLISH, Reason.PUBLISHING, f"Deleting ConfigMap {known.config_map_name}")
            return planned(o, now, say, After(0), Unpublish(known.config_map_name), status)
        status = status.model_copy(update={"connection": None})
        plan = replace(plan, status=status)
    data = data_of(o)
    if wanted is None or data is None:
        return plan
    name = wanted.config_map_name
    there = o.config_maps.get(name)
    if there is not None and not there.is_ours:
        message = (
            f"ConfigMap {name} is there already and is not this object's: choose another "
            "spec.connection.configMapName, or delete it. The endpoint itself answers."
        )
        return failed(o, now, stalled(PUBLISH, Reason.CONFIG_MAP_TAKEN, message), status)
    # Stored before it is written, so that it is found again whatever becomes of the spec.
    status = status.model_copy(update={"connection": wanted})
    if there is not None and dict(there.data) == data:
        return replace(plan, status=status)
    say = busy(PUBLISH, Reason.PUBLISHING, f"Writing ConfigMap {name}")
    return planned(o, now, say, After(0), Publish(name, data), status)


def _is_ours(o: Observed, connection: Connection) -> bool:
    there = o.config_maps.get(connection.config_map_name)
    return there is not None and there.is_ours


def is_ready(plan: DeploymentPlan) -> bool:
    """True when nothing else is left to do."""
    return any(c.type == "Ready" and c.status == "True" for c in plan.status.conditions)
