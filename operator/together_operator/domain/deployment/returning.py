"""A change that must not go on: why, and the way back, one step a reconcile."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import (
    RolloutPhase,
    RolloutStatus,
)
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.actions import (
    DeploymentPlan,
    ScaleDeployment,
)
from together_operator.domain.deployment.observed import DEPLOYMENT_INTENT, Observed
from together_operator.domain.deployment.pair import (
    all_to,
    name_of,
    rollout_to,
    weight_of,
    with_progress,
)
from together_operator.domain.deployment.preflight import waits_for_capacity
from together_operator.domain.deployment.removal import Step, ending, taking_down
from together_operator.domain.deployment.scaling import in_doubt, wanted_scaling
from together_operator.domain.deployment.startup import told_by
from together_operator.domain.deployment.status import ROLL, busy, planned
from together_operator.domain.deployment.target import (
    Target,
    asked_target,
    attempt_digest,
    wanted_target,
)
from together_operator.domain.outcome import After
from together_operator.domain.plan import seconds_until_safe
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    Endpoint,
)
from together_operator.domain.together_rollouts import RolloutState

_MAX_CAUSE = 600


_LEAVING = {
    RolloutPhase.CANCELING: Reason.CANCELING_ROLLOUT,
    RolloutPhase.RETURNING: Reason.ROLLING_BACK,
}


PASSING = frozenset(
    {
        "CAPACITY_EXHAUSTED",
        "DEPENDENCY_OUTAGE",
        "INTERNAL",
        "METRICS_UNAVAILABLE",
        "ROUTING_ERROR",
    }
)
"""Failures of a rollout that say nothing about its target: it is resumed after a while."""


_DEAD = frozenset({DeploymentState.FAILED, DeploymentState.STOPPED, DeploymentState.STOPPING})


def leaving(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a change that must not go on: its target failed, or the spec changed."""
    progress = o.progress
    if progress is None or progress.phase in {RolloutPhase.CANCELING, RolloutPhase.RETURNING}:
        return None
    rollout = o.open_rollout
    if rollout is not None and rollout.state is RolloutState.STABILIZING:
        return None  # it has the traffic; what else is wanted comes after it
    why = _cause(o)
    if why is not None:
        return _leave(o, now, progress, RolloutPhase.RETURNING, why)
    wanted = wanted_target(o)
    if o.replicas == 0:
        return _leave(o, now, progress, RolloutPhase.CANCELING, "0 replicas are wanted")
    if isinstance(wanted, Target) and wanted.name != progress.target.name:
        why = "The spec asks for something else meanwhile"
        return _leave(o, now, progress, RolloutPhase.CANCELING, why)
    return None


def replaced_by_a_failure(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for what Recreate put in the place of another, and which fails: bring that back."""
    replacement, current = o.replacement, o.deployment
    asked = asked_target(o)
    if replacement is None or current is None or not isinstance(asked, Target) or o.replicas == 0:
        return None
    if replacement.target.name != asked.name or not asked.is_met_by(o, current):
        return None
    why = _failure_of(o, current)
    if why is None:
        return None
    say = busy(ROLL, Reason.ROLLING_BACK, f"{why}: back to what served before")
    update = {
        "phase": RolloutPhase.FAILED,
        "digest": attempt_digest(asked, o.md.spec),
        "message": why[:_MAX_CAUSE],
    }
    status = o.md.status.model_copy(update={"rollout": replacement.model_copy(update=update)})
    return planned(o, now, say, After(0), status=status)


def _failure_of(o: Observed, deployment: Deployment) -> str | None:
    """Why a deployment can't be used, in Together's words; None as long as it may become good."""
    if deployment.state is DeploymentState.FAILED:
        words = told_by(deployment, o.events) or "Together gave no reason"
        return f"{deployment.name} failed: {words}"
    crashing = deployment.state is DeploymentState.DEGRADED and deployment.ready_replicas == 0
    if crashing and waits_for_capacity(o, deployment) is None:
        return f"{deployment.name} is degraded: {told_by(deployment, o.events)}"
    return None


def _leave(
    o: Observed, now: datetime, progress: RolloutStatus, phase: RolloutPhase, why: str
) -> DeploymentPlan:
    update = {"phase": phase, "message": why[:_MAX_CAUSE]}
    say = busy(ROLL, _LEAVING[phase], f"{why}: back to {name_of(o.deployment)}")
    status = with_progress(o, progress.model_copy(update=update))
    return planned(o, now, say, After(0), status=status)


def _cause(o: Observed) -> str | None:
    """Why the target can't be used, in Together's words; None as long as it may become good."""
    target = o.target
    if target is None:
        return None
    rollout = rollout_to(o, target)
    if rollout is None or target.state is DeploymentState.FAILED:
        return _failure_of(o, target)
    words = rollout.message.rstrip(".")
    if rollout.state is RolloutState.CANCELED:
        return f"Rollout {rollout.id} was canceled at Together: {words or 'no reason was given'}"
    if rollout.state is RolloutState.SYSTEM_PAUSED and rollout.failure not in PASSING:
        log = told_by(target, o.events) if rollout.failure == "TARGET_NOT_READY" else ""
        more = f". {log}" if log and log not in words else ""
        return f"Together stopped the rollout ({rollout.failure}): {words}{more}"
    return None


def going_back(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a change that is given up: end the rollout, move traffic back, take down."""
    progress, current = o.progress, o.deployment
    if progress is None or current is None or o.endpoint is None:
        return None
    if progress.phase not in {RolloutPhase.CANCELING, RolloutPhase.RETURNING}:
        return None
    step = _step_back(o, now, o.endpoint, current)
    if step is None:
        return _given_up(o, now, progress)
    why = progress.message or ""
    say = busy(ROLL, _LEAVING[progress.phase], f"{why}. {step.words}".lstrip(". "))
    wait = 0.0 if step.at_once else o.process.soon
    return planned(o, now, say, After(wait), step.action, with_progress(o, progress))


def _step_back(o: Observed, now: datetime, endpoint: Endpoint, current: Deployment) -> Step | None:
    rollout, target, replicas = o.open_rollout, o.target, o.replicas
    if rollout is not None:
        return ending(rollout, (o.progress.message if o.progress else None) or "Given up")
    if target is None:
        intent = o.intent(DEPLOYMENT_INTENT)
        safe = intent is None or seconds_until_safe(intent, o.process, o.last_sent, now) <= 0
        return None if safe else Step("Making sure that no deployment appears after all", None)
    if weight_of(o, target) > 0 and replicas > 0:
        if current.max_replicas < replicas:
            grow = ScaleDeployment(endpoint.id, current.id, replicas)
            return Step(f"Scaling {name_of(current)} to {replicas} replicas", grow)
        able = current.ready_replicas >= replicas or current.state is DeploymentState.READY
        if not able and target.ready_replicas > 0 and current.state not in _DEAD:
            return Step(f"{name_of(current)} has to be ready first", None)
        back = all_to(endpoint, current, target)
        return Step(f"Moving traffic to {name_of(current)}", back, at_once=True)
    return taking_down(endpoint, [target])


def _given_up(o: Observed, now: datetime, progress: RolloutStatus) -> DeploymentPlan:
    """The target is gone: remember it if it failed, so that it is not tried again."""
    kept = None
    if progress.phase == RolloutPhase.RETURNING:
        record = progress.target.model_copy(update={"id": None, "state": None})
        update = {"phase": RolloutPhase.FAILED, "target": record, "traffic_percent": 0}
        kept = progress.model_copy(update=update)
    say = busy(ROLL, _LEAVING[progress.phase], f"Everything is back on {name_of(o.deployment)}")
    # Between here and there both were scaled, which is nobody's drift.
    scaling = in_doubt(o.md.status.scaling, wanted_scaling(o.md, now))
    update = {"rollout": kept, "intent": None, "startup": (), "scaling": scaling}
    return planned(o, now, say, After(0), status=o.md.status.model_copy(update=update))
