"""What exists at Together, as far as decisions need it. Units: bytes, US cents, seconds.

Field meanings are those of Together's v2 API; a record holds no signed URL and no token, although
the API echoes both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Visibility(StrEnum):
    """Who may see a model: its project, or the whole organization."""

    PRIVATE = "VISIBILITY_PRIVATE"
    INTERNAL = "VISIBILITY_INTERNAL"


class ImportState(StrEnum):
    """State of an import ("remote upload"). ERROR may be restarted by the platform itself."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ERROR = "ERROR"


class DeploymentState(StrEnum):
    """State of a deployment; UNKNOWN is one that this version does not know."""

    PROVISIONING = "PROVISIONING"
    SCALING = "SCALING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


DOWN = frozenset({DeploymentState.STOPPED, DeploymentState.FAILED})
"""Nothing of such a deployment runs or starts, so that it does not need its model."""

SERVING = frozenset({DeploymentState.READY, DeploymentState.SCALING, DeploymentState.DEGRADED})
"""Such a deployment answers calls, as far as replicas of it are ready."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """Where the versions of Together's API differ in what they can do.

    Args:
        base_models: it has a catalog, in which the base of a new model must be.
        change_models: it tells and changes description and visibility.
        delete_models: it deletes models.
        reimport: it imports into a model that is there, as a new revision.
    """

    version: Literal["v2", "v1"] = "v2"
    base_models: bool = True
    change_models: bool = True
    delete_models: bool = True
    reimport: bool = True


V2 = Abilities()
V1 = Abilities("v1", base_models=False, change_models=False, delete_models=False, reimport=False)


@dataclass(frozen=True, slots=True)
class NewModel:
    """What a model is created from. `name` is bare (no slash)."""

    name: str
    base_model_id: str
    type: Literal["model", "adapter"]
    description: str = ""


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The mutable fields of a model; None leaves one as it is."""

    description: str | None = None
    visibility: Visibility | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model record. `name` is qualified: `<project slug>/<bare name>`.

    A `placeholder` stands for what is not there (yet): in v1 a name becomes a model only with its
    import, and only when that has ended.
    """

    id: str
    name: str
    project_id: str
    base_model_id: str = ""
    type: str = "model"
    description: str = ""
    visibility: str = Visibility.PRIVATE
    created_at: datetime | None = None
    placeholder: bool = False

    @property
    def bare_name(self) -> str:
        """The name without the project's slug."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Revision:
    """One import's result in a model. `validation` is the last word of the API's status."""

    id: str
    validation: str = ""
    messages: tuple[str, ...] = ()
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SupportedModel:
    """An entry of the catalog of architectures that an upload may be based on.

    `model_id` is the `ml_` id that a new model names as its base; `project_id` owns that model.
    """

    name: str
    model_id: str
    architecture: str = ""
    capabilities: tuple[str, ...] = ()
    project_id: str = ""

    @property
    def is_embedding(self) -> bool:
        """True when it makes embeddings and no text."""
        return "CAPABILITY_EMBEDDING" in self.capabilities and (
            "CAPABILITY_CHAT" not in self.capabilities
        )


@dataclass(frozen=True, slots=True)
class Import:
    """A remote upload, without the signature and the token that the API echoes.

    `source` is what was fetched, without parameters or user; empty where it isn't known.
    """

    id: str
    model_id: str
    state: ImportState
    message: str = ""
    restarts: int = 0
    max_restarts: int = 0
    created_at: datetime | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Config:
    """A way to serve a model: hardware and optimization. Immutable at Together."""

    id: str
    project_id: str
    gpu: str
    count: int
    optimization: str = ""

    @property
    def instance_type(self) -> str:
        """Name of the instance type in the public price list: `<count>x<accelerator>`."""
        return f"{self.count}x{self.gpu}"

    @property
    def resource(self) -> str:
        """Resource name that a deployment refers to."""
        return f"projects/{self.project_id}/configs/{self.id}"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A line of the public price list. `cents_per_hour` is per replica."""

    name: str
    gpu: str
    count: int
    cents_per_hour: float
    gpu_memory_gib: float | None = None
    headroom: dict[str, int | None] = field(default_factory=dict)
    """Free replicas by region; None where the API does not say."""

    roomy: frozenset[str] = frozenset()
    """Regions whose number is only a lower bound."""


@dataclass(frozen=True, slots=True)
class TrafficShare:
    """One entry of an endpoint's traffic split."""

    deployment_id: str
    weight: float


@dataclass(frozen=True, slots=True)
class DeploymentSummary:
    """What an endpoint's own record tells of one of its (ten newest) deployments."""

    id: str
    name: str
    state: DeploymentState
    ready_replicas: int | None = None
    desired_replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint. `name` is qualified and is the model string that clients call.

    Args:
        known_as: the name that it was asked for by, where that is not part of `name` (v1).
        placeholder: it stands for what is not there (yet): in v1 an endpoint comes with its
            deployment, and goes with it.
        project: slug of its project, where `name` may begin with something else (v1).
    """

    id: str
    name: str
    project_id: str
    etag: str = ""
    traffic: tuple[TrafficShare, ...] = ()
    deployments: tuple[DeploymentSummary, ...] = ()
    active_rollout_id: str | None = None
    known_as: str = ""
    placeholder: bool = False
    project: str = ""

    @property
    def bare_name(self) -> str:
        """The name that it was asked for by, without the project's slug."""
        return self.known_as or self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ScalingMetric:
    """A metric of autoscaling: milliseconds for latencies, percent for utilizations."""

    name: str
    target: float
    percentile: str | None = None


DEFAULT_METRICS = (ScalingMetric("inflight_requests", 8.0),)
"""What Together scales by when it is told nothing."""

DEFAULT_SCALE_UP, DEFAULT_SCALE_DOWN = 0, 300
"""Windows in seconds."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a deployment is scaled besides its bounds. None: not set, or to be left as it is.

    Windows are in seconds, `inactive_timeout` is in minutes; 0 turns one off.
    """

    metrics: tuple[ScalingMetric, ...] | None = None
    scale_up_window: int | None = None
    scale_down_window: int | None = None
    scale_to_zero_window: int | None = None
    inactive_timeout: int | None = None

    @property
    def is_default(self) -> bool:
        """True when it asks for nothing that Together would not do by itself."""
        return (
            self.metrics in {None, DEFAULT_METRICS}
            and self.scale_up_window in {None, DEFAULT_SCALE_UP}
            and self.scale_down_window in {None, DEFAULT_SCALE_DOWN}
            and not self.scale_to_zero_window
            and not self.inactive_timeout
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """Where replicas may run: a profile of the project, or regions and compliance.

    `required` makes other regions than these impossible.
    """

    regions: tuple[str, ...] = ()
    required: bool = True
    hipaa: bool = False
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """What a deployment is created from; `model` and `config` are resource names."""

    name: str
    model: str
    config: str
    min_replicas: int
    max_replicas: int
    tuning: Tuning = Tuning()
    placement: Placement | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment with its full status."""

    id: str
    name: str
    endpoint_id: str
    state: DeploymentState
    model: str = ""
    config: str = ""
    hardware: str = ""
    message: str = ""
    min_replicas: int = 0
    max_replicas: int = 0
    ready_replicas: int = 0
    scheduled_replicas: int = 0
    desired_replicas: int | None = None
    tuning: Tuning = Tuning()
    placement: Placement | None = None
    etag: str = ""
    created_at: datetime | None = None

    @property
    def serves(self) -> bool:
        """Whether it answers calls, where traffic comes to it."""
        return self.state in SERVING and self.ready_replicas > 0
