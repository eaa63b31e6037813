"""How a ModelDeployment's status comes about."""

from __future__ import annotations

from together_operator.api.v1alpha1 import (
    Cost,
    DeploymentStatus,
    EndpointStatus,
    ModelDeployment,
    ModelDeploymentPhase,
    ModelDeploymentStatus,
    ModelStatus,
)
from together_operator.domain.conditions import DELETION, Health, Reason, Situation, Stage
from together_operator.domain.telling import Telling
from together_operator.domain.text import dollars
from together_operator.domain.together import Deployment, Endpoint

MODEL, DEPLOY, ROUTE = "ModelReady", "Deployed", "Routed"

_PHASES = {
    Reason.DEGRADED: ModelDeploymentPhase.DEGRADED,
    Reason.PROVISIONING: ModelDeploymentPhase.PROVISIONING,
    Reason.CREATING_DEPLOYMENT: ModelDeploymentPhase.PROVISIONING,
    Reason.ROUTING: ModelDeploymentPhase.PROVISIONING,
    Reason.SCALING: ModelDeploymentPhase.SCALING,
    Reason.STOPPING: ModelDeploymentPhase.SCALING,
    Reason.STOPPED: ModelDeploymentPhase.STOPPED,
    Reason.OUTSIDE_SCHEDULE: ModelDeploymentPhase.STOPPED,
    Reason.EXPIRED: ModelDeploymentPhase.STOPPED,
    Reason.IDLE: ModelDeploymentPhase.STOPPED,
}


def busy(stage: str, reason: Reason, message: str) -> Situation:
    """Something is under way in `stage`."""
    return Situation(Health.PROGRESSING, reason, message, stage)


def stalled(stage: str, reason: Reason, message: str) -> Situation:
    """A person has to do something before `stage` can go on."""
    return Situation(Health.STALLED, reason, message, stage)


def _phase(situation: Situation) -> ModelDeploymentPhase:
    if situation.stage == DELETION:
        return ModelDeploymentPhase.DELETING
    match situation.health:
        case Health.STALLED:
            return ModelDeploymentPhase.FAILED
        case Health.PAUSED:
            return ModelDeploymentPhase.SUSPENDED
        case Health.READY:
            return _PHASES.get(situation.reason, ModelDeploymentPhase.READY)
    return _PHASES.get(situation.reason, ModelDeploymentPhase.PENDING)


def _stages(md: ModelDeployment, status: ModelDeploymentStatus) -> tuple[Stage, ...]:
    model = status.model.name if status.model is not None else None
    deployment = status.deployment
    text = f"{deployment.name} on {deployment.hardware}" if deployment is not None else ""
    endpoint = status.endpoint.name if status.endpoint is not None else None
    if md.spec.replicas == 0 or status.replicas == 0:
        stopped = "No replicas are wanted now: nothing runs and nothing is billed"
        return (
            Stage(MODEL, Reason.MODEL_READY, model or ""),
            Stage(DEPLOY, Reason.STOPPED, stopped),
            Stage(ROUTE, Reason.STOPPED, stopped),
        )
    return (
        Stage(MODEL, Reason.MODEL_READY, model or ""),
        Stage(DEPLOY, Reason.DEPLOYED, text),
        Stage(ROUTE, Reason.ROUTED, endpoint or ""),
    )


_TELLING: Telling[ModelDeployment, ModelDeploymentStatus] = Telling(
    status_of=lambda md: md.status, stages=_stages, phase=_phase
)
planned = _TELLING.planned
failed = _TELLING.failed
failure = _TELLING.failure
seconds_to_wait = _TELLING.seconds_to_wait


def with_endpoint(status: ModelDeploymentStatus, endpoint: Endpoint) -> ModelDeploymentStatus:
    """Status once the endpoint is known to exist and to be ours."""
    record = EndpointStatus(id=endpoint.id, name=endpoint.name)
    return status.model_copy(update={"endpoint": record, "intent": None, "retry": None})


def with_deployment(
    status: ModelDeploymentStatus,
    deployment: Deployment,
    record: DeploymentStatus,
    model: ModelStatus | None,
) -> ModelDeploymentStatus:
    """Status once the deployment is known to exist; `record` is what was known before."""
    seen = record.model_copy(
        update={
            "id": deployment.id,
            "name": deployment.name,
            "state": deployment.state.value,
            "message": deployment.message or None,
            "config": record.config or deployment.config.rpartition("/")[2] or None,
            "hardware": record.hardware or deployment.hardware or None,
        }
    )
    return status.model_copy(
        update={
            "deployment": seen,
            "model": model or status.model,
            "intent": None,
            "retry": None,
        }
    )


def cost(cents_per_replica: float | None, replicas: int) -> Cost | None:
    """List prices in dollars; None when the price list has no such hardware."""
    if cents_per_replica is None:
        return None
    return Cost(
        per_replica_hour=dollars(cents_per_replica),
        per_hour=dollars(cents_per_replica * replicas),
    )
