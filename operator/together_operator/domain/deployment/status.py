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
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.scaling import Scaling, in_doubt
from together_operator.domain.telling import Telling
from together_operator.domain.text import cents_of, dollars
from together_operator.domain.together import DOWN, Deployment, Endpoint

MODEL, AFFORD, SCHEDULE, DEPLOY = "ModelReady", "Affordable", "Scheduled", "Deployed"
ROUTE, ROLL, PUBLISH = "Routed", "RolledOut", "Published"

_PHASES = {
    Reason.DEGRADED: ModelDeploymentPhase.DEGRADED,
    Reason.CRASH_LOOP: ModelDeploymentPhase.DEGRADED,
    Reason.ROLLING_OUT: ModelDeploymentPhase.ROLLING_OUT,
    Reason.REPLACING: ModelDeploymentPhase.ROLLING_OUT,
    Reason.REMOVING_PREVIOUS: ModelDeploymentPhase.ROLLING_OUT,
    Reason.CANCELING_ROLLOUT: ModelDeploymentPhase.ROLLING_OUT,
    Reason.ROLLING_BACK: ModelDeploymentPhase.ROLLING_OUT,
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


def _serving_stages(md: ModelDeployment, status: ModelDeploymentStatus) -> tuple[Stage, ...]:
    model = status.model.name if status.model is not None else None
    deployment = status.deployment
    text = f"{deployment.name} on {deployment.hardware}" if deployment is not None else ""
    endpoint = status.endpoint.name if status.endpoint is not None else None
    cost = status.cost.reserved_per_hour if status.cost is not None else None
    money = Stage(AFFORD, Reason.WITHIN_BUDGET, f"${cost} an hour" if cost else "")
    if md.spec.replicas == 0 or status.replicas == 0:
        stopped = "No replicas are wanted now: nothing runs and nothing is billed"
        return (
            Stage(MODEL, Reason.MODEL_READY, model or ""),
            money,
            Stage(SCHEDULE, Reason.STOPPED, stopped),
            Stage(DEPLOY, Reason.STOPPED, stopped),
            Stage(ROUTE, Reason.STOPPED, stopped),
            Stage(ROLL, Reason.STOPPED, stopped),
        )
    hardware = deployment.hardware if deployment is not None else None
    revision = deployment.revision if deployment is not None else None
    return (
        Stage(MODEL, Reason.MODEL_READY, model or ""),
        money,
        Stage(SCHEDULE, Reason.SCHEDULED, hardware or ""),
        Stage(DEPLOY, Reason.DEPLOYED, text),
        Stage(ROUTE, Reason.ROUTED, endpoint or ""),
        Stage(ROLL, Reason.ROLLED_OUT, f"revision {revision}" if revision else ""),
    )


def _stages(md: ModelDeployment, status: ModelDeploymentStatus) -> tuple[Stage, ...]:
    stages = _serving_stages(md, status)
    if md.spec.connection is None:
        return stages
    text = f"ConfigMap {md.spec.connection.config_map_name}"
    return (*stages, Stage(PUBLISH, Reason.PUBLISHED, text))


_TELLING: Telling[ModelDeployment, ModelDeploymentStatus] = Telling(
    status_of=lambda md: md.status, stages=_stages, phase=_phase
)
planned = _TELLING.planned
failed = _TELLING.failed
failure = _TELLING.failure
seconds_to_wait = _TELLING.seconds_to_wait


def with_endpoint(status: ModelDeploymentStatus, endpoint: Endpoint) -> ModelDeploymentStatus:
    """Status once the endpoint is known to exist and to be ours."""
    project = endpoint.project or None
    record = EndpointStatus(id=endpoint.id, name=endpoint.name, project=project)
    return status.model_copy(update={"endpoint": record, "intent": None, "retry": None})


def with_endpoint_name(
    status: ModelDeploymentStatus, endpoint: Endpoint | None
) -> ModelDeploymentStatus:
    """Status with the name that the endpoint has by now: it is what clients have to call."""
    if status.endpoint is None or endpoint is None:
        return status
    seen = {"name": endpoint.name, "project": endpoint.project or status.endpoint.project}
    record = status.endpoint.model_copy(update=seen)
    return status.model_copy(update={"endpoint": record})


def with_seen_name(
    status: ModelDeploymentStatus, endpoint: Endpoint | None
) -> ModelDeploymentStatus:
    """The same while deployments go: by it the endpoint is known when none of ours is left there.

    v1's placeholder has no name for clients.
    """
    record = status.endpoint
    if record is None or endpoint is None or endpoint.placeholder or record.id != endpoint.id:
        return status
    return with_endpoint_name(status, endpoint)


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


def with_target(status: ModelDeploymentStatus, target: Deployment) -> ModelDeploymentStatus:
    """Status once the deployment that a rollout goes to is known to exist."""
    update: dict[str, object] = {"intent": None, "retry": None}
    if status.rollout is not None:
        seen = {"id": target.id, "state": target.state.value}
        record = status.rollout.target.model_copy(update=seen)
        update["rollout"] = status.rollout.model_copy(update={"target": record})
    return status.model_copy(update=update)


def without_deployment(status: ModelDeploymentStatus, gone: str) -> ModelDeploymentStatus:
    """Status once the deployment with the id `gone` was deleted."""
    update: dict[str, object] = {}
    if status.deployment is not None and status.deployment.id == gone:
        update = {"deployment": None, "ready_replicas": 0}
    if status.previous is not None and status.previous.id == gone:
        update["previous"] = None
    return status.model_copy(update=update)


def with_start_asked(status: ModelDeploymentStatus, wanted: Scaling) -> ModelDeploymentStatus:
    """Status once Together was asked to start what had ended: that is not repeated unseen."""
    return status.model_copy(update={"scaling": in_doubt(status.scaling, wanted)})


def known_price(md: ModelDeployment) -> float | None:
    """The price that status has, in cents an hour and replica."""
    return cents_of(md.status.cost.per_replica_hour) if md.status.cost is not None else None


def rollout_cost(o: Observed, serving: str | None = None) -> Cost | None:
    """What all of ours cost that run or are being started, two during a rollout.

    Args:
        serving: hardware whose price is that of a replica; default: that of the deployment.
    """
    known, record = o.md.status.cost, o.md.status.deployment
    prices = {kind.name: kind.cents_per_hour for kind in o.instance_types}
    hardware = serving or (record.hardware if record is not None else None) or ""
    price = known_price(o.md)
    if hardware not in prices and price is not None:
        if serving is not None and record is not None and record.hardware != serving:
            return None
        prices[hardware] = price
    if hardware not in prices:
        return known
    total = 0.0
    for deployment in o.deployments:
        replicas = deployment.scheduled_replicas
        if deployment.state not in DOWN:
            replicas = max(replicas, deployment.min_replicas)
        total += replicas * prices.get(deployment.hardware or hardware, prices[hardware])
    return Cost(per_replica_hour=dollars(prices[hardware]), per_hour=dollars(total))


def cost(cents_per_replica: float | None, replicas: int) -> Cost | None:
    """List prices in dollars; None when the price list has no such hardware."""
    if cents_per_replica is None:
        return None
    return Cost(
        per_replica_hour=dollars(cents_per_replica),
        per_hour=dollars(cents_per_replica * replicas),
    )
