"""A spec that asks for another deployment: whether it begins, and what goes before or after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import (
    CustomModelPhase,
    RolloutPhase,
    RolloutStatus,
    RolloutStrategy,
)
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import (
    DeploymentPlan,
)
from together_operator.domain.deployment.budget import too_dear_beside
from together_operator.domain.deployment.hardware import NoChoice
from together_operator.domain.deployment.observed import DEPLOYMENT_INTENT, Observed
from together_operator.domain.deployment.pair import (
    name_of,
)
from together_operator.domain.deployment.preflight import refusal
from together_operator.domain.deployment.removal import taking_down
from together_operator.domain.deployment.scaling import in_doubt, wanted_scaling
from together_operator.domain.deployment.status import ROLL, busy, planned, with_seen_name
from together_operator.domain.deployment.target import (
    Target,
    asked_target,
    attempt_digest,
    failure_of,
    replaced_in_vain,
    served_model,
    source_of,
    wanted_target,
)
from together_operator.domain.names import remote_name
from together_operator.domain.outcome import After
from together_operator.domain.plan import is_deleting
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    NewDeployment,
)


def tidying(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for deployments of ours that nothing wants any more."""
    current, endpoint = o.deployment, o.endpoint
    if current is None or endpoint is None or o.open_rollout is not None:
        return None
    left = [d for d in o.deployments if d not in (current, o.target)]
    if not left:
        return None
    if not current.serves and o.replicas > 0 and any(d.ready_replicas for d in left):
        return None  # what is left may be the only one that answers
    step = taking_down(endpoint, left)
    say = busy(ROLL, Reason.REMOVING_PREVIOUS, step.words)
    wait = 0.0 if step.at_once else o.process.soon
    return planned(o, now, say, After(wait), step.action)


def replacing(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a deployment that goes before its successor comes: Recreate, or it is no use."""
    current, endpoint, wanted = o.deployment, o.endpoint, _another(o)
    if wanted is None or current is None or endpoint is None or unmet(o) is not None:
        return None
    recreates = o.md.spec.rollout.strategy == RolloutStrategy.RECREATE
    if not recreates and current.ready_replicas > 0:
        return None
    if not recreates and current.state is not DeploymentState.FAILED and o.md.status.ready_replicas:
        # It answered at the last look, so this one may be stale: the next one decides.
        say = busy(ROLL, Reason.REPLACING, f"whether {current.name} answers is looked at again")
        status = o.md.status.model_copy(update={"ready_replicas": 0})
        return planned(o, now, say, After(o.process.soon), status=status)
    noted = _noted(o, now, current, wanted) if recreates else None
    if noted is not None:
        say = busy(ROLL, Reason.REPLACING, f"Recreate with {wanted.name} begins")
        status = o.md.status.model_copy(update={"rollout": noted, "startup": ()})
        return planned(o, now, say, After(0), status=status)
    step = taking_down(endpoint, [current])
    say = busy(ROLL, Reason.REPLACING, f"{step.words}, to put {wanted.name} in its place")
    wait = 0.0 if step.at_once else o.process.soon
    # Should the spec return before it is gone, it was stopped by nobody else.
    scaling = in_doubt(o.md.status.scaling, wanted_scaling(o.md, now))
    status = with_seen_name(o.md.status, endpoint).model_copy(update={"scaling": scaling})
    return planned(o, now, say, After(wait), step.action, status)


def _noted(o: Observed, now: datetime, current: Deployment, wanted: Target) -> RolloutStatus | None:
    """What has to be in status before the old one goes, so that it can come back; None: it is."""
    asked, known = asked_target(o), o.replacement
    if wanted != asked or (known is not None and known.target.name == wanted.name):
        return None  # it comes back, or is on its way out
    source = known.source if known is not None else None
    if source is None and current.serves:
        source = source_of(o, current, wanted)
    if source is None:
        return None
    return RolloutStatus(
        phase=RolloutPhase.REPLACING,
        strategy=RolloutStrategy.RECREATE,
        digest=attempt_digest(wanted, o.md.spec),
        target=wanted.record,
        model=wanted.served.status,
        source=source,
        started_at=now,
    )


def changing(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a spec that asks for another deployment than the one that serves."""
    wanted = _another(o)
    if wanted is None or unmet(o) is not None:
        return None
    progress = RolloutStatus(
        phase=RolloutPhase.PREPARING,
        strategy=o.md.spec.rollout.strategy,
        digest=attempt_digest(wanted, o.md.spec),
        target=wanted.record,
        model=wanted.served.status,
        started_at=now,
    )
    say = busy(ROLL, Reason.ROLLING_OUT, f"{progress.strategy} to {wanted.name} begins")
    status = o.md.status.model_copy(update={"rollout": progress, "startup": ()})
    return planned(o, now, say, After(0), status=status)


def unmet(o: Observed) -> Situation | None:
    """Why a spec that asks for another deployment is not followed for now; None otherwise.

    What serves goes on, and is still scaled.
    """
    waiting = _model_to_come(o)
    if waiting is not None:
        return waiting
    wanted = wanted_target(o)
    if isinstance(wanted, NoChoice):
        return Situation(Health.STALLED, Reason.NO_CONFIG, wanted.message, ROLL)
    another, asked = _another(o), asked_target(o)
    comes_back = replaced_in_vain(o, asked) is not None
    failed = failure_of(o, asked)
    if failed is not None and o.deployment is not None and comes_back == (another is None):
        return _was_in_vain(o, failed)
    if another is None:
        return None
    if o.md.spec.rollout.paused and not comes_back:
        message = f"spec.rollout.paused is true: the change to {another.name} does not begin."
        return Situation(Health.PAUSED, Reason.ROLLOUT_PAUSED, message, ROLL)
    problem = too_dear_beside(o, another) or refusal(o, another, _replicas_to_start(o, another))
    return replace(problem, stage=ROLL) if problem is not None else None


def _model_to_come(o: Observed) -> Situation | None:
    """The spec names another model than the one that serves, and that one is not ready yet."""
    known, model = o.md.status.model, o.model
    if o.md.spec.model_ref is None or known is None or o.deployment is None or o.replicas == 0:
        return None
    if model is None or is_deleting(model) or served_model(o) is not None:
        return None
    meta, record = model.metadata, model.status.model
    wanted = model.spec.model_name or remote_name(meta.namespace, meta.name)
    same_name = (known.name or "").rpartition("/")[2] == wanted
    if record.id == known.id if record is not None and record.id else same_name:
        return None  # it is the one that serves, and is imported anew
    ready = next((c for c in model.status.conditions if c.type == "Ready"), None)
    words = f": {ready.message}" if ready is not None and ready.message else ""
    if model.status.phase == CustomModelPhase.FAILED:
        message = f"CustomModel {meta.name} can't become ready{words}"
        return Situation(Health.STALLED, Reason.MODEL_FAILED, message, ROLL)
    message = f"CustomModel {meta.name} is not ready yet{words}"
    return Situation(Health.PROGRESSING, Reason.WAITING_FOR_MODEL, message, ROLL)


def _was_in_vain(o: Observed, failed: RolloutStatus) -> Situation:
    message = (
        f"{(failed.message or '').rstrip('.')}. {name_of(o.deployment)} serves again. It is "
        "not tried again until the spec asks for something else."
    )
    return Situation(Health.STALLED, Reason.ROLLOUT_FAILED, message, ROLL)


def due(o: Observed) -> NewDeployment | None:
    """The deployment that the next steps will create; Together is asked about it beforehand."""
    wanted, replicas = wanted_target(o), o.replicas
    if not isinstance(wanted, Target) or replicas == 0 or o.intent(DEPLOYMENT_INTENT) is not None:
        return None
    if o.md.spec.suspend or o.progress is not None:
        return None
    first = o.deployment is None
    return wanted.new(replicas, replicas) if first or (_another(o) and unmet(o) is None) else None


def _another(o: Observed) -> Target | None:
    """The target, if the current deployment does not meet it and something shall run."""
    wanted, current = wanted_target(o), o.deployment
    if not isinstance(wanted, Target) or current is None or o.replicas == 0:
        return None
    return None if wanted.is_met_by(o, current) else wanted


def _replicas_to_start(o: Observed, wanted: Target) -> int:
    """Replicas that have to fit beside, or in the place of, what runs."""
    current, strategy = o.md.status.deployment, o.md.spec.rollout.strategy
    if strategy == RolloutStrategy.ROLLING:
        return 1
    frees = current is not None and current.hardware == wanted.config.instance_type
    return 0 if strategy == RolloutStrategy.RECREATE and frees else o.replicas
