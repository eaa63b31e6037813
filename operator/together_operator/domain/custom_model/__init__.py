"""Decisions about a CustomModel: from what was observed to a plan. Pure; one row a situation.

This file has the order of the rows; each of the others has the rows of one stage.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from together_operator.api.v1alpha1 import JobStatus, SourceStatus, Visibility
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import ModelPlan, UpdateModel
from together_operator.domain.custom_model.archiving import archiving, tidying
from together_operator.domain.custom_model.deletion import deleting
from together_operator.domain.custom_model.importing import importing, running_import
from together_operator.domain.custom_model.observed import (
    MODEL_INTENT,
    Observed,
    is_archived,
    is_import_running,
    is_imported,
    wanted_description,
)
from together_operator.domain.custom_model.registering import (
    key_of_another_project,
    lost_model,
    registering,
)
from together_operator.domain.custom_model.status import (
    ARCHIVE,
    afresh,
    busy,
    failed,
    next_stage,
    planned,
)
from together_operator.domain.failures import MOVE_TO_V2
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import AddFinalizer, Plan, has_finalizer, is_deleting
from together_operator.domain.source import source_digest, source_text
from together_operator.domain.text import human_size
from together_operator.domain.together import ModelChange
from together_operator.domain.together import Visibility as RemoteVisibility


def decide(observed: Observed, now: datetime) -> ModelPlan:
    """The plan for what was observed: that of the first row which has one."""
    cm = observed.cm
    if has_finalizer(cm) and not is_deleting(cm):
        observed = observed.with_status(afresh(cm))
    for row in ROWS:
        found = row(observed, now)
        if isinstance(found, Observed):
            observed = found
        elif found is not None:
            return found
    raise AssertionError("the last row always has a plan")


def _without_finalizer(o: Observed, now: datetime) -> ModelPlan | None:
    del now
    return None if has_finalizer(o.cm) else Plan(o.cm.status, After(0), AddFinalizer())


def _suspended(o: Observed, now: datetime) -> ModelPlan | None:
    """Nothing new is started; what runs is still followed, a Job by its own row."""
    followed = o.job is not None and not is_archived(o.cm)
    if not o.cm.spec.suspend or is_imported(o.cm) or followed:
        return None
    message = "spec.suspend is true: nothing new is started."
    stage = next_stage(o.cm)
    return planned(o, now, Situation(Health.PAUSED, Reason.SUSPENDED, message, stage), Done())


def _new_source(o: Observed, now: datetime) -> ModelPlan | None:
    """A source seen for the first time, or changed: what came of the old one is void."""
    if o.source is None or is_import_running(o.cm):
        return None
    digest, known = source_digest(o.cm.spec), o.cm.status.source
    if is_imported(o.cm) and (known is None or known.revision is None or o.cm.spec.suspend):
        return None
    if known is not None and (known.digest, known.revision or "") == (digest, o.source.revision):
        return None
    size = o.source.size_bytes
    seen = SourceStatus(
        text=source_text(o.cm.spec),
        digest=digest,
        revision=o.source.revision or None,
        files=o.source.files,
        size_bytes=size,
        size=human_size(size) if size is not None else None,
    )
    status = o.cm.status.model_copy(
        update={
            "source": seen,
            "archive": None,
            # Something of what was packed before may be left in the object's folder.
            "job": JobStatus() if o.cm.status.job is not None else None,
            "import_": None,
            "progress": None,
            "intent": o.intent(MODEL_INTENT),
        }
    )
    at = o.with_status(status)
    if not is_imported(o.cm):
        return decide(at, now)
    # What an import needs to know has not been looked at for an object that was settled.
    stage = next_stage(at.cm)
    reason = Reason.ARCHIVING if stage == ARCHIVE else Reason.IMPORTING
    say = busy(stage, reason, "The source has changed: it is imported again")
    return planned(at, now, say, After(0), status=status)


def _drifted(o: Observed, now: datetime) -> ModelPlan | None:
    """Description and visibility follow the spec, whoever changed them."""
    assert o.model is not None  # the rows before see to it
    spec = o.cm.spec
    internal = spec.visibility == Visibility.INTERNAL
    if not o.abilities.change_models:
        return _unchangeable(o, now) if internal else None
    visibility = RemoteVisibility.INTERNAL if internal else RemoteVisibility.PRIVATE
    description = wanted_description(o.cm, o.process.cluster_id)
    change = ModelChange(
        description=None if o.model.description.strip() == description else description,
        visibility=None if o.model.visibility == visibility else visibility,
    )
    if change == ModelChange():
        return None
    say = busy("", Reason.UPDATING, "Updating description and visibility")
    return planned(o, now, say, After(0), UpdateModel(o.model.id, change))


def _unchangeable(o: Observed, now: datetime) -> ModelPlan:
    message = (
        f"Together's {o.abilities.version} API can't set a model's visibility: remove "
        f"spec.visibility. {MOVE_TO_V2}"
    )
    return failed(o, now, Situation(Health.STALLED, Reason.UNSUPPORTED_BY_API, message))


def _ready(o: Observed, now: datetime) -> ModelPlan:
    assert o.model is not None
    say = Situation(Health.READY, Reason.READY, f"{o.model.name} can be deployed")
    status = o.cm.status.model_copy(update={"retry": None, "intent": None})
    return planned(o, now, say, Done(), status=status)


Row = Callable[[Observed, datetime], ModelPlan | Observed | None]
"""A plan; or, for the rows that follow, the object as this one has brought it further."""

ROWS: tuple[Row, ...] = (
    deleting,
    _without_finalizer,
    key_of_another_project,
    running_import,
    _suspended,
    _new_source,
    archiving,
    lost_model,
    registering,
    importing,
    _drifted,
    tidying,
    _ready,
)
