"""How a decision becomes a plan whose status says everything that follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar

from together_operator.api.v1alpha1 import (
    CustomModel,
    CustomModelStatus,
    ModelDeployment,
    ModelDeploymentStatus,
    Retry,
)
from together_operator.domain.conditions import (
    DELETION,
    Health,
    Situation,
    Stage,
    conditions_for,
)
from together_operator.domain.failures import StageError, retry_delay, situation_of
from together_operator.domain.outcome import Failed, Outcome
from together_operator.domain.plan import (
    LET_GO,
    Plan,
    Process,
    asks_anew,
    is_deleting,
    is_released,
    retry_request,
)

R = TypeVar("R", CustomModel, ModelDeployment)
S = TypeVar("S", CustomModelStatus, ModelDeploymentStatus)


R_co = TypeVar("R_co", CustomModel, ModelDeployment, covariant=True)


class Seen(Protocol[R_co]):
    """What every kind's observation has."""

    @property
    def resource(self) -> R_co:
        """The object."""

    @property
    def process(self) -> Process:
        """The process that decides."""

    @property
    def jitter(self) -> float:
        """From 0 up to 1, for the backoff of a failure."""


@dataclass(frozen=True)
class Telling(Generic[R, S]):
    """Plans of one kind.

    Args:
        status_of: the object's stored status.
        stages: the kind's stages, with what each says once it is done.
        phase: the one word for a situation.
    """

    status_of: Callable[[R], S]
    stages: Callable[[R, S], tuple[Stage, ...]]
    phase: Callable[[Situation], str]

    def planned(
        self,
        seen: Seen[R],
        now: datetime,
        situation: Situation,
        outcome: Outcome,
        action: Any = None,
        status: S | None = None,
    ) -> Plan[S, Any]:
        """A plan whose status says `situation`; `status` is the object's own unless given.

        Failures are forgotten when nothing is left to do but to look again; an action's own
        failures are counted until it succeeds.
        """
        base = status if status is not None else self.status_of(seen.resource)
        if action is None:
            base = base.model_copy(update={"retry": None})
        return Plan(self._told(seen.resource, base, situation, now), outcome, action)

    def failed(
        self,
        seen: Seen[R],
        now: datetime,
        situation: Situation,
        status: S | None = None,
        failures: int | None = None,
    ) -> Plan[S, Any]:
        """A plan that counts a failure and comes back after its backoff.

        `failures` is for what is counted elsewhere, since it runs between its failures. Of those,
        what only a person can mend waits for the longest delay at once.
        """
        base = status if status is not None else self.status_of(seen.resource)
        backoff, stalled = seen.process.backoff, situation.health is Health.STALLED
        if failures is not None and stalled:
            delay = backoff.longest(seen.jitter)
        else:
            failures = failures if failures is not None else _failures(base) + 1
            delay = backoff.delay(failures, seen.jitter)
        return self._retried(seen.resource, base, now, situation, failures, delay)

    def failure(self, seen: Seen[R], now: datetime, error: StageError) -> Plan[S, Any]:
        """A plan for an error that came up while looking or acting."""
        base = self.status_of(seen.resource)
        failures = _failures(base) + 1
        delay = retry_delay(error, failures, seen.process.backoff, seen.jitter)
        situation = situation_of(error)
        if is_deleting(seen.resource):
            situation = _while_deleting(situation)
        return self._retried(seen.resource, base, now, situation, failures, delay)

    def seconds_to_wait(self, resource: R, now: datetime) -> float:
        """How long a failed object's backoff still lasts; 0 for one that changed since."""
        if is_deleting(resource) and is_released(resource):
            return 0.0  # an annotation is no new generation
        status = self.status_of(resource)
        retry = status.retry
        if retry is None or retry.next_attempt_time is None:
            return 0.0
        if asks_anew(resource, status.observed_generation, status.last_retry):
            return 0.0
        return max(0.0, (retry.next_attempt_time - now).total_seconds())

    def _retried(
        self,
        resource: R,
        status: S,
        now: datetime,
        situation: Situation,
        failures: int,
        delay: float,
    ) -> Plan[S, Any]:
        retry = Retry(failures=failures, next_attempt_time=now + timedelta(seconds=delay))
        base = status.model_copy(update={"retry": retry})
        stalled = situation.health is Health.STALLED
        outcome = Failed(situation.reason, delay, terminal=stalled)
        return Plan(self._told(resource, base, situation, now), outcome)

    def _told(self, resource: R, status: S, situation: Situation, now: datetime) -> S:
        """`status` with phase, generation and all conditions."""
        generation = resource.metadata.generation
        before = self.status_of(resource).conditions
        stages = self.stages(resource, status)
        return status.model_copy(
            update={
                "observed_generation": generation,
                "last_retry": retry_request(resource),
                "phase": self.phase(situation),
                "conditions": tuple(conditions_for(stages, situation, generation, before, now)),
            }
        )


def _while_deleting(situation: Situation) -> Situation:
    """A failure that holds up a deletion is about none of the stages."""
    message = situation.message
    if situation.health is Health.STALLED:
        message = f"{message.rstrip('.')}. {LET_GO}"
    return replace(situation, stage=DELETION, message=message)


def _failures(status: CustomModelStatus | ModelDeploymentStatus) -> int:
    return status.retry.failures if status.retry is not None else 0
