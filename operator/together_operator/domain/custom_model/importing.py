"""Importing: Together fetches the weights. A failed import is repeated, within bounds.

An import has no name. What tells ours from earlier ones is the newest that was there before: the
intent's name holds the digest of the source that it is for, and that import's id.
"""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import (
    AdoptionPolicy,
    ImportStatus,
    Intent,
    ModelStatus,
    Progress,
)
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import ModelPlan, StartImport
from together_operator.domain.custom_model.observed import (
    IMPORT_INTENT,
    Observed,
    is_import_running,
    is_import_unvalidated,
    is_imported,
)
from together_operator.domain.custom_model.registering import lost_model, new_model
from together_operator.domain.custom_model.status import IMPORT, busy, failed, planned, started
from together_operator.domain.failures import MOVE_TO_V2
from together_operator.domain.outcome import After
from together_operator.domain.plan import new_intent, seconds_until_safe
from together_operator.domain.source import source_digest
from together_operator.domain.together import Import, ImportState

MAX_ATTEMPTS = 3


def running_import(o: Observed, now: datetime) -> ModelPlan | Observed | None:
    """The row for an import that was started or announced, for whichever source."""
    if is_imported(o.cm):
        return None
    intent, current = o.intent(IMPORT_INTENT), o.cm.status.import_
    if o.model is None:
        begun = intent is not None or is_import_running(o.cm)
        return lost_model(o, now) if begun else None
    if intent is not None:
        return _announced(o, now, intent)
    if current is not None and is_import_running(o.cm):
        return _following(o, now, current)
    if current is not None and is_import_unvalidated(o.cm):
        return _validating(o, now, current)
    return None


def importing(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for a source that has not been imported."""
    if is_imported(o.cm):
        return None
    current = o.cm.status.import_
    attempts = (current.attempt or 0) if current is not None else 0
    if current is not None and attempts >= MAX_ATTEMPTS:
        return import_failed(o, now, current)
    before = o.imports[0].id if o.imports else ""
    digest = source_digest(o.cm.spec)
    intent = new_intent(IMPORT_INTENT, f"{digest}:{before}", attempts + 1, o.process, now)
    return _start(o, now, intent)


def _start(o: Observed, now: datetime, intent: Intent) -> ModelPlan:
    assert o.model is not None  # the rows before see to it
    if not o.abilities.reimport and not o.model.placeholder:
        message = (
            f"Model {o.model.name} is there, and Together's {o.abilities.version} API can't import "
            "into a model that is. Create another CustomModel for another source; or, if what is "
            f"there is what you want, set spec.adoptionPolicy to Adopt. {MOVE_TO_V2}"
        )
        say = Situation(Health.STALLED, Reason.UNSUPPORTED_BY_API, message, IMPORT)
        return failed(o, now, say, o.cm.status.model_copy(update={"intent": None}))
    say = busy(IMPORT, Reason.IMPORTING, f"Starting import, attempt {intent.attempt}")
    status = o.cm.status.model_copy(update={"intent": intent})
    action = StartImport(o.model, intent.attempt, source_digest(o.cm.spec), new_model(o))
    return planned(o, now, say, After(0), action, status)


def _announced(o: Observed, now: datetime, intent: Intent) -> ModelPlan:
    """Look for what the intent may have started before anything is sent."""
    digest, _, before = intent.name.partition(":")
    newest = o.imports[0] if o.imports else None
    ours = o.is_ours(intent) or (
        not o.abilities.reimport and o.cm.spec.adoption_policy == AdoptionPolicy.ADOPT
    )
    if newest is not None and newest.id != before and ours:
        say = busy(IMPORT, Reason.IMPORTING, newest.message or "Together fetches the model")
        status = started(o.cm.status, newest, intent.attempt, digest, now)
        return planned(o, now, say, After(0), status=status)
    wait = seconds_until_safe(intent, o.process, o.last_sent, now)
    if wait > 0:
        say = busy(IMPORT, Reason.SETTLING, "Looking if the import was started after all")
        return planned(o, now, say, After(min(wait, o.process.poll)))
    if o.cm.spec.suspend or digest != source_digest(o.cm.spec):
        words = "The object was suspended or changed before its import was started"
        say = busy(IMPORT, Reason.IMPORTING, words)
        status = o.cm.status.model_copy(update={"intent": None})
        return planned(o, now, say, After(0), status=status)
    if intent.holder != o.process.holder:
        intent = new_intent(IMPORT_INTENT, intent.name, intent.attempt, o.process, now)
    return _start(o, now, intent)


def _following(o: Observed, now: datetime, current: ImportStatus) -> ModelPlan | Observed:
    """Take over what Together says of the running import."""
    job = next((job for job in o.imports if job.id == current.job_id), None)
    if job is None:
        words = f"Import {current.job_id} is not known to Together any more"
        job = Import(current.job_id or "", "", ImportState.FAILED, words)
    exhausted = job.state is ImportState.ERROR and job.restarts >= job.max_restarts
    state = ImportState.FAILED if exhausted else job.state
    seen = current.model_copy(update={"state": state.value, "message": job.message or None})
    text = "queued" if state is ImportState.PENDING else "importing"
    status = o.cm.status.model_copy(
        update={"import_": seen, "progress": Progress(stage="Import", text=text)}
    )
    at = o.with_status(status)
    if state is ImportState.SUCCEEDED:
        return _validating(at, now, seen)
    if state is ImportState.FAILED:
        return import_failed(at, now, seen)
    if state is ImportState.ERROR:
        words = f"Together restarts it ({job.restarts} of {job.max_restarts}): {job.message}"
        say = busy(IMPORT, Reason.IMPORT_RESTARTING, words)
    else:
        say = busy(IMPORT, Reason.IMPORTING, job.message or "Together fetches the model")
    return planned(at, now, say, After(o.process.poll), status=status)


def _validating(o: Observed, now: datetime, current: ImportStatus) -> ModelPlan | Observed:
    """An import counts once the revision that it made has passed validation.

    The rows that follow then say what is left to do.
    """
    assert o.model is not None
    if o.revision is None or o.revision.validation == "PENDING" or _is_older(o, current):
        say = busy(IMPORT, Reason.IMPORTING, "Together validates the new revision")
        return planned(o, now, say, After(o.process.soon))
    if o.revision.validation in {"FAILED", "ERROR"}:
        words = "; ".join(o.revision.messages) or "the new revision did not pass validation"
        bad = current.model_copy(update={"state": ImportState.FAILED.value, "message": words})
        status = o.cm.status.model_copy(update={"import_": bad})
        return import_failed(o.with_status(status), now, bad)
    status = o.cm.status.model_copy(
        update={
            "model": ModelStatus(id=o.model.id, name=o.model.name, revision=o.revision.id),
            "progress": Progress(stage="Done", percent=100, text="100%"),
        }
    )
    at = o.with_status(status)
    if is_imported(at.cm) and not o.model.placeholder:
        return at
    say = busy(IMPORT, Reason.IMPORTED, f"Revision {o.revision.id} is imported")
    return planned(o, now, say, After(0), status=status)


def _is_older(o: Observed, current: ImportStatus) -> bool:
    """True when the newest revision is an earlier import's: this one's does not show yet."""
    job = next((job for job in o.imports if job.id == current.job_id), None)
    begun = job.created_at if job is not None else None
    made = o.revision.created_at if o.revision is not None else None
    return begun is not None and made is not None and made < begun


def import_failed(o: Observed, now: datetime, current: ImportStatus) -> ModelPlan:
    """Tried again with a newly signed URL, a bounded number of times."""
    words = (current.message or "Together gave no reason").rstrip(".")
    attempt = current.attempt or 1
    if attempt < MAX_ATTEMPTS:
        message = f"Attempt {attempt} of {MAX_ATTEMPTS} failed: {words}"
        return failed(o, now, busy(IMPORT, Reason.IMPORT_RETRYING, message), o.cm.status)
    opaque = o.cm.spec.source.persistent_volume_claim is not None
    again = "edit the spec or annotate with together.ai/retry"
    remedy = (
        f"mend the files, and {again} to have them packed again"
        if opaque
        else f"mend the source (a change of it is noticed), or {again} to try again"
    )
    message = f"{words}. All {attempt} attempts failed: {remedy}."
    say = Situation(Health.STALLED, Reason.IMPORT_FAILED, message, IMPORT)
    return failed(o, now, say, o.cm.status)
