"""Decisions about a ModelDeployment: from what was observed to a plan. Pure; one row a situation.

This file has the order of the rows; each of the others has the rows of one stretch of its life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import DeploymentPlan
from together_operator.domain.deployment.budget import unaffordable, with_reservation
from together_operator.domain.deployment.clocked import expired, on_time, unfit_schedule
from together_operator.domain.deployment.connection import connected
from together_operator.domain.deployment.creation import (
    creating_deployment,
    creating_endpoint,
    lost_deployment,
    lost_endpoint,
    waiting_for_model,
)
from together_operator.domain.deployment.deletion import deleting
from together_operator.domain.deployment.existing import (
    adopting_deployment,
    foreign_model,
    unseen,
)
from together_operator.domain.deployment.fitness import unfit_metrics
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.pair import as_seen
from together_operator.domain.deployment.restart import with_start_kept
from together_operator.domain.deployment.rolling import ROLLING_ROWS
from together_operator.domain.deployment.serving import serving, settled, without_replicas
from together_operator.domain.deployment.status import DEPLOY, planned
from together_operator.domain.outcome import After, Done, Outcome
from together_operator.domain.plan import AddFinalizer, Plan, has_finalizer, is_deleting
from together_operator.domain.together import DOWN, DeploymentState


def decide(observed: Observed, now: datetime) -> DeploymentPlan:
    """The plan for what was observed: that of the first row which has one."""
    observed = replace(observed, now=now)
    for row in ROWS:
        plan = row(observed, now)
        if plan is not None:
            plan = connected(observed, now, plan)
            plan = on_time(observed, now, _held_back(observed, now, plan))
            plan = replace(plan, status=with_start_kept(observed, now, plan.status))
            return with_reservation(observed, now, plan)
    raise AssertionError("the last row always has a plan")


def _held_back(o: Observed, now: datetime, plan: DeploymentPlan) -> DeploymentPlan:
    """`suspend` lets everything be followed and nothing be changed; deletion goes on."""
    changes = plan.action is not None and not isinstance(plan.action, AddFinalizer)
    if not o.md.spec.suspend or is_deleting(o.md) or not changes:
        return plan
    message = f"spec.suspend is true: {type(plan.action).__name__} is held back."
    if any(deployment.scheduled_replicas for deployment in o.deployments):
        message += (
            " What runs stays and is billed: to stop it, set suspend to false and replicas to 0."
        )
    say = Situation(Health.PAUSED, Reason.SUSPENDED, message, DEPLOY)
    return planned(o, now, say, _look_again(o), status=as_seen(o))


def _look_again(o: Observed) -> Outcome:
    """Soon while something is under way at Together; else the ordinary round is enough."""
    calm = all(d.state in {DeploymentState.READY, *DOWN} for d in o.deployments)
    return Done() if calm and o.open_rollout is None else After(o.process.poll)


def _without_finalizer(o: Observed, now: datetime) -> DeploymentPlan | None:
    del now
    return None if has_finalizer(o.md) else Plan(o.md.status, After(0), AddFinalizer())


Row = Callable[[Observed, datetime], DeploymentPlan | None]

ROWS: tuple[Row, ...] = (
    deleting,
    _without_finalizer,
    unseen,
    expired,
    unfit_schedule,
    settled,
    foreign_model,
    waiting_for_model,
    unfit_metrics,
    adopting_deployment,
    unaffordable,
    lost_endpoint,
    creating_endpoint,
    lost_deployment,
    *ROLLING_ROWS,
    creating_deployment,
    without_replicas,
    serving,
)
