"""How many replicas run, at which times, and what for: parts of a ModelDeployment's spec."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from together_operator.api.schema import CEL, rules
from together_operator.api.v1alpha1.common import ApiModel, Int32, Int64, Timestamp

Seconds = Annotated[
    str,
    Field(max_length=13),
    CEL(
        "self.matches('^(0|[1-9][0-9]{0,11})s$')",
        'must be whole seconds with an s, such as "300s": write minutes and hours in seconds',
    ),
]
"""A duration as Together takes it."""


class ScalingMetricName(StrEnum):
    """What Together can scale by."""

    ACTIVE_SESSIONS = "active_sessions"
    INFLIGHT_REQUESTS = "inflight_requests"
    THROUGHPUT_PER_REPLICA = "throughput_per_replica"
    GPU_UTILIZATION = "gpu_utilization"
    TOKEN_UTILIZATION = "token_utilization"  # noqa: S105 - a metric
    CACHE_HIT_RATE = "cache_hit_rate"
    TTFT = "ttft"
    DECODING_SPEED = "decoding_speed"
    E2E_LATENCY = "e2e_latency"


class Percentile(StrEnum):
    """Which part of the requests a latency is about."""

    P50 = "p50"
    P90 = "p90"
    P95 = "p95"
    P99 = "p99"


class ScalingMetric(ApiModel):
    """One metric and the value that Together keeps it at."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "!(self.name in ['gpu_utilization', 'token_utilization', 'cache_hit_rate']) || "
                "self.target <= 100.0",
                "target of a utilization is a percentage: set at most 100",
                field_path=".target",
            ),
            CEL(
                "!has(self.percentile) || self.name in ['ttft', 'decoding_speed', 'e2e_latency']",
                "percentile is only for ttft, decoding_speed and e2e_latency: remove it",
                field_path=".percentile",
                reason="FieldValueForbidden",
            ),
        )
    )

    name: ScalingMetricName = Field(
        description="Together's name of the metric; for a latency (ttft, decoding_speed, "
        "e2e_latency) the target is in milliseconds, for a utilization in percent."
    )
    target: Annotated[
        float, CEL("self > 0.0", "must be greater than 0: write the value that Together shall keep")
    ] = Field(description="The value to keep, of one replica.")
    percentile: Percentile | None = Field(
        default=None, description="Percentile of a latency; default: Together's own."
    )


class Autoscaling(ApiModel):
    """Together adds and removes replicas between `replicas` and `maxReplicas`."""

    max_replicas: Int32 = Field(
        ge=1,
        le=1000,
        description="The most replicas; the least is spec.replicas. With spec.replicas 0 "
        "everything is stopped.",
    )
    metrics: Annotated[
        tuple[ScalingMetric, ...],
        Field(
            max_length=9,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = Field(
        default=(),
        description="What is scaled by; default: 8 requests in flight for each replica.",
    )
    scale_up_window: Seconds | None = Field(
        default=None,
        description='How long more replicas must be called for before they are added, as "60s"; '
        "default: Together's own.",
    )
    scale_down_window: Seconds | None = Field(
        default=None,
        description='How long fewer replicas must be enough before some are removed, as "300s"; '
        "default: 300s.",
    )
    scale_to_zero_window: Seconds | None = Field(
        default=None,
        description="After how long without a request all replicas are stopped, as "
        '"3600s"; default: never.',
    )


class DriftPolicy(StrEnum):
    """What happens when somebody else changes replicas, autoscaling or traffic at Together."""

    CORRECT = "Correct"
    REPORT = "Report"


Cron = Annotated[
    str,
    Field(min_length=9, max_length=128),
    CEL(
        "self.matches('^[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4}$')",
        "must be a cron line of five fields (minute, hour, day of month, month, day of week), "
        'such as "0 8 * * MON-FRI": write shortcuts such as @daily in full',
    ),
    CEL(
        "!self.matches('^[^ ]+ [^ ]+ 3[01] 0?2 [*]$') && "
        "!self.matches('^[^ ]+ [^ ]+ 31 (0?[2469]|11) [*]$')",
        "never fires: that month has no such day",
    ),
]
"""A cron line as Debian's cron understands it."""


class ScheduleWindow(ApiModel):
    """From each time that `start` fires until `stop` fires next."""

    start: Cron = Field(description='When the window opens, as "0 8 * * MON-FRI".')
    stop: Cron = Field(
        description='When it closes, as "0 18 * * MON-FRI"; wins when both fire at once.'
    )


class Schedule(ApiModel):
    """When replicas run; outside of every window all of them are stopped."""

    time_zone: Annotated[
        str,
        Field(min_length=1, max_length=64),
        CEL(
            "timestamp('2026-01-01T12:00:00Z').getFullYear(self) == 2026",
            "must be a name of the IANA time zone database, such as Europe/Berlin",
        ),
    ] = Field(
        default="UTC",
        description="IANA name of the time zone of the cron lines, such as Europe/Berlin; a time "
        "that a clock change skips fires right after it, and one that it repeats fires once.",
    )
    windows: tuple[ScheduleWindow, ...] = Field(
        min_length=1, max_length=16, description="Replicas run while at least one is open."
    )


class TtlAction(StrEnum):
    """What happens at the end of a lifetime."""

    STOP = "Stop"
    DELETE = "Delete"


class TimeToLive(ApiModel):
    """A lifetime, counted from the object's creation."""

    seconds: Int64 = Field(
        ge=1, le=315360000, description="Lifetime in seconds from the creation of this object."
    )
    action: TtlAction = Field(
        default=TtlAction.STOP,
        description="Stop all replicas and with them the bill (Stop), or delete this object "
        "(Delete); under GitOps use Stop, because a deleted object would be made again.",
    )


class Connection(ApiModel):
    """Where applications find the endpoint."""

    config_map_name: Annotated[
        str,
        Field(min_length=1, max_length=253),
        CEL(
            "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
            "must be a name for a ConfigMap in this namespace (lower-case letters, digits, '-' "
            "and '.')",
        ),
    ] = Field(
        description="ConfigMap that the operator writes, with baseURL and model, and deletes with "
        "this object; never the key. One that is there already is left alone, and this object "
        "says so."
    )


DOLLARS = CEL(
    "self.matches('^(0|[1-9][0-9]{0,6})([.][0-9]{1,2})?$')",
    'must be dollars as decimal text, such as "12.50": no sign, unit or thousands separator',
)
"""The rule for an amount of money."""


class ScalingStatus(ApiModel):
    """What the operator last asked Together for."""

    min_replicas: Int32 = Field(ge=0, description="The least replicas.")
    max_replicas: Int32 = Field(ge=0, description="The most replicas.")
    digest: str | None = Field(
        default=None, description="Digest of metrics, windows and the inactivity timeout."
    )
    routed: str | None = Field(
        default=None, description="Id of the deployment that was seen to have traffic (dep_...)."
    )
    drift: str | None = Field(
        default=None,
        description="What somebody else changed at Together, while driftPolicy is Report.",
    )


class NextChange(ApiModel):
    """What schedule and ttl will do next."""

    time: Timestamp = Field(description="When.")
    action: str = Field(description="Start, Stop or Delete.")
