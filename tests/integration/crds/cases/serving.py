"""Scaling, time, money and connection of a ModelDeployment."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    TOO_BIG,
    TOO_SMALL,
    Case,
    Refusal,
    statuses,
    values,
)
from tests.integration.crds.manifests import (
    DEPLOYMENT,
    DEPLOYMENT_STATUS,
    changed,
)

_METRIC = {"name": "ttft", "target": 500, "percentile": "p95"}
SERVED = changed(
    DEPLOYMENT,
    {
        "spec.autoscaling": {
            "maxReplicas": 4,
            "metrics": [_METRIC, {"name": "gpu_utilization", "target": 80}],
            "scaleUpWindow": "60s",
            "scaleDownWindow": "300s",
            "scaleToZeroWindow": "3600s",
        },
        "spec.inactiveTimeout": 60,
        "spec.driftPolicy": "Report",
        "spec.maxHourlyCost": "12.50",
        "spec.schedule": {
            "timeZone": "Europe/Berlin",
            "windows": [{"start": "0 8 * * MON-FRI", "stop": "0 18 * * MON-FRI"}],
        },
        "spec.ttl": {"seconds": 86400, "action": "Stop"},
        "spec.connection": {"configMapName": "support-endpoint"},
    },
)
"""Everything that this file is about."""

_METRICS = (
    *("active_sessions", "inflight_requests", "throughput_per_replica", "gpu_utilization"),
    *("token_utilization", "cache_hit_rate", "ttft", "decoding_speed", "e2e_latency"),
)
_NEVER = "never fires: that month has no such day"
_CRON = "must be a cron line of five fields"

SERVING = [
    Case("everything about serving", SERVED),
    *values(
        SERVED,
        "spec.autoscaling.maxReplicas",
        accepted=(2, 1000),
        refused={0: TOO_SMALL, 1001: TOO_BIG},
    ),
    Case(
        "more replicas than autoscaling.maxReplicas",
        changed(SERVED, {"spec.replicas": 5}),
        Refusal("spec.replicas", "set at most autoscaling.maxReplicas"),
    ),
    Case("replicas 0 with autoscaling", changed(SERVED, {"spec.replicas": 0})),
    *(
        Case(
            f"metric {name}",
            changed(SERVED, {"spec.autoscaling.metrics": [{"name": name, "target": 0.5}]}),
        )
        for name in _METRICS
    ),
    Case(
        "an unknown metric",
        changed(SERVED, {"spec.autoscaling.metrics[0].name": "cpu"}),
        Refusal("spec.autoscaling.metrics[0].name", ENUM),
    ),
    *values(
        SERVED,
        "spec.autoscaling.metrics[0].target",
        accepted=(1, 0.25, 1500),
        refused={0: "must be greater than 0"},
    ),
    *values(
        SERVED,
        "spec.autoscaling.metrics[1].target",
        accepted=(100,),
        refused={100.5: "is a percentage"},
    ),
    *values(
        SERVED,
        "spec.autoscaling.metrics[0].percentile",
        accepted=("p50", "p90", "p95", "p99"),
        refused={"p100": ENUM},
    ),
    Case(
        "a percentile of something that is no latency",
        changed(SERVED, {"spec.autoscaling.metrics[1].percentile": "p95"}),
        Refusal("spec.autoscaling.metrics[1].percentile", "only for ttft"),
    ),
    *(
        case
        for window in ("scaleUpWindow", "scaleDownWindow", "scaleToZeroWindow")
        for case in values(
            SERVED,
            f"spec.autoscaling.{window}",
            accepted=("0s", "86400s"),
            refused={"5m": "must be whole seconds with an s", "-1s": "must be whole seconds"},
        )
    ),
    *values(
        SERVED,
        "spec.inactiveTimeout",
        accepted=(0, 30, 1440),
        refused={29: "set 0 for never, or 30 to 1440", 1441: "30 to 1440", -1: "30 to 1440"},
    ),
    *values(SERVED, "spec.driftPolicy", accepted=("Correct", "Report"), refused={"Ignore": ENUM}),
    *values(
        SERVED,
        "spec.maxHourlyCost",
        accepted=("0", "0.5", "10", "1234567.89"),
        refused={
            "$10": "must be dollars as decimal text",
            "1,5": "must be dollars",
            "-1": "must be dollars",
            "ten": "must be dollars",
            "1.234": "must be dollars",
        },
    ),
    *values(
        SERVED,
        "spec.schedule.timeZone",
        accepted=("UTC", "America/New_York", "Australia/Lord_Howe"),
        refused={"Europe/Atlantis": "must be a name of the IANA time zone database"},
    ),
    *(
        case
        for field in ("start", "stop")
        for case in values(
            SERVED,
            f"spec.schedule.windows[0].{field}",
            accepted=("*/15 0-6 1,15 * *", "0 8 29 2 *", "0 0 L * *", "0 9 * * MON#1"),
            refused={
                "0 0 0 8 * *": _CRON,
                "@weekly  ": _CRON,
                "0 8 30 2 *": _NEVER,
                "0 8 31 11 *": _NEVER,
            },
        )
    ),
    *values(
        SERVED,
        "spec.ttl.seconds",
        accepted=(1, 315360000),
        refused={0: TOO_SMALL, 315360001: TOO_BIG},
    ),
    *values(SERVED, "spec.ttl.action", accepted=("Stop",), refused={"Sleep": ENUM}),
    Case(
        "ttl with deletion",
        changed(SERVED, {"spec.ttl.action": "Delete", "spec.deletionPolicy": "Delete"}),
    ),
    Case(
        "ttl with deletion that leaves it running",
        changed(SERVED, {"spec.ttl.action": "Delete"}),
        Refusal("spec.ttl", "would leave replicas running"),
    ),
    *values(
        SERVED,
        "spec.connection.configMapName",
        accepted=("a", "support.v1"),
        refused={"Support": "must be a name for a ConfigMap"},
    ),
    *(
        case
        for path in ("scaling.minReplicas", "scaling.maxReplicas")
        for case in statuses(
            DEPLOYMENT, DEPLOYMENT_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
    *statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "connection.configMapName",
        accepted=("support",),
        refused={"Support": "must be a name for a ConfigMap"},
    ),
]
