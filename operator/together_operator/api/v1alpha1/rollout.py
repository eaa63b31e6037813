"""How a ModelDeployment changes: strategies, canary steps and gates, placement, and the record."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from together_operator.api.schema import CEL, rules
from together_operator.api.v1alpha1.common import ApiModel, Int32, ModelStatus, Timestamp


class RevisionPolicy(StrEnum):
    """What a new revision of the model does to a deployment that runs."""

    LATEST = "Latest"
    PINNED = "Pinned"


class PlacementConstraint(StrEnum):
    """Whether the regions must be used."""

    REQUIRED = "Required"
    PREFERRED = "Preferred"


_WORD = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$"


class Placement(ApiModel):
    """Where replicas may run."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "has(self.profile) != (has(self.regions) || has(self.hipaa))",
                "placement needs either profile, or regions and hipaa: keep one of the two",
            ),
            CEL(
                "!has(self.constraint) || has(self.regions)",
                "constraint says how strictly regions are meant: add regions, or remove it",
                field_path=".constraint",
            ),
        )
    )

    regions: (
        Annotated[
            tuple[
                Annotated[
                    str,
                    Field(min_length=1, max_length=63),
                    CEL(
                        f"self.matches('{_WORD}')",
                        "regions must be names of Together's regions, such as us-central-4",
                    ),
                ],
                ...,
            ],
            Field(min_length=1, max_length=16),
        ]
        | None
    ) = Field(default=None, description="Names of Together's regions, such as us-central-4.")
    constraint: PlacementConstraint | None = Field(
        default=None,
        description="Whether replicas run in these regions only (Required, the default), or "
        "also elsewhere when these are full (Preferred).",
    )
    hipaa: bool | None = Field(
        default=None, description="When true, only clusters that are attested for HIPAA are used."
    )
    profile: (
        Annotated[
            str,
            Field(min_length=1, max_length=128),
            CEL(
                f"self.matches('{_WORD}')",
                "profile must be the id of a placement profile at Together: write the id alone",
            ),
        ]
        | None
    ) = Field(
        default=None, description="Id of a placement profile at Together, instead of regions."
    )


class RolloutStrategy(StrEnum):
    """How traffic comes to another deployment."""

    BLUE_GREEN = "BlueGreen"
    CANARY = "Canary"
    ROLLING = "Rolling"
    RECREATE = "Recreate"


class CanaryStep(ApiModel):
    """A share of the traffic, to be held for the interval."""

    traffic: Int32 = Field(
        ge=1, le=100, description="Percent of the traffic that the new deployment gets, 1 to 100."
    )
    replicas: Int32 | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Replicas of the new deployment in this step; default: their share of all.",
    )


class GateMetric(StrEnum):
    """What a canary is measured by."""

    ERROR_RATE = "ErrorRate"
    LATENCY = "Latency"
    INFLIGHT_REQUESTS = "InflightRequests"


class Gate(ApiModel):
    """A measure that the new deployment has to keep in each step."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "has(self.max) != has(self.maxRegressionPercent)",
                "a gate needs either max or maxRegressionPercent: keep one of the two",
            ),
            CEL(
                "!has(self.percentile) || self.metric == 'Latency'",
                "percentile is of a Latency only: remove it, or choose that metric",
                field_path=".percentile",
            ),
            CEL(
                "!has(self.max) || self.metric != 'ErrorRate' || double(self.max) < 1.0",
                "max of an ErrorRate is a ratio below 1: write 0.05 for five percent",
                field_path=".max",
            ),
        )
    )

    metric: GateMetric = Field(
        description="ErrorRate (a ratio from 0 to 1), Latency (milliseconds) or InflightRequests "
        "(for each ready replica), as the router at Together measures them."
    )
    max: (
        Annotated[
            str,
            Field(min_length=1, max_length=16),
            CEL(
                "self.matches('^[0-9]+([.][0-9]+)?$')",
                "max must be a decimal number in quotes, such as '0.05' or '1500'",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Largest value that passes, a decimal number such as '0.05' or '1500'.",
    )
    max_regression_percent: Int32 | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="By how many percent the new deployment may be worse than the old one.",
    )
    percentile: Int32 | None = Field(
        default=None,
        ge=1,
        le=99,
        description="Percentile of a Latency that is measured, such as 99; default: the mean.",
    )


class Canary(ApiModel):
    """The course of a canary."""

    steps: Annotated[
        tuple[CanaryStep, ...],
        CEL(
            "self.map(s, s.traffic).isSorted() && "
            "self.all(s, self.exists_one(t, t.traffic == s.traffic)) && "
            "self[self.size() - 1].traffic == 100",
            "steps must increase and end at 100 percent: 10, 50, 100, for example",
        ),
    ] = Field(
        default=(
            CanaryStep(traffic=5),
            CanaryStep(traffic=25),
            CanaryStep(traffic=50),
            CanaryStep(traffic=100),
        ),
        min_length=1,
        max_length=20,
        description="Shares of the traffic, one after another; the last one is 100.",
    )
    interval_seconds: Int32 = Field(
        default=180,
        ge=1,
        le=86400,
        description="Seconds that each step is held before its gates are looked at.",
    )
    gates: tuple[Gate, ...] = Field(
        default=(),
        max_length=6,
        description="Measures that must hold after each step; else everything returns to the old "
        "deployment.",
    )


class Rollout(ApiModel):
    """How traffic comes to another deployment when the spec asks for one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "!has(self.canary) || self.strategy == 'Canary'",
                "canary is of the strategy Canary only: remove it, or choose that strategy",
                field_path=".canary",
            ),
        )
    )

    strategy: RolloutStrategy = Field(
        default=RolloutStrategy.BLUE_GREEN,
        description="BlueGreen: all traffic moves at once when the new deployment is ready; both "
        "are billed meanwhile. Canary: traffic moves in steps. Rolling: replica by replica. "
        "Recreate: the old one is deleted first, so that two are never billed, and the endpoint "
        "does not answer meanwhile; if the new one fails, the old one is made again.",
    )
    paused: bool = Field(
        default=False,
        description="When true, no change begins, and one under way stays where it is (its "
        "replicas are billed).",
    )
    canary: Canary | None = Field(
        default=None, description="Steps, interval and gates; only with the strategy Canary."
    )


class RolloutPhase(StrEnum):
    """Where a change stands."""

    PREPARING = "Preparing"
    REPLACING = "Replacing"
    RUNNING = "Running"
    PAUSED = "Paused"
    CANCELING = "Canceling"
    RETURNING = "Returning"
    FAILED = "Failed"


class DeploymentStatus(ApiModel):
    """A deployment at Together."""

    id: str | None = Field(default=None, description="Id of the deployment at Together (dep_...).")
    name: str | None = Field(default=None, description="Name of the deployment at Together.")
    state: str | None = Field(
        default=None, description="Together's state of it, such as PROVISIONING or READY."
    )
    config: str | None = Field(default=None, description="Id of its config (cr_...).")
    hardware: str | None = Field(
        default=None,
        description="Hardware of one replica, <count>x<accelerator>, such as 1xnvidia-h100-80gb.",
    )
    model: str | None = Field(default=None, description="Id of the model that it serves (ml_...).")
    revision: str | None = Field(
        default=None, description="Id of the model's revision that it serves (rv_...)."
    )
    message: str | None = Field(default=None, description="Together's words about the state.")
    request: str | None = Field(
        default=None,
        description="Digest of what the spec said about hardware, config and placement when it "
        "was made.",
    )


class DeploymentSource(ApiModel):
    """What a deployment was made from, so that it can be made again."""

    model: str = Field(
        description="The model at Together, projects/<project>/models/<id>/revisions/<id>."
    )
    model_name: str | None = Field(default=None, description="Name of that model.")
    config: str = Field(description="The config at Together, projects/<project>/configs/<id>.")
    hardware: str = Field(
        description="Hardware of one replica, <count>x<accelerator>, such as 1xnvidia-h100-80gb."
    )
    request: str | None = Field(
        default=None, description="Digest of what the spec said when it was made."
    )


class RolloutStatus(ApiModel):
    """A change to another deployment: under way, or failed and not to be repeated."""

    phase: RolloutPhase = Field(
        description="Preparing, Replacing (Recreate: the old one goes first), Running, Paused, "
        "Canceling (the spec changed meanwhile), Returning "
        "(it failed, and traffic goes back), or Failed (the old deployment serves again, and this "
        "target is not tried again until the spec asks for another one)."
    )
    strategy: RolloutStrategy = Field(description="How traffic is moved.")
    digest: str = Field(description="Digest of the target and of spec.rollout.")
    target: DeploymentStatus = Field(description="The deployment that traffic shall go to.")
    model: ModelStatus | None = Field(default=None, description="The model of the target.")
    source: DeploymentSource | None = Field(
        default=None,
        description="What was replaced by Recreate, and is made again if the target fails.",
    )
    id: str | None = Field(default=None, description="Id of the rollout at Together (rol_...).")
    state: str | None = Field(
        default=None, description="Together's state of it, such as RUNNING or SYSTEM_PAUSED."
    )
    step: Int32 | None = Field(
        default=None, ge=0, description="The step it is at, from 1 to steps; 0 before the first."
    )
    steps: Int32 | None = Field(default=None, ge=0, description="Number of steps.")
    traffic_percent: Int32 | None = Field(
        default=None, ge=0, le=100, description="Percent of the traffic that the target gets."
    )
    message: str | None = Field(default=None, description="Why it failed, or was given up.")
    started_at: Timestamp | None = Field(default=None, description="When it was begun.")


class StartupPhase(ApiModel):
    """A phase that a starting replica came to."""

    phase: str = Field(
        description="Together's word: PullingImage, Starting, LoadingWeights, StartupComplete."
    )
    time: Timestamp = Field(description="When it was reached.")
