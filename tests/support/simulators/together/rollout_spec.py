"""What a rollout may ask for: strategies, steps and metric gates, with their defaults."""

import math
import re
from typing import Any, Literal

from tests.support.simulators.together.errors import invalid
from tests.support.simulators.together.records import Deployment, RolloutStep

_LADDER = (5, 25, 50, 100)
_INTERVAL = "180s"
_DURATION = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?s")
_STRATEGIES: dict[str, Literal["BLUE_GREEN", "CANARY", "ROLLING"]] = {
    "blueGreen": "BLUE_GREEN",
    "canary": "CANARY",
    "rolling": "ROLLING",
}
_METRICS = ("inflight_requests", "router_error_rate", "router_latency")


def read(body: dict[str, Any], source: Deployment, target: Deployment) -> dict[str, Any]:
    """The fields of a rollout that follow from a request; ApiError 400."""
    given = [name for name in _STRATEGIES if body.get(name) is not None]
    if len(given) != 1:
        raise invalid("strategy: give exactly one of blueGreen, canary and rolling")
    strategy = _STRATEGIES[given[0]]
    metrics = body.get("metrics") or []
    if metrics and strategy != "CANARY":
        raise invalid("metrics: only canary rollouts have metric gates")
    for metric in metrics:
        _check_metric(metric)
    final_target = body.get("finalTargetReplicas", source.desired)
    if not isinstance(final_target, int) or final_target < 1:
        raise invalid("finalTargetReplicas: must be at least 1")
    final_source = body.get("finalSourceReplicas", 0)
    if not isinstance(final_source, int) or final_source < 0:
        raise invalid("finalSourceReplicas: must not be negative")
    options = body[given[0]]
    return {
        "strategy": strategy,
        "steps": _steps(strategy, options, final_target, source.desired),
        "interval": _interval(options) if strategy == "CANARY" else 0.0,
        "metrics": metrics,
        "final_source": final_source,
        "final_target": max(final_target, target.autoscaling["minReplicas"]),
        "source_max": source.autoscaling["maxReplicas"],
    }


def _steps(
    strategy: str, options: dict[str, Any], final_target: int, source_replicas: int
) -> list[RolloutStep]:
    if strategy == "BLUE_GREEN":
        return [RolloutStep(traffic=100, replicas=final_target)]
    if strategy == "ROLLING":
        return [
            RolloutStep(
                traffic=round(100 * batch / final_target),
                replicas=batch,
                source_replicas=max(0, source_replicas - batch),
            )
            for batch in range(1, final_target + 1)
        ]
    wanted = options.get("steps") or [{"traffic": percent} for percent in _LADDER]
    percents = [step.get("traffic") for step in wanted]
    if not all(isinstance(p, int) and 1 <= p <= 100 for p in percents):
        raise invalid("canary.steps: traffic is a percentage from 1 to 100")
    if percents != sorted(set(percents)) or percents[-1] != 100:
        raise invalid("canary.steps: must increase and end at 100")
    return [
        RolloutStep(
            traffic=step["traffic"],
            replicas=step.get("replicas") or math.ceil(final_target * step["traffic"] / 100),
        )
        for step in wanted
    ]


def _interval(options: dict[str, Any]) -> float:
    text = options.get("stepInterval") or _INTERVAL
    if not isinstance(text, str) or not _DURATION.fullmatch(text) or float(text[:-1]) <= 0:
        raise invalid('canary.stepInterval: must be positive seconds such as "180s"')
    return float(text[:-1])


def _check_metric(metric: dict[str, Any]) -> None:
    name = metric.get("name")
    if name not in _METRICS:
        raise invalid(f"metrics: use one of {', '.join(_METRICS)}")
    if len(metric.keys() & {"thresholdCheck", "regressionCheck"}) != 1:
        raise invalid("metrics: give either thresholdCheck or regressionCheck")
    if name == "router_latency" and not metric.get("stat"):
        raise invalid("metrics: router_latency needs stat")
    if (metric.get("stat") == "METRIC_STAT_TYPE_PERCENTILE") != ("percentile" in metric):
        raise invalid("metrics: percentile belongs to METRIC_STAT_TYPE_PERCENTILE")
