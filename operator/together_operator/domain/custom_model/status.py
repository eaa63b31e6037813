"""How a CustomModel's status comes about: one function for phase, conditions and retry."""

from __future__ import annotations

from datetime import datetime, timedelta

from together_operator.api.v1alpha1 import (
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    ImportStatus,
    ModelStatus,
    Progress,
    Retry,
)
from together_operator.domain.conditions import Health, Reason, Situation, Stage, conditions_for
from together_operator.domain.custom_model.actions import Action, ModelPlan
from together_operator.domain.custom_model.observed import Observed
from together_operator.domain.failures import StageError, retry_delay, situation_of
from together_operator.domain.outcome import Failed, Outcome
from together_operator.domain.plan import Plan
from together_operator.domain.source import needs_archive
from together_operator.domain.together import Import, Model

SOURCE, ARCHIVE, REGISTER, IMPORT = "SourceReady", "Archived", "Registered", "Imported"

_PHASES = {
    SOURCE: CustomModelPhase.PENDING,
    ARCHIVE: CustomModelPhase.ARCHIVING,
    REGISTER: CustomModelPhase.REGISTERING,
    IMPORT: CustomModelPhase.IMPORTING,
    "": CustomModelPhase.DELETING,
}


def busy(stage: str, reason: Reason, message: str) -> Situation:
    """Something is under way in `stage`."""
    return Situation(Health.PROGRESSING, reason, message, stage)


def planned(
    o: Observed,
    now: datetime,
    situation: Situation,
    outcome: Outcome,
    action: Action | None = None,
    status: CustomModelStatus | None = None,
) -> ModelPlan:
    """A plan whose status says `situation`; `status` is the object's own unless given."""
    return Plan(_told(o.cm, status or o.cm.status, situation, now), outcome, action)


def failed(
    o: Observed, now: datetime, situation: Situation, status: CustomModelStatus | None = None
) -> ModelPlan:
    """A plan that counts a failure and comes back after its backoff."""
    base = status or o.cm.status
    failures = (base.retry.failures if base.retry is not None else 0) + 1
    delay = o.process.backoff.delay(failures, o.jitter)
    return _retried(o.cm, base, now, situation, failures, delay)


def failure(o: Observed, now: datetime, error: StageError) -> ModelPlan:
    """A plan for an error that came up while looking or acting."""
    status = o.cm.status
    failures = (status.retry.failures if status.retry is not None else 0) + 1
    delay = retry_delay(error, failures, o.process.backoff, o.jitter)
    return _retried(o.cm, status, now, situation_of(error), failures, delay)


def _retried(
    cm: CustomModel,
    status: CustomModelStatus,
    now: datetime,
    situation: Situation,
    failures: int,
    delay: float,
) -> ModelPlan:
    retry = Retry(failures=failures, next_attempt_time=now + timedelta(seconds=delay))
    fresh = _told(cm, status.model_copy(update={"retry": retry}), situation, now)
    stalled = situation.health is Health.STALLED
    return Plan(fresh, Failed(situation.reason, delay, terminal=stalled))


def seconds_to_wait(cm: CustomModel, now: datetime) -> float:
    """How long a failed object's backoff still lasts; 0 for one that changed since."""
    retry = cm.status.retry
    if retry is None or retry.next_attempt_time is None:
        return 0.0
    if cm.status.observed_generation != cm.metadata.generation:
        return 0.0
    return max(0.0, (retry.next_attempt_time - now).total_seconds())


def _told(
    cm: CustomModel, status: CustomModelStatus, situation: Situation, now: datetime
) -> CustomModelStatus:
    """`status` with everything that follows from the situation."""
    return status.model_copy(
        update={
            "observed_generation": cm.metadata.generation,
            "phase": _phase(situation),
            "conditions": conditions_for(
                _stages(cm, status),
                situation,
                cm.metadata.generation,
                cm.status.conditions,
                now,
            ),
        }
    )


def _phase(situation: Situation) -> CustomModelPhase:
    match situation.health:
        case Health.READY:
            return CustomModelPhase.READY
        case Health.STALLED:
            return CustomModelPhase.FAILED
        case Health.PAUSED:
            return CustomModelPhase.SUSPENDED
    if situation.reason is Reason.UPDATING:
        return CustomModelPhase.IMPORTING
    return _PHASES[situation.stage]


def _stages(cm: CustomModel, status: CustomModelStatus) -> tuple[Stage, ...]:
    source = status.source.text if status.source is not None else None
    if not needs_archive(cm.spec):
        archive = Stage(ARCHIVE, Reason.NOT_REQUIRED, "Together fetches the source as it is")
    else:
        uri = status.archive.uri if status.archive is not None else None
        archive = Stage(ARCHIVE, Reason.ARCHIVED, uri or "")
    model = status.model
    return (
        Stage(SOURCE, Reason.FOUND, source or ""),
        archive,
        Stage(REGISTER, Reason.REGISTERED, (model.name if model is not None else None) or ""),
        Stage(IMPORT, Reason.IMPORTED, (model.revision if model is not None else None) or ""),
    )


def registered(status: CustomModelStatus, model: Model) -> CustomModelStatus:
    """Status once the model record is known to exist and to be ours."""
    record = ModelStatus(id=model.id, name=model.name)
    return status.model_copy(update={"model": record, "intent": None, "retry": None})


def started(
    status: CustomModelStatus, job: Import, attempt: int, digest: str, now: datetime
) -> CustomModelStatus:
    """Status once an import is known to be started; `digest` is of the source that it fetches."""
    begun = ImportStatus(
        job_id=job.id,
        attempt=attempt,
        state=job.state.value,
        message=job.message or None,
        source_digest=digest,
        started_at=now,
    )
    progress = Progress(stage="Import", text="queued")
    return status.model_copy(
        update={"import_": begun, "intent": None, "retry": None, "progress": progress}
    )
