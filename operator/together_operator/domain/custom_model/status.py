"""How a CustomModel's status comes about: one function for phase, conditions and retry."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import (
    ArchiveStatus,
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    ImportStatus,
    JobStatus,
    ModelStatus,
    Progress,
)
from together_operator.domain.conditions import (
    DELETION,
    MAX_MESSAGE,
    Health,
    Reason,
    Situation,
    Stage,
)
from together_operator.domain.custom_model.actions import ModelPlan
from together_operator.domain.custom_model.observed import (
    Observed,
    has_model,
    is_archived,
    is_same_source,
)
from together_operator.domain.failures import StageError
from together_operator.domain.plan import asks_anew
from together_operator.domain.source import needs_archive
from together_operator.domain.telling import Telling
from together_operator.domain.together import Import, ImportState, Model, Revision

SOURCE, ARCHIVE, REGISTER, IMPORT = "SourceReady", "Archived", "Registered", "Imported"

_PHASES = {
    SOURCE: CustomModelPhase.PENDING,
    ARCHIVE: CustomModelPhase.ARCHIVING,
    REGISTER: CustomModelPhase.REGISTERING,
    IMPORT: CustomModelPhase.IMPORTING,
    "": CustomModelPhase.IMPORTING,
    DELETION: CustomModelPhase.DELETING,
}


def busy(stage: str, reason: Reason, message: str) -> Situation:
    """Something is under way in `stage`."""
    return Situation(Health.PROGRESSING, reason, message, stage)


def _phase(situation: Situation) -> CustomModelPhase:
    if situation.stage == DELETION:
        return CustomModelPhase.DELETING
    match situation.health:
        case Health.READY:
            return CustomModelPhase.READY
        case Health.STALLED:
            return CustomModelPhase.FAILED
        case Health.PAUSED:
            return CustomModelPhase.SUSPENDED
    return _PHASES[situation.stage]


def _stages(cm: CustomModel, status: CustomModelStatus) -> tuple[Stage, ...]:
    source = status.source.text if status.source is not None else None
    if not needs_archive(cm.spec):
        archive = Stage(ARCHIVE, Reason.NOT_REQUIRED, "Together fetches the source as it is")
    elif status.archive is None and _is_adopted(status):
        archive = Stage(ARCHIVE, Reason.NOT_REQUIRED, "The model was taken over with its weights")
    else:
        archive = _archive_stage(status.archive)
    model = status.model
    return (
        Stage(SOURCE, Reason.FOUND, source or "", is_done=status.source is not None),
        archive,
        Stage(REGISTER, Reason.REGISTERED, (model.name if model is not None else None) or ""),
        Stage(IMPORT, Reason.IMPORTED, (model.revision if model is not None else None) or ""),
    )


def _is_adopted(status: CustomModelStatus) -> bool:
    """True when what counts as imported came with the model: no import of ours has made it."""
    last = status.import_
    return last is not None and last.state == ImportState.SUCCEEDED and last.job_id is None


def _archive_stage(archive: ArchiveStatus | None) -> Stage:
    if archive is None:
        return Stage(ARCHIVE, Reason.ARCHIVED, "", is_done=False)
    uri, left = archive.uri or "", ""
    if archive.left_behind:
        left = f"; {archive.left_behind}, in the destination of before, is left: delete it by hand"
    if archive.deleted:
        words = f"{uri} was deleted after the import".strip()
        return Stage(ARCHIVE, Reason.ARCHIVE_DELETED, words + left)
    if archive.problem:
        words = f"{uri} is imported and could not be deleted: {archive.problem}"
        return Stage(ARCHIVE, Reason.ARCHIVE_NOT_DELETED, words + left)
    return Stage(ARCHIVE, Reason.ARCHIVED, uri + left)


_TELLING: Telling[CustomModel, CustomModelStatus] = Telling(
    status_of=lambda cm: cm.status, stages=_stages, phase=_phase
)
planned = _TELLING.planned
failed = _TELLING.failed
seconds_to_wait = _TELLING.seconds_to_wait


def failure(o: Observed, now: datetime, error: StageError) -> ModelPlan:
    """A plan for an error that came up while looking or acting."""
    return _TELLING.failure(o.with_status(afresh(o.cm)), now, error)


def afresh(cm: CustomModel) -> CustomModelStatus:
    """The status, with failed Jobs and imports forgotten once somebody asked to try again.

    A failure is recorded for the new generation too, and must not end what the edit asked for.
    """
    status, job, last = cm.status, cm.status.job, cm.status.import_
    if not asks_anew(cm, status.observed_generation, status.last_retry):
        return status
    if job is not None and job.failures is not None:
        job = job.model_copy(update={"failures": None})
        status = status.model_copy(update={"job": job})
    if last is None or last.state != ImportState.FAILED:
        return status
    status = status.model_copy(update={"import_": last.model_copy(update={"attempt": None})})
    # Nobody but a Job can see if a volume's files were mended.
    opaque = cm.spec.source.persistent_volume_claim is not None
    return archive_lost(status) if opaque and status.archive is not None else status


def next_stage(cm: CustomModel) -> str:
    """The first stage that is not done, from status alone."""
    if not is_same_source(cm):
        return SOURCE
    if not is_archived(cm):
        return ARCHIVE
    return IMPORT if has_model(cm) else REGISTER


def archive_lost(status: CustomModelStatus) -> CustomModelStatus:
    """Status once there is no archive to be imported: another Job has to make one.

    The Job that made it may be there still, and done: the next has another name.
    """
    attempt = (status.job.attempt if status.job is not None else None) or 1
    job = JobStatus(attempt=attempt + 1)
    return status.model_copy(update={"archive": None, "job": job, "intent": None})


def archives_deleted(status: CustomModelStatus, problem: str = "") -> CustomModelStatus:
    """Status once the object's archives were deleted, or could not be for the reason given."""
    before = status.archive or ArchiveStatus()
    archive = before.model_copy(update={"deleted": not problem, "problem": problem or None})
    stage = _archive_stage(archive)
    told = {"reason": stage.reason, "message": stage.message[:MAX_MESSAGE]}
    conditions = (
        c.model_copy(update=told) if c.type == ARCHIVE and c.status == "True" else c
        for c in status.conditions
    )
    return status.model_copy(update={"archive": archive, "conditions": tuple(conditions)})


def registered(status: CustomModelStatus, model: Model) -> CustomModelStatus:
    """Status once the model record is known to exist and to be ours."""
    record = ModelStatus(id=model.id, name=model.name)
    return status.model_copy(update={"model": record, "intent": None, "retry": None})


def adopted(
    status: CustomModelStatus, model: Model, revision: Revision, digest: str
) -> CustomModelStatus:
    """Status once a model was taken over with its weights: they count as the source's.

    Nothing tells what a revision was imported from; who says Adopt says that it is this source.
    """
    done = ImportStatus(
        state=ImportState.SUCCEEDED.value, message="adopted with the model", source_digest=digest
    )
    record = ModelStatus(id=model.id, name=model.name, revision=revision.id)
    progress = Progress(stage="Done", percent=100, text="100%")
    return status.model_copy(update={"import_": done, "model": record, "progress": progress})


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
    # The revision is an earlier import's: it must not pass for this one's.
    record = status.model.model_copy(update={"revision": None}) if status.model else None
    return status.model_copy(
        update={
            "import_": begun,
            "intent": None,
            "retry": None,
            "progress": Progress(stage="Import", text="queued"),
            "model": record,
        }
    )
