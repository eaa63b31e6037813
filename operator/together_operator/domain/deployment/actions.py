"""The changes in the outside world that a decision about a ModelDeployment can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from together_operator.api.v1alpha1 import DeploymentStatus, ModelDeploymentStatus, ModelStatus
from together_operator.domain.deployment.scaling import Scaling
from together_operator.domain.plan import AddFinalizer, Plan, RemoveFinalizer
from together_operator.domain.together import NewDeployment, TrafficShare, Tuning
from together_operator.domain.together_rollouts import NewRollout, RolloutVerb


@dataclass(frozen=True, slots=True)
class CreateEndpoint:
    """Create the endpoint, for which an intent is stored."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateDeployment:
    """Create the deployment, for which an intent is stored: from here on money is spent.

    Args:
        record: what status shall say of it besides its id.
        model: the model that it serves.
        is_target: it shall take over from another one, by a rollout.
    """

    endpoint_id: str
    new: NewDeployment
    record: DeploymentStatus
    model: ModelStatus
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class ScaleDeployment:
    """Set the number of replicas.

    Args:
        replicas: the least, and without `scaling` also the most.
        scaling: what is wanted in full, for a deployment that serves.
        change: the settings besides the bounds that have to be written.
        starts: what had ended starts again, which status shall know was asked for.
    """

    endpoint_id: str
    deployment_id: str
    replicas: int
    scaling: Scaling | None = None
    change: Tuning | None = None
    starts: bool = False


@dataclass(frozen=True, slots=True)
class SetTraffic:
    """Replace the endpoint's traffic split."""

    endpoint_id: str
    split: tuple[TrafficShare, ...]
    etag: str


@dataclass(frozen=True, slots=True)
class DeleteDeployment:
    """Delete a stopped deployment."""

    endpoint_id: str
    deployment_id: str


@dataclass(frozen=True, slots=True)
class CreateRollout:
    """Prepare a rollout; Together allows one at a time, so it can't be there twice."""

    endpoint_id: str
    new: NewRollout


@dataclass(frozen=True, slots=True)
class ActOnRollout:
    """Start, pause, resume, promote or cancel a rollout."""

    endpoint_id: str
    rollout_id: str
    verb: RolloutVerb
    why: str = ""


@dataclass(frozen=True, slots=True)
class DeleteRollout:
    """Delete a rollout that was never started."""

    endpoint_id: str
    rollout_id: str


@dataclass(frozen=True, slots=True)
class DeleteEndpoint:
    """Delete an endpoint without deployments."""

    endpoint_id: str


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Ask Kubernetes to delete the ModelDeployment itself: its lifetime is over."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the object's ConfigMap."""

    name: str
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Delete the object's ConfigMap."""

    name: str


Action = (
    AddFinalizer
    | RemoveFinalizer
    | CreateEndpoint
    | CreateDeployment
    | ScaleDeployment
    | SetTraffic
    | DeleteDeployment
    | CreateRollout
    | ActOnRollout
    | DeleteRollout
    | DeleteEndpoint
    | DeleteObject
    | Publish
    | Unpublish
)
DeploymentPlan = Plan[ModelDeploymentStatus, Action]
