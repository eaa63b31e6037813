"""ModelDeployments that serve, and what a look at Together then finds. Times are around NOW."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.unit.domain.situations import NOW, PROCESS
from together_operator.api.v1alpha1 import (
    Cost,
    CustomModel,
    CustomModelPhase,
    DeploymentStatus,
    EndpointStatus,
    ModelDeployment,
    ModelDeploymentStatus,
    ModelStatus,
)
from together_operator.domain.deployment import decide
from together_operator.domain.deployment.actions import DeploymentPlan
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.plan import FINALIZER
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    Endpoint,
    InstanceType,
    TrafficShare,
)

Spec = Mapping[str, Any]
CONFIG = Config("cr_1", "proj_platform", "nvidia-h100-80gb", 1, "balanced")
PRICE = InstanceType(CONFIG.instance_type, "H100", 1, 400.0)
"""Four dollars a replica and hour."""

DEPLOYMENT = Deployment(
    id="dep_1",
    name="acme/team-serve/serve-1",
    endpoint_id="ep_1",
    state=DeploymentState.READY,
    model="projects/proj_1/models/ml_1/revisions/rv_1",
    config=CONFIG.resource,
    min_replicas=1,
    max_replicas=1,
    ready_replicas=1,
    scheduled_replicas=1,
    desired_replicas=1,
)
ENDPOINT = Endpoint(
    id="ep_1",
    name="acme/team-serve",
    project_id="proj_1",
    etag="1",
    traffic=(TrafficShare("dep_1", 100.0),),
)
MODEL = CustomModel.model_validate(
    {
        "metadata": {"name": "model", "namespace": "team", "uid": "uid-model"},
        "spec": {"source": {"huggingFace": {"repo": "org/model"}}},
        "status": {
            "observedGeneration": 1,
            "phase": CustomModelPhase.READY,
            "model": {"id": "ml_1", "name": "acme/team-model", "revision": "rv_1"},
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Ready",
                    "message": "",
                    "lastTransitionTime": NOW,
                }
            ],
        },
    }
)


def model_deployment(
    spec: Spec | None = None,
    status: ModelDeploymentStatus | None = None,
    *,
    created: datetime = NOW - timedelta(hours=1),
    generation: int = 1,
    deleted: bool = False,
) -> ModelDeployment:
    """An object as the API server returns it."""
    metadata: dict[str, Any] = {
        "name": "serve",
        "namespace": "team",
        "uid": "uid-serve",
        "generation": generation,
        "creationTimestamp": created,
        "finalizers": [FINALIZER],
    }
    if deleted:
        metadata["deletionTimestamp"] = NOW
    whole = {"modelRef": {"name": "model"}, **(spec or {})}
    kept = status or ModelDeploymentStatus()
    return ModelDeployment.model_validate({"metadata": metadata, "spec": whole, "status": kept})


SERVING = ModelDeploymentStatus(
    observed_generation=1,
    model=ModelStatus(id="ml_1", name="acme/team-model", revision="rv_1"),
    endpoint=EndpointStatus(id=ENDPOINT.id, name=ENDPOINT.name),
    deployment=DeploymentStatus(
        id=DEPLOYMENT.id,
        name="serve-1",
        state="READY",
        config=CONFIG.id,
        hardware=CONFIG.instance_type,
        revision="rv_1",
    ),
    replicas=1,
    ready_replicas=1,
    cost=Cost(per_replica_hour="4.00", per_hour="4.00"),
)


def serving(spec: Spec | None = None, live: Deployment = DEPLOYMENT, **status: Any) -> Observed:
    """The deployment is there, and `status` says so."""
    kept = SERVING.model_copy(update=status)
    return seen(model_deployment(spec, kept), live)


def seen(md: ModelDeployment, live: Deployment | None = DEPLOYMENT) -> Observed:
    """An observation of an object with its endpoint and deployment."""
    return Observed(
        md,
        PROCESS,
        model=MODEL,
        configs=(CONFIG,),
        instance_types=(PRICE,),
        endpoint=ENDPOINT,
        **found(live),
    )


def found(live: Deployment | None) -> dict[str, Any]:
    """The part of an observation that is about deployments."""
    return {"deployments": (live,) if live is not None else ()}


def stopped(live: Deployment = DEPLOYMENT) -> Deployment:
    """The same, stopped by bounds of 0."""
    return replace(
        live,
        state=DeploymentState.STOPPED,
        desired_replicas=0,
        min_replicas=0,
        max_replicas=0,
        ready_replicas=0,
        scheduled_replicas=0,
    )


def after(observed: Observed, now: datetime = NOW) -> DeploymentPlan:
    """The plan for an observation."""
    return decide(observed, now)


def ready(plan: DeploymentPlan) -> tuple[str, str]:
    """Status and reason of `Ready`."""
    condition = next(c for c in plan.status.conditions if c.type == "Ready")
    return condition.status.value, condition.reason


def message(plan: DeploymentPlan) -> str:
    """What it says to people."""
    return next(c.message for c in plan.status.conditions if c.type == "Ready")
