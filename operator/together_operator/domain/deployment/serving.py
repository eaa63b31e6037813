"""Serving: the number of replicas, the traffic split, and what Together says of the state."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import ModelDeploymentStatus
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import (
    DeploymentPlan,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.observed import Observed, looks_settled
from together_operator.domain.deployment.status import (
    DEPLOY,
    ROUTE,
    busy,
    cost,
    failed,
    planned,
    stalled,
)
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import Plan
from together_operator.domain.together import Deployment, DeploymentState, Endpoint, TrafficShare

FULL_WEIGHT = 100.0

_SERVING = frozenset({DeploymentState.READY, DeploymentState.SCALING, DeploymentState.DEGRADED})


def settled(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object whose endpoint's record agrees with its status: nothing to do."""
    del now
    return Plan(o.md.status, Done()) if looks_settled(o.md, o.endpoint) else None


def without_replicas(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for 0 replicas where there never was a deployment."""
    if o.deployment is not None or o.md.spec.replicas > 0:
        return None
    status = o.md.status.model_copy(
        update={
            "replicas": 0,
            "ready_replicas": 0,
            "replicas_text": "0/0",
            "cost": None,
        }
    )
    return planned(o, now, _stopped(), Done(), status=status)


def serving(o: Observed, now: datetime) -> DeploymentPlan:
    """The last row: bring the deployment to where the spec wants it, and say where it is."""
    assert o.endpoint is not None  # the rows before see to it
    assert o.deployment is not None
    deployment, replicas = o.deployment, o.md.spec.replicas
    status = _followed(o, deployment)
    wanted = (replicas, replicas)
    if (deployment.min_replicas, deployment.max_replicas) != wanted:
        had = deployment.max_replicas
        say = busy(DEPLOY, Reason.SCALING, f"Scaling from {had} to {replicas} replicas")
        action = ScaleDeployment(o.endpoint.id, deployment.id, replicas)
        return planned(o, now, say, After(o.process.soon), action, status)
    if replicas == 0:
        return _stopping(o, now, deployment, status)
    if deployment.state is DeploymentState.FAILED:
        words = (deployment.message or "Together gave no reason").rstrip(".")
        message = (
            f"{words}. Set replicas to 0 and up again, or delete and create this object, once the "
            "cause is mended."
        )
        return failed(o, now, stalled(DEPLOY, Reason.DEPLOYMENT_FAILED, message), status)
    if deployment.state in _SERVING and not _is_routed(o.endpoint, deployment):
        return _routing(o, now, o.endpoint, deployment, status)
    return _told(o, now, deployment, status)


def _told(
    o: Observed, now: datetime, deployment: Deployment, status: ModelDeploymentStatus
) -> DeploymentPlan:
    replicas = o.md.spec.replicas
    if deployment.state is DeploymentState.READY and deployment.ready_replicas >= replicas:
        name = o.endpoint.name if o.endpoint is not None else ""
        say = Situation(Health.READY, Reason.READY, f"{name} answers")
        return planned(o, now, say, Done(), status=status)
    count = f"{deployment.ready_replicas} of {replicas} replicas are ready"
    words = deployment.message or count
    match deployment.state:
        case DeploymentState.DEGRADED:
            say = busy(DEPLOY, Reason.DEGRADED, words)
        case DeploymentState.SCALING | DeploymentState.READY:
            say = busy(DEPLOY, Reason.SCALING, words)
        case DeploymentState.STOPPING | DeploymentState.STOPPED:
            say = busy(DEPLOY, Reason.PROVISIONING, deployment.message or "Starting again")
        case _:
            say = busy(DEPLOY, Reason.PROVISIONING, words)
    return planned(o, now, say, After(o.process.poll), status=status)


def _routing(
    o: Observed,
    now: datetime,
    endpoint: Endpoint,
    deployment: Deployment,
    status: ModelDeploymentStatus,
) -> DeploymentPlan:
    """READY serves nothing until it has a weight; what others routed is left as it is."""
    say = busy(ROUTE, Reason.ROUTING, f"Routing traffic of {endpoint.name}")
    rest = tuple(share for share in endpoint.traffic if share.deployment_id != deployment.id)
    split = (*rest, TrafficShare(deployment.id, FULL_WEIGHT))
    action = SetTraffic(endpoint.id, split, endpoint.etag)
    return planned(o, now, say, After(0), action, status)


def _stopping(
    o: Observed, now: datetime, deployment: Deployment, status: ModelDeploymentStatus
) -> DeploymentPlan:
    if deployment.state in {DeploymentState.STOPPED, DeploymentState.FAILED}:
        return planned(o, now, _stopped(), Done(), status=status)
    say = busy(DEPLOY, Reason.STOPPING, deployment.message or "Stopping all replicas")
    return planned(o, now, say, After(o.process.soon), status=status)


def _stopped() -> Situation:
    return Situation(Health.READY, Reason.STOPPED, "0 replicas are wanted: nothing is billed")


def _is_routed(endpoint: Endpoint, deployment: Deployment) -> bool:
    return any(s.deployment_id == deployment.id and s.weight > 0 for s in endpoint.traffic)


def _followed(o: Observed, deployment: Deployment) -> ModelDeploymentStatus:
    """Status with what Together says of the deployment."""
    status, replicas = o.md.status, o.md.spec.replicas
    record = status.deployment
    seen = (
        record.model_copy(
            update={"state": deployment.state.value, "message": deployment.message or None}
        )
        if record is not None
        else None
    )
    price = status.cost.per_replica_hour if status.cost is not None else None
    cents = float(price) * 100 if price is not None else None
    endpoint = status.endpoint
    if endpoint is not None and o.endpoint is not None:
        endpoint = endpoint.model_copy(update={"name": o.endpoint.name})
    return status.model_copy(
        update={
            "endpoint": endpoint,
            "deployment": seen,
            "replicas": replicas,
            "ready_replicas": deployment.ready_replicas,
            "replicas_text": f"{deployment.ready_replicas}/{replicas}",
            "cost": cost(cents, replicas),
            "selector": f"together.ai/modeldeployment={o.md.metadata.name}",
        }
    )
