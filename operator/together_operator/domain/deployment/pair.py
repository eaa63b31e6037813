"""The two deployments of a change: their weights, their rollout, and what status says."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import (
    ModelDeploymentStatus,
    RolloutStatus,
)
from together_operator.domain.deployment.actions import (
    SetTraffic,
)
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.startup import startup_phases
from together_operator.domain.deployment.status import rollout_cost, with_seen_name
from together_operator.domain.together import (
    Deployment,
    Endpoint,
    TrafficShare,
)
from together_operator.domain.together_rollouts import Rollout

FULL_WEIGHT = 100.0


_LONG_AGO = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def rollout_to(o: Observed, target: Deployment) -> Rollout | None:
    """The newest rollout to `target`."""
    found = [rollout for rollout in o.rollouts if rollout.target_id == target.id]
    return max(found, key=lambda r: (r.is_open, r.created_at or _LONG_AGO), default=None)


def weight_of(o: Observed, deployment: Deployment) -> float:
    traffic = o.endpoint.traffic if o.endpoint is not None else ()
    return next((s.weight for s in traffic if s.deployment_id == deployment.id), 0.0)


def all_to(endpoint: Endpoint, to: Deployment, instead_of: Deployment) -> SetTraffic:
    pair = {to.id, instead_of.id}
    others = (share for share in endpoint.traffic if share.deployment_id not in pair)
    return SetTraffic(endpoint.id, (*others, TrafficShare(to.id, FULL_WEIGHT)), endpoint.etag)


def name_of(deployment: Deployment | None) -> str:
    return deployment.name if deployment is not None else "the old deployment"


def with_progress(o: Observed, progress: RolloutStatus) -> ModelDeploymentStatus:
    """Status with the change as it stands, and with what both deployments cost and do."""
    target = o.target
    if target is not None:
        seen = {
            "id": target.id,
            "state": target.state.value,
            "message": target.message or None,
            "hardware": progress.target.hardware or target.hardware or None,
        }
        record = progress.target.model_copy(update=seen)
        progress = progress.model_copy(update={"target": record})
    return as_seen(o).model_copy(update={"rollout": progress})


def as_seen(o: Observed) -> ModelDeploymentStatus:
    """Status with what the deployments do and cost, and no word of what is done about it."""
    current = o.deployment
    status = with_seen_name(o.md.status, o.endpoint).model_copy(
        update={
            "cost": rollout_cost(o),
            "startup": startup_phases(o.events) or o.md.status.startup,
        }
    )
    record = status.deployment
    if current is None or record is None:
        return status
    replicas = o.replicas
    ready = current.ready_replicas
    seen = {"state": current.state.value, "message": current.message or None}
    return status.model_copy(
        update={
            "deployment": record.model_copy(update=seen),
            "ready_replicas": ready,
            "replicas_text": f"{ready}/{replicas}",
        }
    )
