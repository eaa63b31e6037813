"""What the simulator remembers. Times are seconds since the epoch, sizes are bytes."""

from typing import Any, Literal

from pydantic import BaseModel, Field

ImportStatus = Literal["PENDING", "RUNNING", "ERROR", "SUCCEEDED", "FAILED"]
DeploymentStatus = Literal[
    "PROVISIONING", "SCALING", "READY", "DEGRADED", "STOPPING", "STOPPED", "FAILED"
]
Visibility = Literal["VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL"]


class Record(BaseModel):
    """Something with an id that is listed. `seq` is its place in the order of creation."""

    id: str
    seq: int
    project_id: str
    created_at: float
    updated_at: float
    version: int = 1
    visible_at: float = 0.0
    """Reads and lists do not show it before (a commit that lags behind its answer)."""

    @property
    def etag(self) -> str:
        """Opaque version tag."""
        return f"{self.id[-6:]}-{self.version}"

    def touch(self, now: float) -> None:
        """Note a change: a new version, and so a new etag."""
        self.version += 1
        self.updated_at = now


class StoredFile(BaseModel):
    """A file of a revision. `etag` is its S3-style ETag, and names the blob where it was kept."""

    path: str
    size: int
    etag: str


class Weights(BaseModel):
    """What was read from the imported files."""

    architecture: str = ""
    context_length: int | None = None
    dtypes: dict[str, int] = Field(default_factory=dict)
    """Number of parameters by dtype."""

    type: Literal["WEIGHTS_TYPE_DEFAULT", "WEIGHTS_TYPE_ADAPTER"] = "WEIGHTS_TYPE_DEFAULT"


class Revision(BaseModel):
    """The files that one import brought."""

    id: str
    created_at: float
    files: list[StoredFile]
    weights: Weights
    validation: Literal["PENDING", "SUCCESS", "FAILED", "ERROR"] = "SUCCESS"
    findings: list[str] = Field(default_factory=list)


class Model(Record):
    """A custom model. `name` is bare; `revisions` are in order of creation."""

    name: str
    type: Literal["model", "adapter"]
    base_model_id: str
    description: str = ""
    visibility: Visibility = "VISIBILITY_PRIVATE"
    revisions: list[Revision] = Field(default_factory=list)

    @property
    def latest(self) -> Revision | None:
        """The newest revision that may be deployed."""
        return next((r for r in reversed(self.revisions) if r.validation == "SUCCESS"), None)


class ImportEvent(BaseModel):
    """An entry of an import's event list."""

    id: str
    at: float
    level: Literal["DEBUG", "INFO", "WARN", "ERROR"]
    type: str
    message: str


class Import(Record):
    """A remote upload."""

    model_id: str
    remote_url: str
    token: str | None = None
    status: ImportStatus = "PENDING"
    message: str = ""
    restarts: int = 0
    max_restarts: int = 3
    events: list[ImportEvent] = Field(default_factory=list)

    @property
    def final(self) -> bool:
        """Whether nothing more will happen."""
        exhausted = self.status == "ERROR" and self.restarts >= self.max_restarts
        return exhausted or self.status in ("SUCCEEDED", "FAILED")


class Split(BaseModel):
    """One entry of an endpoint's traffic split."""

    deployment_id: str
    weight: float


class Event(BaseModel):
    """An entry of an endpoint's event feed; `fields` holds what only some types have."""

    id: str
    at: float
    type: str
    level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    deployment_id: str | None = None
    message: str = ""
    reason: str = ""
    fields: dict[str, Any] = Field(default_factory=dict)


V1_USER = "devuser"
"""What names of v1's endpoints begin with: as its OpenAPI has it, no project's slug."""


class V1Endpoint(BaseModel):
    """What only an endpoint of the legacy API has."""

    id: str
    display_name: str
    hardware: str
    min_replicas: int
    max_replicas: int


class Endpoint(Record):
    """An endpoint. `name` is bare."""

    name: str
    visibility: Visibility = "VISIBILITY_PRIVATE"
    split: list[Split] = Field(default_factory=list)
    events: list[Event] = Field(default_factory=list)
    active_rollout_id: str | None = None
    v1: V1Endpoint | None = None


class Step(BaseModel):
    """Something that will happen to a deployment at a known time."""

    at: float
    kind: Literal[
        "schedule", "pull", "start", "load", "serve", "shrink", "stopped", "fail", "give_up"
    ]


class Deployment(Record):
    """A deployment and the steps that it has before it. `name` is bare."""

    name: str
    endpoint_id: str
    model_id: str
    model_project_id: str
    revision_id: str
    config_id: str
    instance_type: str
    autoscaling: dict[str, Any]
    placement: dict[str, Any] | None = None
    inactive_timeout: int = 0
    max_concurrent: str | None = None
    status: DeploymentStatus = "PROVISIONING"
    message: str = ""
    desired: int = 0
    scheduled: int = 0
    ready: int = 0
    steps: list[Step] = Field(default_factory=list)
    waiting_for_capacity: bool = False
    outcome: Literal["ready", "failed", "degraded"] = "ready"
    """What its next start ends in (a behaviour decided when it was asked to start)."""

    outcome_message: str = ""
    outcome_log: str = ""
    cents_per_hour: float = 0.0
    billed_cents: float = 0.0
    billed_until: float = 0.0
    last_request_at: float = 0.0
    requests: int = 0

    @property
    def active(self) -> bool:
        """Whether it uses its model: everything except a stopped one."""
        return self.status != "STOPPED"


RolloutState = Literal[
    "PENDING",
    "RUNNING",
    "PAUSING",
    "PAUSED",
    "SYSTEM_PAUSED",
    "STABILIZING",
    "CANCELLING",
    "CANCELED",
    "COMPLETED",
]


class RolloutStep(BaseModel):
    """A stage of a rollout: percent of the pair's traffic, and replicas, on the target."""

    traffic: int
    replicas: int
    source_replicas: int | None = None
    """What the source shrinks to after it (rolling only)."""

    state: Literal["PENDING", "RUNNING", "PASSED", "FAILED", "PAUSED", "CANCELED", "SKIPPED"] = (
        "PENDING"
    )
    started_at: float | None = None
    completed_at: float | None = None
    failure: str = ""


class Rollout(Record):
    """A shift of traffic between two deployments of an endpoint."""

    endpoint_id: str
    source_id: str
    target_id: str
    strategy: Literal["BLUE_GREEN", "CANARY", "ROLLING"]
    steps: list[RolloutStep]
    interval: float
    """Simulated seconds of soak after each step."""

    metrics: list[dict[str, Any]] = Field(default_factory=list)
    final_source: int = 0
    final_target: int
    source_max: int
    """The source's maximum when the rollout was created."""

    capacity: float = 0.0
    """Weight times replicas that the pair had at the start; it keeps them throughout."""

    state: RolloutState = "PENDING"
    step: int | None = None
    traffic: int = 0
    category: str = ""
    message: str = ""
    started_at: float | None = None
    paused_at: float | None = None
    paused_because: str = ""
    completed_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether it still binds its endpoint and deployments."""
        return self.state not in ("CANCELED", "COMPLETED")
