"""The rules of a deployment's `autoscaling`, `placement` and limits."""

import re
from typing import Any

from tests.support.simulators.together.catalog import REGIONS
from tests.support.simulators.together.errors import invalid

_DURATION = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?s")
_WINDOWS = ("scaleUpWindow", "scaleDownWindow", "scaleToZeroWindow")
_METRICS = {
    "active_sessions": "METRIC_TARGET_TYPE_VALUE",
    "inflight_requests": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
    "throughput_per_replica": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
    "gpu_utilization": "METRIC_TARGET_TYPE_UTILIZATION",
    "token_utilization": "METRIC_TARGET_TYPE_UTILIZATION",
    "cache_hit_rate": "METRIC_TARGET_TYPE_UTILIZATION",
    "ttft": "METRIC_TARGET_TYPE_VALUE",
    "decoding_speed": "METRIC_TARGET_TYPE_VALUE",
    "e2e_latency": "METRIC_TARGET_TYPE_VALUE",
}
_LATENCIES = ("ttft", "decoding_speed", "e2e_latency")
_PERCENTILES = ("p50", "p90", "p95", "p99")
_KNOWN = {"minReplicas", "maxReplicas", "scaleUp", "scaleDown", "scalingMetrics", *_WINDOWS}
_MAX_REPLICAS = 1000


def merged(current: dict[str, Any], change: object) -> dict[str, Any]:
    """`autoscaling` after a create (`current` is empty) or an update; ApiError 400.

    A bound that is left out stays as it is; on create, the maximum is the minimum.
    """
    if not isinstance(change, dict):
        raise invalid("autoscaling: must be an object")
    unknown = sorted(change.keys() - _KNOWN)
    if unknown:
        raise invalid(f"autoscaling: unknown field {unknown[0]!r}")
    result = {**current, **{k: v for k, v in change.items() if v is not None}}
    if not current:
        result.setdefault("minReplicas", result.get("maxReplicas"))
        result.setdefault("maxReplicas", result["minReplicas"])
    _check_bounds(result)
    for window in _WINDOWS:
        value = result.get(window)
        if value is not None and not (isinstance(value, str) and _DURATION.fullmatch(value)):
            raise invalid(f'autoscaling.{window}: {value!r} is not seconds such as "300s"')
    for metric in result.get("scalingMetrics", []):
        _check_metric(metric)
    return result


def _check_bounds(autoscaling: dict[str, Any]) -> None:
    low, high = (_bound(autoscaling, name) for name in ("minReplicas", "maxReplicas"))
    if low > high:
        raise invalid(f"autoscaling: minReplicas ({low}) is greater than maxReplicas ({high})")
    if low == 0 and high > 0:
        raise invalid("autoscaling: minReplicas 0 needs maxReplicas 0, which stops the deployment")


def _bound(autoscaling: dict[str, Any], name: str) -> int:
    value = autoscaling.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_REPLICAS:
        return value
    raise invalid(f"autoscaling.{name}: must be a number from 0 to {_MAX_REPLICAS}")


def _check_metric(metric: object) -> None:
    if not isinstance(metric, dict) or metric.get("name") not in _METRICS:
        raise invalid(f"autoscaling.scalingMetrics: use one of {', '.join(sorted(_METRICS))}")
    name, target = metric["name"], metric.get("target")
    if metric.get("type") != _METRICS[name]:
        raise invalid(f"autoscaling.scalingMetrics: {name} has type {_METRICS[name]}")
    if not isinstance(target, int | float) or target <= 0:
        raise invalid(f"autoscaling.scalingMetrics: the target of {name} must be positive")
    if metric["type"] == "METRIC_TARGET_TYPE_UTILIZATION" and target > 100:
        raise invalid(f"autoscaling.scalingMetrics: the target of {name} is a percentage")
    percentile = metric.get("percentile")
    if percentile is not None and (name not in _LATENCIES or percentile not in _PERCENTILES):
        raise invalid(
            f"autoscaling.scalingMetrics: percentile is one of {', '.join(_PERCENTILES)}, and "
            f"only for {', '.join(_LATENCIES)}"
        )


def check_placement(placement: object) -> dict[str, Any] | None:
    """A checked `placement`, or None without one; ApiError 400."""
    if placement is None:
        return None
    if not isinstance(placement, dict) or len(placement.keys() & {"inline", "profile"}) != 1:
        raise invalid("placement: give either inline or profile")
    if "profile" in placement:
        raise invalid(f"placement.profile: {placement['profile']!r} does not exist")
    inline = placement["inline"]
    unknown = [region for region in inline.get("regions", []) if region not in REGIONS]
    if unknown:
        raise invalid(
            f"placement.inline.regions: unknown region {unknown[0]!r}, use {', '.join(REGIONS)}"
        )
    if inline.get("constraint") not in (None, "ENFORCEMENT_REQUIRED", "ENFORCEMENT_PREFERRED"):
        raise invalid("placement.inline.constraint: use ENFORCEMENT_REQUIRED or _PREFERRED")
    return placement


def check_inactive_timeout(minutes: object) -> int:
    """A checked `inactiveTimeout` in minutes; ApiError 400."""
    if isinstance(minutes, int) and (minutes == 0 or 30 <= minutes <= 1440):
        return minutes
    raise invalid("inactiveTimeout: must be 0, or 30 to 1440 minutes")


def check_concurrency(value: object, limit: int) -> str:
    """A checked `maxConcurrentRequestsPerReplica`, reduced to what the config can do."""
    if not isinstance(value, str) or not value.isdigit():
        raise invalid("maxConcurrentRequestsPerReplica: must be a number as a string")
    return str(min(int(value), limit - 1))
