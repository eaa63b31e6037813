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
from together_operator.domain.custom_model.archiving import (
    may_delete_archives,
    may_leave_unfinished,
)
from together_operator.domain.custom_model.observed import (
    IMPORT_INTENT,
    MODEL_INTENT,
    Observed,
    has_model,
    is_archive_read,
    owner_of_unseen,
)
from together_operator.domain.custom_model.status import busy, failed, planned
from together_operator.domain.failures import MOVE_TO_V2
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import (
    LET_GO,
    RELEASE_ANNOTATION,
    Plan,
    RemoveFinalizer,
    has_finalizer,
    is_deleting,
    is_released,
    other_key_words,
    seconds_until_safe,
)
from together_operator.domain.together import ImportState, Model

_UNDER_WAY = frozenset((ImportState.PENDING, ImportState.RUNNING))


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
        importing = _importing_still(o, now) if is_archive_read(cm) else None
        if importing is not None:
            return importing
        say = busy(DELETION, Reason.DELETING, "Deleting what it has packed")
        return planned(o, now, say, After(0), DeleteArchives())
    if may_leave_unfinished(cm):
        say = busy(DELETION, Reason.DELETING, "Deleting what it has not packed to the end")
        return planned(o, now, say, After(0), DeleteArchives(unfinished_only=True))
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
    hidden = _hidden(o, now)
    if hidden is not None:
        return hidden
    intent = o.intent(MODEL_INTENT)
    known = has_model(o.cm)
    if o.model is not None and o.model.placeholder:
        return _deleting_placeholder(o, now, o.model)
    if o.model is not None and (known or o.is_ours(intent)):
        if not o.abilities.delete_models:
            return _undeletable(o, now, o.model)
        say = busy(DELETION, Reason.DELETING, f"Deleting model {o.model.name}")
        return planned(o, now, say, After(o.process.soon), DeleteModel(o.model.id))
    settling = _settling(o, now, MODEL_INTENT, "no model appears after all") if not known else None
    return settling or Plan(o.cm.status, Done(), RemoveFinalizer())


def _settling(o: Observed, now: datetime, kind: str, what: str) -> ModelPlan | None:
    """A create that was announced may take its effect yet: `what` is made sure of first."""
    intent = o.intent(kind)
    wait = seconds_until_safe(intent, o.process, o.last_sent, now) if intent is not None else 0.0
    if wait <= 0:
        return None
    say = busy(DELETION, Reason.SETTLING, f"Making sure that {what}")
    return planned(o, now, say, After(min(wait, o.process.poll)))


def _hidden(o: Observed, now: datetime) -> ModelPlan | None:
    """What is said of a record that the key can't see."""
    owner, record = owner_of_unseen(o), o.cm.status.model
    if not owner or record is None:
        return None
    message = f"{other_key_words(f'Model {record.name}', owner, o.project)} {LET_GO}"
    say = Situation(Health.STALLED, Reason.KEY_OF_ANOTHER_PROJECT, message, DELETION)
    return failed(o, now, say)


def _importing_still(o: Observed, now: datetime) -> ModelPlan | None:
    """A model that is kept is imported to the end, before the archive that it is read from goes."""
    hidden = _hidden(o, now)
    if hidden is not None:
        return hidden
    settling = _settling(
        o, now, IMPORT_INTENT, "no import appears after all: it would read the archive"
    )
    if settling is not None:
        return settling
    job = next((job for job in o.imports if job.state in _UNDER_WAY), None)
    if job is None:
        return None
    words = f"Waiting for the end of import {job.id}, which reads the archive"
    return planned(o, now, busy(DELETION, Reason.DELETING, words), After(o.process.poll))


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
    settling = _settling(o, now, IMPORT_INTENT, f"no model {model.name} appears after all")
    if settling is not None:
        return settling
    followed = o.cm.status.import_.job_id if o.cm.status.import_ is not None else None
    job = next((job for job in o.imports if job.id == followed), None)
    if job is not None and job.state in _UNDER_WAY:
        words = f"Waiting for the end of import {job.id}, which can't be cancelled"
        return planned(o, now, busy(DELETION, Reason.DELETING, words), After(o.process.poll))
    return Plan(o.cm.status, Done(), RemoveFinalizer())
