"""What the spec says about a rollout, in the words of Together's API."""

from __future__ import annotations

from typing import Literal

from together_operator.api.v1alpha1 import (
    Canary,
    Gate,
    GateMetric,
    ModelDeploymentSpec,
    RolloutStrategy,
)
from together_operator.domain.deployment.scaling import Scaling
from together_operator.domain.together import Deployment
from together_operator.domain.together_rollouts import MetricGate, NewRollout, RolloutStep

_STRATEGIES: dict[RolloutStrategy, Literal["blueGreen", "canary", "rolling"]] = {
    RolloutStrategy.BLUE_GREEN: "blueGreen",
    RolloutStrategy.CANARY: "canary",
    RolloutStrategy.ROLLING: "rolling",
}
_METRICS: dict[GateMetric, Literal["router_error_rate", "router_latency", "inflight_requests"]] = {
    GateMetric.ERROR_RATE: "router_error_rate",
    GateMetric.LATENCY: "router_latency",
    GateMetric.INFLIGHT_REQUESTS: "inflight_requests",
}


def new_rollout(
    spec: ModelDeploymentSpec, wanted: Scaling, source: Deployment, target: Deployment
) -> NewRollout:
    """The rollout from `source` to `target`, which shall have as many replicas as are `wanted`.

    Recreate has none, and is taken for BlueGreen.
    """
    strategy = _STRATEGIES.get(spec.rollout.strategy, "blueGreen")
    canary = spec.rollout.canary or Canary()
    # What autoscaling has grown the source to is needed until autoscaling says otherwise; the
    # money for more than the most that are wanted was never asked for.
    replicas = min(max(wanted.low, source.ready_replicas), wanted.high)
    if strategy != "canary":
        return NewRollout(source.id, target.id, strategy, replicas)
    return NewRollout(
        source.id,
        target.id,
        strategy,
        replicas,
        steps=tuple(RolloutStep(step.traffic, step.replicas) for step in canary.steps),
        interval=canary.interval_seconds,
        gates=tuple(_gate(gate) for gate in canary.gates),
    )


def _gate(gate: Gate) -> MetricGate:
    return MetricGate(
        name=_METRICS[gate.metric],
        maximum=float(gate.max) if gate.max is not None else None,
        max_regression_percent=gate.max_regression_percent,
        percentile=gate.percentile,
    )
