"""Together's rollouts and events as records: states, what one is asked for, what it says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class RolloutState(StrEnum):
    """State of a rollout; UNKNOWN is one that this version does not know."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    PAUSING = "PAUSING"
    PAUSED = "PAUSED"
    SYSTEM_PAUSED = "SYSTEM_PAUSED"
    STABILIZING = "STABILIZING"
    CANCELLING = "CANCELLING"
    CANCELED = "CANCELED"
    COMPLETED = "COMPLETED"
    UNKNOWN = "UNKNOWN"


class RolloutVerb(StrEnum):
    """What can be done to a rollout that is there."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """A step of a canary: percent of the traffic, and replicas of the target (None: its share)."""

    traffic: int
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A measure that must hold after each step of a canary.

    Args:
        name: `router_error_rate` (a ratio), `router_latency` (milliseconds), `inflight_requests`.
        maximum: the largest value that passes; None when `max_regression_percent` is given.
        percentile: of a latency; None is the mean.
    """

    name: Literal["router_error_rate", "router_latency", "inflight_requests"]
    maximum: float | None = None
    max_regression_percent: float | None = None
    percentile: int | None = None


@dataclass(frozen=True, slots=True)
class NewRollout:
    """What a rollout is created from; `steps`, `interval` (seconds) and `gates` are a canary's."""

    source_id: str
    target_id: str
    strategy: Literal["blueGreen", "canary", "rolling"]
    final_target_replicas: int
    steps: tuple[RolloutStep, ...] = ()
    interval: int = 0
    gates: tuple[MetricGate, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """A shift of traffic between two deployments of an endpoint.

    Args:
        step: the step it is at, from 0; None before it is started.
        traffic_percent: what the target gets.
        failure: why it stopped, as the API classifies it, e.g. METRIC_REGRESSION.
        message: the API's words about that.
    """

    id: str
    endpoint_id: str
    source_id: str
    target_id: str
    state: RolloutState
    step: int | None = None
    steps: int = 0
    traffic_percent: int = 0
    failure: str = ""
    message: str = ""
    paused_at: datetime | None = None
    created_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still binds its endpoint and its deployments."""
        return self.state not in {RolloutState.CANCELED, RolloutState.COMPLETED}


@dataclass(frozen=True, slots=True)
class EndpointEvent:
    """An entry of an endpoint's feed, e.g. of type `pod.startup_phase_changed`."""

    id: str
    type: str
    created_at: datetime
    deployment_id: str = ""
    level: str = ""
    reason: str = ""
    message: str = ""
    log_excerpt: str = ""
