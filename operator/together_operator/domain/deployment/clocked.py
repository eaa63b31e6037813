"""The rows that the clock decides, and how a plan is told of the next change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import ModelDeployment, NextChange
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import DeleteObject, DeploymentPlan
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.restart import with_start_kept
from together_operator.domain.deployment.status import (
    DEPLOY,
    busy,
    failed,
    failure,
    planned,
    stalled,
)
from together_operator.domain.deployment.timetable import Due, due, problem
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Failed, Outcome
from together_operator.domain.plan import has_finalizer, is_deleting

LONGEST_NAP = 300.0
"""Seconds that are slept at most before a change of the timetable, in case the clock is set."""


def unfit_schedule(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a schedule that can't be followed: nothing is started or stopped by guesses.

    Where nothing shall run whatever it says, there is nothing to guess.
    """
    found = problem(o.md.spec.schedule) if o.md.spec.schedule is not None else None
    if found is None or o.md.spec.replicas == 0 or due(o.md, now).reason is Reason.EXPIRED:
        return None
    message = f"{found}. Until then nothing is changed, and what runs is billed."
    return failed(o, now, stalled(DEPLOY, Reason.SCHEDULE_INVALID, message))


def expired(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for the end of a lifetime that asks for the object's deletion."""
    if not due(o.md, now).deletes:
        return None
    say = busy(DEPLOY, Reason.EXPIRED, "spec.ttl is over: deleting this object")
    return planned(o, now, say, After(o.process.soon), DeleteObject())


def stopped(o: Observed, now: datetime) -> Situation:
    """Nothing runs, because nothing shall."""
    if o.md.spec.replicas == 0:
        message = "0 replicas are wanted: nothing is billed"
        return Situation(Health.READY, Reason.STOPPED, message)
    clock = due(o.md, now)
    if clock.reason is Reason.EXPIRED:
        message = "spec.ttl is over: nothing runs and nothing is billed"
        return Situation(Health.READY, Reason.EXPIRED, message)
    message = f"Outside of spec.schedule nothing runs and nothing is billed{_announced(clock)}"
    return Situation(Health.READY, Reason.OUTSIDE_SCHEDULE, message)


def _announced(clock: Due) -> str:
    change = clock.next_change
    return f"; {change.action} at {change.time:%Y-%m-%d %H:%M}Z" if change is not None else ""


def on_time(o: Observed, now: datetime, plan: DeploymentPlan) -> DeploymentPlan:
    """The plan whose status says what comes next, and which is back when it comes."""
    if is_deleting(o.md) or not has_finalizer(o.md):
        return plan
    change = due(o.md, now).next_change
    status = plan.status
    if status.next_change != change:
        status = status.model_copy(update={"next_change": change})
    return replace(plan, status=status, outcome=_before(plan.outcome, status.next_change, now))


def failing(o: Observed, now: datetime, error: StageError) -> DeploymentPlan:
    """The plan for an error that came up while looking or acting.

    A change of the timetable that has just passed was tried by this look: what is waited for now
    is its backoff, or the change after it.
    """
    plan = on_time(o, now, failure(o, now, error))
    return replace(plan, status=with_start_kept(o, now, plan.status))


def woken(md: ModelDeployment, now: datetime, outcome: Outcome) -> Outcome:
    """An outcome that does not sleep over the next change that status announces."""
    return outcome if is_deleting(md) else _before(outcome, md.status.next_change, now)


def _before(outcome: Outcome, change: NextChange | None, now: datetime) -> Outcome:
    if change is None:
        return outcome
    left = max(0.0, (change.time - now).total_seconds())
    match outcome:
        case Done():
            return After(min(left, LONGEST_NAP))
        case After(seconds):
            return After(min(seconds, left))
        case Failed(reason, seconds, terminal):
            return Failed(reason, min(seconds, left), terminal)
    return outcome
