"""Deleting: the Job ends, then the record at Together goes, then the finalizer."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import CustomModel, DeletionPolicy
from together_operator.domain.conditions import DELETION, Reason
from together_operator.domain.custom_model.actions import DeleteJob, DeleteModel, ModelPlan
from together_operator.domain.custom_model.observed import MODEL_INTENT, Observed, has_model
from together_operator.domain.custom_model.status import busy, planned
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import (
    Plan,
    RemoveFinalizer,
    has_finalizer,
    is_deleting,
    is_released,
    seconds_until_safe,
)


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
    if cm.spec.deletion_policy == DeletionPolicy.RETAIN:
        return Plan(cm.status, Done(), RemoveFinalizer())
    if o.users:
        users = ", ".join(o.users)
        say = busy(DELETION, Reason.IN_USE, f"Used by ModelDeployment {users}: it has to go first.")
        return planned(o, now, say, After(o.process.soon))
    return _deleting_model(o, now)


def _left_behind(cm: CustomModel) -> str:
    """What may still be at Together, from status alone: a look there may be what can't be had."""
    record, intent = cm.status.model, cm.status.intent
    if record is not None and record.name:
        return f"model {record.name}"
    if intent is not None and intent.kind == MODEL_INTENT:
        return f"perhaps model {intent.name}"
    return ""


def _deleting_model(o: Observed, now: datetime) -> ModelPlan:
    """The finalizer goes only after the record was seen to be absent."""
    intent = o.intent(MODEL_INTENT)
    known = has_model(o.cm)
    if o.model is not None and (known or o.is_ours(intent)):
        say = busy(DELETION, Reason.DELETING, f"Deleting model {o.model.name}")
        return planned(o, now, say, After(o.process.soon), DeleteModel(o.model.id))
    if intent is not None and not known:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            say = busy(DELETION, Reason.SETTLING, "Making sure that no model appears after all")
            return planned(o, now, say, After(min(wait, o.process.poll)))
    return Plan(o.cm.status, Done(), RemoveFinalizer())
