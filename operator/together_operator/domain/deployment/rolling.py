"""From one deployment to another: begun, followed, given up, finished; one row a situation.

At most two of ours exist at any time. Traffic is moved by Together's own rollouts, which need a
READY source; where the source serves with less than that, the split is moved here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from together_operator.api.v1alpha1 import (
    DeploymentStatus,
    ModelStatus,
    RolloutPhase,
    RolloutStatus,
)
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import (
    ActOnRollout,
    CreateDeployment,
    CreateRollout,
    DeploymentPlan,
    ScaleDeployment,
)
from together_operator.domain.deployment.changing import changing, replacing, tidying
from together_operator.domain.deployment.creation import deployment_intent
from together_operator.domain.deployment.observed import DEPLOYMENT_INTENT, Observed
from together_operator.domain.deployment.pair import (
    all_to,
    rollout_to,
    weight_of,
    with_progress,
)
from together_operator.domain.deployment.preflight import waits_for_capacity
from together_operator.domain.deployment.returning import going_back, leaving, replaced_by_a_failure
from together_operator.domain.deployment.rollout_spec import new_rollout
from together_operator.domain.deployment.scaling import change_of, may_idle, wanted_scaling
from together_operator.domain.deployment.startup import told_by
from together_operator.domain.deployment.status import ROLL, busy, planned, rollout_cost
from together_operator.domain.deployment.target import (
    Target,
    attempt_digest,
    model_of,
    wanted_target,
)
from together_operator.domain.outcome import After
from together_operator.domain.plan import seconds_until_safe
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    Tuning,
)
from together_operator.domain.together_rollouts import Rollout, RolloutState, RolloutVerb

PROMOTE_ANNOTATION = "together.ai/promote"
"""Names the deployment that shall get all traffic at once, whatever steps are left."""

_HALTED = frozenset({RolloutState.PENDING, RolloutState.PAUSED, RolloutState.SYSTEM_PAUSED})
"""States in which a rollout moves nothing until it is told to."""


def finished(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a target that has all the traffic: from now on it is the deployment."""
    progress, target, current = o.progress, o.target, o.deployment
    if progress is None or current is None:
        return None
    if target is None:
        arrived = current.name.rpartition("/")[2] == progress.target.name
        if not arrived:
            return None
        # The old one is gone, and status had not been told.
        return _moved(o, now, progress, current, None)
    rollout = rollout_to(o, target)
    completed = rollout is not None and rollout.state is RolloutState.COMPLETED
    by_hand = (
        progress.phase in {RolloutPhase.PREPARING, RolloutPhase.RUNNING}
        and o.open_rollout is None
        and weight_of(o, target) > 0
        and weight_of(o, current) == 0
    )
    down = target.state in {DeploymentState.STOPPED, DeploymentState.STOPPING}
    # While nobody looked, Together may have stopped it again for want of requests.
    idles = completed and down and may_idle(wanted_scaling(o.md, now))
    if not idles and (target.ready_replicas == 0 or not (completed or by_hand)):
        return None
    return _moved(o, now, progress, target, current)


def _moved(
    o: Observed,
    now: datetime,
    progress: RolloutStatus,
    deployment: Deployment,
    before: Deployment | None,
) -> DeploymentPlan:
    record = progress.target.model_copy(
        update={"id": deployment.id, "state": deployment.state.value}
    )
    update = {
        "deployment": record,
        "model": progress.model or o.md.status.model,
        "previous": o.md.status.deployment if before is not None else None,
        "rollout": None,
        # The rollout has left bounds of its own, which are nobody's drift.
        "scaling": None,
        "cost": rollout_cost(o, record.hardware),
    }
    say = busy(ROLL, Reason.ROLLING_OUT, f"Traffic has moved to {deployment.name}")
    return planned(o, now, say, After(0), status=o.md.status.model_copy(update=update))


def rediscovered(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a rollout to one of ours that status does not know (any more)."""
    rollout, current = o.open_rollout, o.deployment
    if rollout is None or current is None or o.progress is not None:
        return None
    target = next((d for d in o.deployments if d.id == rollout.target_id), None)
    if target is None or rollout.source_id != current.id:
        return None
    model_id, revision = model_of(target)
    name = target.name.rpartition("/")[2]
    wanted = wanted_target(o)
    same = isinstance(wanted, Target) and wanted.name == name
    record = DeploymentStatus(
        id=target.id,
        name=name,
        config=target.config.rpartition("/")[2] or None,
        hardware=target.hardware or None,
        model=model_id or None,
        revision=revision,
        request=wanted.request if same and isinstance(wanted, Target) else None,
    )
    progress = RolloutStatus(
        phase=RolloutPhase.RUNNING,
        strategy=o.md.spec.rollout.strategy,
        digest=attempt_digest(wanted, o.md.spec) if isinstance(wanted, Target) else "",
        target=record,
        model=ModelStatus(id=model_id, revision=revision),
        id=rollout.id,
    )
    say = busy(ROLL, Reason.ROLLING_OUT, f"Rollout {rollout.id} to {name} is under way")
    status = o.md.status.model_copy(update={"rollout": progress})
    return planned(o, now, say, After(0), status=status)


def following(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a rollout at Together: start it, pause it, resume it, and say where it is."""
    rollout, progress = o.open_rollout, o.progress
    if rollout is None:
        return None
    if progress is None or o.target is None or rollout.target_id != o.target.id:
        message = f"Rollout {rollout.id}, which is not this object's, has to end first"
        say = busy(ROLL, Reason.ROLLING_OUT, message)
        return planned(o, now, say, After(o.process.poll))
    verb = _verb(o, rollout, now)
    paused = o.md.spec.rollout.paused and rollout.state in _HALTED
    followed = progress.model_copy(
        update={
            "phase": RolloutPhase.PAUSED if paused else RolloutPhase.RUNNING,
            "id": rollout.id,
            "state": rollout.state.value,
            "step": 0 if rollout.step is None else rollout.step + 1,
            "steps": rollout.steps,
            "traffic_percent": rollout.traffic_percent,
        }
    )
    action = None
    if verb is not None:
        why = "spec.rollout.paused is true" if verb is RolloutVerb.PAUSE else ""
        action = ActOnRollout(rollout.endpoint_id, rollout.id, verb, why)
    elif paused and not _is_promoted(o):
        say = Situation(Health.PAUSED, Reason.ROLLOUT_PAUSED, _paused_words(followed), ROLL)
        return planned(o, now, say, After(o.process.poll * 3), status=with_progress(o, followed))
    no_room = waits_for_capacity(o, o.target)
    if no_room is not None:
        say = busy(ROLL, no_room.reason, no_room.message)
    else:
        say = busy(ROLL, Reason.ROLLING_OUT, _words(o, followed, o.target))
    wait = o.process.soon if action is not None else o.process.poll
    return planned(o, now, say, After(wait), action, with_progress(o, followed))


def _verb(o: Observed, rollout: Rollout, now: datetime) -> RolloutVerb | None:
    """What has to be done to a rollout now."""
    paused, promoted = o.md.spec.rollout.paused, _is_promoted(o)
    steps_left = rollout.step is not None and rollout.step < rollout.steps - 1
    match rollout.state:
        case RolloutState.PENDING if not paused or promoted:
            return RolloutVerb.START
        case RolloutState.RUNNING | RolloutState.PAUSED if promoted and steps_left:
            return RolloutVerb.PROMOTE
        case RolloutState.RUNNING if paused and not promoted:
            return RolloutVerb.PAUSE
        case RolloutState.PAUSED if not paused or promoted:
            return RolloutVerb.RESUME
        case RolloutState.SYSTEM_PAUSED if not paused or promoted:
            return RolloutVerb.RESUME if _has_waited(o, rollout, now) else None
    return None


def _has_waited(o: Observed, rollout: Rollout, now: datetime) -> bool:
    since = rollout.paused_at
    return since is None or now >= since + timedelta(seconds=o.process.backoff.cap)


def _is_promoted(o: Observed) -> bool:
    wanted = o.md.metadata.annotations.get(PROMOTE_ANNOTATION)
    return o.progress is not None and wanted == o.progress.target.name


def _words(o: Observed, progress: RolloutStatus, target: Deployment) -> str:
    text = (
        f"{progress.strategy}: {progress.traffic_percent or 0}% of the traffic goes to "
        f"{target.name}"
    )
    if progress.steps and progress.steps > 1:
        text += f", step {progress.step} of {progress.steps}"
    if target.state is not DeploymentState.READY:
        text += f". {told_by(target, o.events) or target.state.value}"
    return text


def _paused_words(progress: RolloutStatus) -> str:
    return (
        f"spec.rollout.paused is true: {progress.traffic_percent or 0}% of the traffic goes to "
        f"{progress.target.name}. Set it to false to go on, or annotate this object with "
        f"{PROMOTE_ANNOTATION}={progress.target.name} to move everything at once."
    )


def preparing(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a change whose rollout is not there yet: make the target, then the rollout."""
    progress, current, endpoint = o.progress, o.deployment, o.endpoint
    if progress is None or current is None or endpoint is None:
        return None
    target = o.target
    if target is None:
        return _create_target(o, now, progress)
    if _becomes_ready(o, current):
        say = busy(ROLL, Reason.ROLLING_OUT, f"{current.name} has to be ready first")
        return planned(o, now, say, After(o.process.poll), status=with_progress(o, progress))
    if _can_roll(o, current):
        return _create_rollout(o, now, progress, current, target)
    return _move_split(o, now, progress, target)


def _create_target(o: Observed, now: datetime, progress: RolloutStatus) -> DeploymentPlan | None:
    wanted = wanted_target(o)
    assert o.endpoint is not None
    same = isinstance(wanted, Target) and wanted.name == progress.target.name
    if (
        not isinstance(wanted, Target)
        or not same
        or progress.strategy != (o.md.spec.rollout.strategy)
    ):
        say = busy(ROLL, Reason.CANCELING_ROLLOUT, "What was begun is not wanted any more")
        status = o.md.status.model_copy(update={"rollout": None})
        return planned(o, now, say, After(0), status=status)
    intent = o.intent(DEPLOYMENT_INTENT)
    if intent is not None:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            message = "Looking if the new deployment was created after all"
            say = busy(ROLL, Reason.SETTLING, message)
            return planned(o, now, say, After(min(wait, o.process.poll)))
    say = busy(ROLL, Reason.ROLLING_OUT, f"Creating {wanted.name} on {wanted.config.instance_type}")
    tuning = change_of(Tuning(), wanted_scaling(o.md, now))
    # Stopped, it costs nothing: the rollout starts as many replicas as each step needs.
    action = CreateDeployment(
        o.endpoint.id, wanted.new(0, 0, tuning), wanted.record, wanted.served.status, is_target=True
    )
    status = with_progress(o, progress).model_copy(
        update={"intent": deployment_intent(o, wanted.name, now)}
    )
    return planned(o, now, say, After(0), action, status)


def _becomes_ready(o: Observed, current: Deployment) -> bool:
    """True for a source that serves and is on its way to READY, so that a rollout can move it.

    Without a ready replica it loses nothing by the split, and without room it may wait for ever.
    """
    moves = current.state in {DeploymentState.SCALING, DeploymentState.PROVISIONING}
    return moves and current.ready_replicas > 0 and waits_for_capacity(o, current) is None


def _can_roll(o: Observed, current: Deployment) -> bool:
    return current.state is DeploymentState.READY and weight_of(o, current) > 0


def _create_rollout(
    o: Observed, now: datetime, progress: RolloutStatus, current: Deployment, target: Deployment
) -> DeploymentPlan:
    assert o.endpoint is not None
    if target.state not in {DeploymentState.READY, DeploymentState.STOPPED}:
        say = busy(ROLL, Reason.ROLLING_OUT, _words(o, progress, target))
        return planned(o, now, say, After(o.process.poll), status=with_progress(o, progress))
    say = busy(ROLL, Reason.ROLLING_OUT, f"Preparing the rollout to {target.name}")
    new = new_rollout(o.md.spec, wanted_scaling(o.md, now), current, target)
    action = CreateRollout(o.endpoint.id, new)
    return planned(o, now, say, After(0), action, with_progress(o, progress))


def _move_split(
    o: Observed, now: datetime, progress: RolloutStatus, target: Deployment
) -> DeploymentPlan:
    """The source serves badly or not at all: have the target ready, then switch the split."""
    assert o.endpoint is not None
    assert o.deployment is not None
    replicas = o.replicas
    running = progress.model_copy(update={"phase": RolloutPhase.RUNNING})
    if target.max_replicas < replicas:
        say = busy(ROLL, Reason.ROLLING_OUT, f"Starting {target.name}")
        action = ScaleDeployment(o.endpoint.id, target.id, replicas)
        return planned(o, now, say, After(o.process.soon), action, with_progress(o, running))
    if target.state is DeploymentState.READY and target.ready_replicas > 0:
        say = busy(ROLL, Reason.ROLLING_OUT, f"Moving all traffic to {target.name}")
        switch = all_to(o.endpoint, target, o.deployment)
        return planned(o, now, say, After(0), switch, with_progress(o, running))
    say = busy(ROLL, Reason.ROLLING_OUT, _words(o, running, target))
    return planned(o, now, say, After(o.process.poll), status=with_progress(o, running))


ROLLING_ROWS: tuple[Callable[[Observed, datetime], DeploymentPlan | None], ...] = (
    finished,
    rediscovered,
    leaving,
    going_back,
    following,
    preparing,
    tidying,
    replaced_by_a_failure,
    replacing,
    changing,
)
