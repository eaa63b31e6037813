"""ModelDeployment: a model that shall be served on a dedicated endpoint at Together AI."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from together_operator.api.schema import CEL, Column, Definition, immutable, rules
from together_operator.api.v1alpha1.common import (
    NAME_FITS_LABELS,
    AdoptionPolicy,
    ApiKeySecretRef,
    ApiModel,
    Conditions,
    DeletionPolicy,
    Int32,
    Int64,
    Intent,
    ModelStatus,
    RemoteName,
    Resource,
    Retry,
)
from together_operator.api.v1alpha1.rollout import (
    DeploymentStatus,
    Placement,
    RevisionPolicy,
    Rollout,
    RolloutStatus,
    StartupPhase,
)
from together_operator.api.v1alpha1.scaling import (
    DOLLARS,
    Autoscaling,
    Connection,
    DriftPolicy,
    NextChange,
    ScalingStatus,
    Schedule,
    TimeToLive,
)

_IN_PLACE = "create a new ModelDeployment"


class ModelRef(ApiModel):
    """A CustomModel in the same namespace."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=63),
        CEL(
            "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
            "must be the name of a CustomModel in this namespace (lower-case letters, digits, "
            "'-' and '.'): write metadata.name of the CustomModel, not the model's name at "
            "Together",
        ),
    ] = Field(description="Name of a CustomModel in the same namespace as this object.")


class Hardware(ApiModel):
    """The hardware of one replica."""

    gpu: Annotated[
        str,
        Field(min_length=1, max_length=63),
        CEL(
            "self.matches('^[a-z0-9][a-z0-9.-]*$')",
            "gpu must be Together's name of the accelerator in lower case, such as "
            "nvidia-h100-80gb",
        ),
    ] = Field(description="Together's name of the accelerator, such as nvidia-h100-80gb.")
    count: Int32 | None = Field(
        default=None,
        ge=1,
        le=8,
        description="Accelerators in one replica, 1 to 8; default: the cheapest number that "
        "Together offers for the model.",
    )


class ModelDeploymentSpec(ApiModel):
    """What is wanted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "has(self.modelRef) != has(self.model)",
                "give exactly one of modelRef and model: a CustomModel here or a model at Together",
                field_path=".modelRef",
            ),
            immutable("endpointName", f"an endpoint keeps its name; {_IN_PLACE} for another one"),
            CEL(
                "!has(self.revision) || self.revisionPolicy == 'Pinned'",
                "a revision that is given stays: set revisionPolicy to Pinned, or remove revision",
                field_path=".revision",
            ),
            CEL(
                "!has(self.config) || (!has(self.hardware) && !has(self.optimization))",
                "config already says hardware and optimization: remove them, or remove config and "
                "let the operator choose one that fits",
                field_path=".config",
                reason="FieldValueForbidden",
            ),
            CEL(
                "!has(self.autoscaling) || self.replicas <= self.autoscaling.maxReplicas",
                "replicas is the minimum with autoscaling: set at most autoscaling.maxReplicas",
                field_path=".replicas",
            ),
            CEL(
                "!has(self.ttl) || self.ttl.action != 'Delete' || self.deletionPolicy == 'Delete'",
                "ttl.action Delete with deletionPolicy Retain would leave replicas running and "
                "billed: use Stop",
                field_path=".ttl",
            ),
        )
    )

    model_ref: ModelRef | None = Field(
        default=None, description="The CustomModel to serve; or else model."
    )
    model: (
        Annotated[
            str,
            Field(min_length=1, max_length=200),
            CEL(
                "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._/-]*$')",
                "must be the name or id (ml_...) of a model at Together, such as acme/support: "
                "write it without a version or URL",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Name or id (ml_...) of a model that is at Together already and has no "
        "CustomModel here: one of the API key's project, or of Together's own catalog. Instead "
        "of modelRef.",
    )
    revision_policy: RevisionPolicy = Field(
        default=RevisionPolicy.LATEST,
        description="Whether a new revision of the model is rolled out by itself (Latest), or the "
        "one that is served stays (Pinned). Of a model that spec.model names, the newest one when "
        "the deployment is made stays, unless revision names another.",
    )
    revision: (
        Annotated[
            str,
            Field(min_length=1, max_length=128),
            CEL(
                "self.matches('^rv_[a-zA-Z0-9_-]+$')",
                "revision must be the id of a revision at Together, which begins with rv_",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Id of the model's revision to serve (rv_...), with revisionPolicy Pinned; "
        "default: the newest one when the deployment is made.",
    )
    endpoint_name: RemoteName | None = Field(
        default=None,
        description="Name of the endpoint at Together, without the project's prefix; default: "
        "<namespace>-<name> of this object. Immutable.",
    )
    hardware: Hardware | None = Field(
        default=None,
        description="The hardware of one replica; default: the cheapest that Together offers "
        "for the model. Not together with config.",
    )
    optimization: (
        Annotated[
            str,
            Field(min_length=1, max_length=63),
            CEL(
                "self.matches('^[a-z][a-z0-9_-]*$')",
                "optimization must be Together's word for it in lower case: balanced, throughput "
                "or latency",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="What the serving configuration is tuned for, in Together's words: "
        "balanced, throughput or latency; default: any. Not together with config.",
    )
    config: (
        Annotated[
            str,
            Field(min_length=1, max_length=128),
            CEL(
                "self.matches('^cr_[a-zA-Z0-9_-]+$')",
                "config must be the id of a config at Together, which begins with cr_: to choose "
                "by hardware or optimization, use those fields instead",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Id of one serving configuration at Together (cr_...), instead of hardware "
        "and optimization.",
    )
    placement: Placement | None = Field(
        default=None, description="Where replicas may run; default: wherever Together likes."
    )
    rollout: Rollout = Field(
        default=Rollout(),
        description="How a change of model, revision, hardware, config or placement reaches the "
        "endpoint: each needs another deployment, which takes over the traffic.",
    )
    replicas: Int32 = Field(
        default=1,
        ge=0,
        le=1000,
        description="Number of replicas, each billed by the hour; 0 stops serving and billing.",
    )
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Lets Together change the number of replicas; spec.replicas is then the "
        "minimum.",
    )
    inactive_timeout: (
        Annotated[
            Int32,
            CEL(
                "self == 0 || (self >= 30 && self <= 1440)",
                "inactiveTimeout is in minutes: set 0 for never, or 30 to 1440",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Minutes without a request after which Together stops all replicas, 30 to "
        "1440; default and 0: never. Another value of replicas starts them again, or the "
        "annotation together.ai/retry.",
    )
    drift_policy: DriftPolicy = Field(
        default=DriftPolicy.CORRECT,
        description="Whether replicas and autoscaling that somebody else changed at Together, and "
        "traffic that was taken away there, are set back (Correct) or only reported in "
        "status.scaling.drift (Report).",
    )
    max_hourly_cost: Annotated[str, Field(min_length=1, max_length=10), DOLLARS] | None = Field(
        default=None,
        description='The most dollars an hour, as decimal text such as "12.50": list price times '
        "the most replicas, two deployments during a rollout included. What would cost more is "
        "not started.",
    )
    schedule: Schedule | None = Field(
        default=None, description="When replicas run; default: always."
    )
    ttl: TimeToLive | None = Field(
        default=None, description="A lifetime, after which all is stopped or deleted."
    )
    connection: Connection | None = Field(
        default=None, description="Publishes what applications need to use the endpoint."
    )
    api_key_secret_ref: ApiKeySecretRef | None = Field(
        default=None, description="The Together API key to use; default: the operator's own."
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.DELETE,
        description="Whether deleting this object stops and deletes the endpoint at Together "
        "(Delete) or leaves it running and billed (Retain).",
    )
    adoption_policy: AdoptionPolicy = Field(
        default=AdoptionPolicy.NEVER,
        description="Whether an endpoint of that name that is already at Together is left alone, "
        "which stalls this object (Never), or taken over (Adopt).",
    )
    suspend: bool = Field(
        default=False,
        description="When true, nothing is started, changed or stopped; what runs stays and is "
        "still followed and billed. To stop it, set suspend to false and replicas to 0.",
    )


class ModelDeploymentPhase(StrEnum):
    """One word for where the object stands; programs should read the conditions."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    READY = "Ready"
    SCALING = "Scaling"
    STOPPED = "Stopped"
    ROLLING_OUT = "RollingOut"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"
    FAILED = "Failed"
    DELETING = "Deleting"


class EndpointStatus(ApiModel):
    """The endpoint at Together."""

    id: str | None = Field(default=None, description="Id of the endpoint at Together (ep_...).")
    name: str | None = Field(
        default=None,
        description="Full name of the endpoint, <project>/<name>: the string that clients send "
        "as model.",
    )
    project: str | None = Field(
        default=None,
        description="Project that the endpoint is in, where its name does not tell: Together's v1 "
        "API makes names up.",
    )


class Cost(ApiModel):
    """List prices in US dollars, as decimal text such as 3.36."""

    per_replica_hour: str | None = Field(
        default=None, description="Dollars that one replica costs in an hour."
    )
    per_hour: str | None = Field(
        default=None, description="Dollars that all replicas together cost in an hour."
    )
    reserved_per_hour: str | None = Field(
        default=None,
        description="Dollars an hour that count towards the ceilings: what runs, is being started "
        "or may be added by autoscaling.",
    )


class ModelDeploymentStatus(ApiModel):
    """What is; written by the operator only."""

    observed_generation: Int64 = Field(
        default=-1,
        description="The metadata.generation that this status is about; -1: not looked at yet.",
    )
    object_uid: str | None = Field(
        default=None,
        alias="objectUID",
        description="metadata.uid of the object that this status was written for. In an object "
        "that was restored from a backup it is another one, and the status counts for nothing.",
    )
    phase: ModelDeploymentPhase | None = Field(
        default=None, description="One word for people; programs should read the conditions."
    )
    conditions: Conditions = Field(
        default=(),
        max_length=16,
        description="Ready, Reconciling, Stalled, ModelReady, Affordable, Scheduled, Deployed, "
        "Routed, RolledOut, and with spec.connection Published.",
    )
    model: ModelStatus | None = Field(default=None, description="The model that is served.")
    endpoint: EndpointStatus | None = Field(default=None, description="The endpoint at Together.")
    deployment: DeploymentStatus | None = Field(
        default=None, description="The deployment at Together that gets the traffic."
    )
    previous: DeploymentStatus | None = Field(
        default=None, description="The deployment that was replaced, until it is deleted."
    )
    rollout: RolloutStatus | None = Field(
        default=None, description="The change to another deployment, if there is one."
    )
    startup: tuple[StartupPhase, ...] = Field(
        default=(),
        max_length=16,
        description="Phases of the newest start of a replica, oldest first.",
    )
    replicas: Int32 | None = Field(
        default=None, ge=0, description="Replicas that Together was asked for."
    )
    ready_replicas: Int32 | None = Field(
        default=None, ge=0, description="Replicas that are ready to serve."
    )
    replicas_text: str | None = Field(
        default=None, description="Ready and wanted replicas for people, such as 1/2."
    )
    selector: str | None = Field(
        default=None,
        description="Label selector for the scale subresource. It matches no pods, because "
        "replicas run at Together.",
    )
    cost: Cost | None = Field(default=None, description="What it costs by list price.")
    scaling: ScalingStatus | None = Field(
        default=None, description="What the operator last asked Together for."
    )
    next_change: NextChange | None = Field(
        default=None, description="What schedule and ttl will do next."
    )
    connection: Connection | None = Field(
        default=None, description="The ConfigMap that is written."
    )
    intent: Intent | None = Field(
        default=None, description="What is being created at Together right now."
    )
    retry: Retry | None = Field(
        default=None, description="Failed tries, and when the next one is due."
    )
    last_retry: str | None = Field(
        default=None,
        description="Value of the annotation together.ai/retry that was honoured last; any other "
        "one asks for a new round of attempts at once.",
    )


class ModelDeployment(Resource):
    """A model that shall be served on a dedicated endpoint at Together AI.

    Each replica is billed by the hour for as long as it runs; the price is in the status.
    """

    model_config = ConfigDict(json_schema_extra=rules(NAME_FITS_LABELS))
    definition: ClassVar[Definition] = Definition(
        kind="ModelDeployment",
        plural="modeldeployments",
        short_name="mdeploy",
        columns=(
            Column(
                "Ready",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether the endpoint answers.",
            ),
            Column(
                "Status",
                '.status.conditions[?(@.type=="Ready")].reason',
                "Why it is ready or not.",
            ),
            Column(
                "Model",
                ".spec['modelRef.name','model']",
                "The CustomModel, or else the model at Together, that is served.",
            ),
            Column("Endpoint", ".status.endpoint.name", "The string that clients send as model."),
            Column("Replicas", ".status.replicasText", "Ready and wanted replicas."),
            Column("$/Hour", ".status.cost.perHour", "Dollars in an hour by list price."),
            Column("Age", ".metadata.creationTimestamp", "Age of this object.", type="date"),
        ),
        scale=(".spec.replicas", ".status.replicas", ".status.selector"),
    )

    kind: Literal["ModelDeployment"] = Field(
        default="ModelDeployment", description="ModelDeployment."
    )
    spec: ModelDeploymentSpec = Field(description="What is wanted.")
    status: ModelDeploymentStatus = Field(
        default=ModelDeploymentStatus(),
        description="What is; written by the operator only.",
    )
