"""How many replicas are wanted now, between which bounds, and by which rules Together scales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from together_operator.api.v1alpha1 import Autoscaling, ModelDeployment, ScalingStatus
from together_operator.domain.deployment.timetable import due
from together_operator.domain.names import short_hash
from together_operator.domain.together import (
    DEFAULT_METRICS,
    DEFAULT_SCALE_DOWN,
    DEFAULT_SCALE_UP,
    Deployment,
    DeploymentState,
    ScalingMetric,
    Tuning,
)


@dataclass(frozen=True, slots=True)
class Scaling:
    """Bounds of the number of replicas, and how Together moves between them."""

    low: int
    high: int
    tuning: Tuning

    @property
    def digest(self) -> str:
        """Tells one way of scaling from another; bounds are not part of it."""
        return short_hash(repr(self.tuning))

    @property
    def text(self) -> str:
        """For people: 2 replicas, or 1 to 4 replicas."""
        if self.low == self.high:
            return f"{self.high} replica{'s' if self.high != 1 else ''}"
        return f"{self.low} to {self.high} replicas"

    @property
    def record(self) -> ScalingStatus:
        """What status keeps of it once Together was asked for it."""
        return ScalingStatus(min_replicas=self.low, max_replicas=self.high, digest=self.digest)


def wanted_scaling(md: ModelDeployment, now: datetime) -> Scaling:
    """What the spec asks for at `now`: outside of schedule and lifetime nothing runs."""
    spec = md.spec
    tuning = _tuning(spec.autoscaling, spec.inactive_timeout or 0)
    if spec.replicas == 0 or not due(md, now).runs:
        return Scaling(0, 0, tuning)
    high = spec.autoscaling.max_replicas if spec.autoscaling is not None else spec.replicas
    return Scaling(spec.replicas, max(high, spec.replicas), tuning)


def _tuning(autoscaling: Autoscaling | None, inactive_timeout: int) -> Tuning:
    if autoscaling is None:
        return Tuning(scale_to_zero_window=0, inactive_timeout=inactive_timeout)
    metrics = tuple(
        ScalingMetric(m.name.value, m.target, m.percentile.value if m.percentile else None)
        for m in autoscaling.metrics
    )
    return Tuning(
        metrics=metrics or DEFAULT_METRICS,
        scale_up_window=_seconds(autoscaling.scale_up_window, DEFAULT_SCALE_UP),
        scale_down_window=_seconds(autoscaling.scale_down_window, DEFAULT_SCALE_DOWN),
        scale_to_zero_window=_seconds(autoscaling.scale_to_zero_window, 0),
        inactive_timeout=inactive_timeout,
    )


def _seconds(window: str | None, default: int) -> int:
    return default if window is None else int(window.removesuffix("s"))


def has_bounds(deployment: Deployment, wanted: Scaling) -> bool:
    """True when Together has the bounds that are wanted."""
    return (deployment.min_replicas, deployment.max_replicas) == (wanted.low, wanted.high)


def is_tuned(live: Tuning, wanted: Tuning) -> bool:
    """True when Together scales as is wanted. None in `wanted` leaves a setting to Together."""
    if (live.scale_to_zero_window or 0) != (wanted.scale_to_zero_window or 0):
        return False
    if (live.inactive_timeout or 0) != (wanted.inactive_timeout or 0):
        return False
    if wanted.metrics is None:
        return True
    up, down = live.scale_up_window or 0, live.scale_down_window
    return (
        up == wanted.scale_up_window
        and (DEFAULT_SCALE_DOWN if down is None else down) == wanted.scale_down_window
        and _same(live.metrics or DEFAULT_METRICS, wanted.metrics)
    )


def _same(live: tuple[ScalingMetric, ...], wanted: tuple[ScalingMetric, ...]) -> bool:
    """Without a percentile in the spec, Together's choice of one is as good as any."""
    known = {metric.name: metric for metric in live}
    if known.keys() != {metric.name for metric in wanted}:
        return False
    return all(
        known[m.name].target == m.target and m.percentile in {None, known[m.name].percentile}
        for m in wanted
    )


def change_of(live: Tuning, wanted: Scaling) -> Tuning:
    """What has to be written: settings that were never set and shall not be are left out."""
    tuning = wanted.tuning
    if (live.scale_to_zero_window or 0) == (tuning.scale_to_zero_window or 0) == 0:
        tuning = replace(tuning, scale_to_zero_window=None)
    if (live.inactive_timeout or 0) == (tuning.inactive_timeout or 0):
        tuning = replace(tuning, inactive_timeout=None)
    return tuning


def was_asked_for(status: ScalingStatus | None, wanted: Scaling) -> bool:
    """True when Together was last asked for just this."""
    return status is not None and (
        (status.min_replicas, status.max_replicas, status.digest)
        == (wanted.low, wanted.high, wanted.digest)
    )


def in_doubt(before: ScalingStatus | None, wanted: Scaling) -> ScalingStatus:
    """The record from just before `wanted` is asked for until a look finds it.

    Nothing that differs meanwhile is somebody else's doing. Who had traffic is still known.
    """
    routed = before.routed if before is not None else None
    return ScalingStatus(min_replicas=wanted.low, max_replicas=wanted.high, routed=routed)


def is_start_due(status: ScalingStatus | None) -> bool:
    """True when a start of what had ended was decided, and Together was not asked for it yet."""
    return status is not None and status.digest is None and status.max_replicas == 0


def may_idle(wanted: Scaling) -> bool:
    """True where Together itself may stop what is wanted, for want of requests."""
    idles = wanted.tuning.inactive_timeout or wanted.tuning.scale_to_zero_window
    return wanted.high > 0 and bool(idles)


def is_idle(deployment: Deployment, wanted: Scaling, status: ScalingStatus | None) -> bool:
    """True for one that Together itself stopped, because nobody sent a request for long enough.

    Nothing is started again then until somebody asks for something else than before.
    """
    stopped = deployment.state in {DeploymentState.STOPPING, DeploymentState.STOPPED}
    # Whether the bounds are then those that were asked for or 0 and 0 is Together's affair.
    alone = deployment.max_replicas == 0 or has_bounds(deployment, wanted)
    return may_idle(wanted) and stopped and alone and was_asked_for(status, wanted)


def drift_of(deployment: Deployment, wanted: Scaling) -> str:
    """What differs from what was asked for, in words; empty when nothing does."""
    found = []
    if not has_bounds(deployment, wanted):
        live = Scaling(deployment.min_replicas, deployment.max_replicas, wanted.tuning)
        found.append(f"{live.text} instead of {wanted.text}")
    if not is_tuned(deployment.tuning, wanted.tuning):
        found.append("other autoscaling or inactivity settings")
    return " and ".join(found)
