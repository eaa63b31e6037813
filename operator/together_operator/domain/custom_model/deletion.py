"""Deleting: the Job ends, its archives go, then the record at Together, then the finalizer."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import CustomModel, DeletionPolicy
from together_operator.domain.conditions import DELETION, Health, Reason, Situation
from together_operator.domain.custom_model.actions import (
    DeleteArchives,
    DeleteJob,
    DeleteModel,
    ModelPlan,
)
from together_operator.domain.custom_model.archiving import may_delete_archives
from together_operator.domain.custom_model.observed import (
    IMPORT_INTENT,
    MODEL_INTENT,
    Observed,
    has_model,
)
from together_operator.domain.custom_model.status import busy, planned
from together_operator.domain.failures import MOVE_TO_V2
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import (
    RELEASE_ANNOTATION,
    Plan,
    RemoveFinalizer,
    has_finalizer,
    is_deleting,
    is_released,
    seconds_until_safe,
)
from together_operator.domain.together import ImportState, Model


def deleting(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for an object that somebody deleted."""
    cm = o.cm
    if not is_deleting(cm):
        return None
    if not has_finalizer(cm):
        return Plan(cm.status, Done())
    if is_released(cm):
        return Plan(cm.status, Done(), RemoveFinalizer(_left_behind(cm)))
    if o.job is not None:
        say = busy(DELETION, Reason.DELETING, f"Stopping Job {o.job.name}")
        action = None if o.job.deleting else DeleteJob(o.job.name)
        return planned(o, now, say, After(o.process.soon), action)
    if may_delete_archives(cm):
        say = busy(DELETION, Reason.DELETING, "Deleting what it has packed")
        return planned(o, now, say, After(0), DeleteArchives())
    if cm.spec.deletion_policy == DeletionPolicy.RETAIN:
        return Plan(cm.status, Done(), RemoveFinalizer())
    if o.users:
        users = ", ".join(o.users)
        message = (
            f"Used by ModelDeployment {users}: it has to go, or to serve another model, first."
        )
        say = busy(DELETION, Reason.IN_USE, message)
        return planned(o, now, say, After(o.process.soon))
    return _deleting_model(o, now)


def _left_behind(cm: CustomModel) -> str:
    """What may still be there, from status alone: a look there may be what can't be had."""
    record, intent, archive = cm.status.model, cm.status.intent, cm.status.archive
    left = []
    if record is not None and record.name:
        left.append(f"model {record.name}")
    elif intent is not None and intent.kind == MODEL_INTENT:
        left.append(f"perhaps model {intent.name}")
    if archive is not None and archive.uri and may_delete_archives(cm):
        left.append(f"archive {archive.uri}")
    return ", ".join(left)


def _deleting_model(o: Observed, now: datetime) -> ModelPlan:
    """The finalizer goes only after the record was seen to be absent."""
    intent = o.intent(MODEL_INTENT)
    known = has_model(o.cm)
    if o.model is not None and o.model.placeholder:
        return _deleting_placeholder(o, now, o.model)
    if o.model is not None and (known or o.is_ours(intent)):
        if not o.abilities.delete_models:
            return _undeletable(o, now, o.model)
        say = busy(DELETION, Reason.DELETING, f"Deleting model {o.model.name}")
        return planned(o, now, say, After(o.process.soon), DeleteModel(o.model.id))
    if intent is not None and not known:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            say = busy(DELETION, Reason.SETTLING, "Making sure that no model appears after all")
            return planned(o, now, say, After(min(wait, o.process.poll)))
    return Plan(o.cm.status, Done(), RemoveFinalizer())


def _undeletable(o: Observed, now: datetime, model: Model) -> ModelPlan:
    message = (
        f"Together's {o.abilities.version} API can't delete models. Delete {model.name} in "
        "Together's console, and this object goes by itself; or keep it there: set "
        f"spec.deletionPolicy to Retain, or annotate the object with {RELEASE_ANNOTATION}=true. "
        f"{MOVE_TO_V2}"
    )
    say = Situation(Health.STALLED, Reason.UNSUPPORTED_BY_API, message, DELETION)
    return planned(o, now, say, After(o.process.poll))


def _deleting_placeholder(o: Observed, now: datetime, model: Model) -> ModelPlan:
    """Nothing is there now; but an import that runs, or may have been started, makes a model."""
    intent = o.intent(IMPORT_INTENT)
    wait = seconds_until_safe(intent, o.process, o.last_sent, now) if intent is not None else 0.0
    if wait > 0:
        words = f"Making sure that no model {model.name} appears after all"
        say = busy(DELETION, Reason.SETTLING, words)
        return planned(o, now, say, After(min(wait, o.process.poll)))
    followed = o.cm.status.import_.job_id if o.cm.status.import_ is not None else None
    job = next((job for job in o.imports if job.id == followed), None)
    if job is not None and job.state in {ImportState.PENDING, ImportState.RUNNING}:
        words = f"Waiting for the end of import {job.id}, which can't be cancelled"
        return planned(o, now, busy(DELETION, Reason.DELETING, words), After(o.process.poll))
    return Plan(o.cm.status, Done(), RemoveFinalizer())
