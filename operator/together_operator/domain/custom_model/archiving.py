"""Archiving: a Job packs the source; wrong input is for a person, anything else is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import ArchiveRetention, CustomModel, JobStatus
from together_operator.domain.archive_job import JobFacts, JobState, job_name
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import (
    CreateJob,
    DeleteArchives,
    DeleteJob,
    ModelPlan,
)
from together_operator.domain.custom_model.observed import Observed, is_archived, is_imported
from together_operator.domain.custom_model.status import ARCHIVE, REGISTER, busy, failed, planned
from together_operator.domain.outcome import After, Done
from together_operator.domain.progress import advanced
from together_operator.domain.text import human_duration

MAX_ATTEMPTS = 5


def archiving(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for a source that has to be packed first."""
    cm = o.cm
    if is_imported(cm) or is_archived(cm):
        return None
    known = cm.status.job or JobStatus()
    attempt = known.attempt or 1
    name = job_name(cm, o.process.cluster_id, attempt)
    job = o.job
    if job is not None and job.name != name:
        say = busy(ARCHIVE, Reason.ARCHIVING, f"Stopping Job {job.name}, which is not wanted now")
        action = None if job.deleting else DeleteJob(job.name)
        return planned(o, now, say, After(o.process.soon), action)
    if job is None and known.name == name and known.seen_at is not None:
        gone = JobFacts(name, JobState.FAILED, f"Job {name} was deleted before it was done")
        return _attempt_failed(o, now, gone, attempt)
    if job is None:
        say = busy(ARCHIVE, Reason.ARCHIVING, f"Starting Job {name}")
        status = cm.status.model_copy(
            update={"job": JobStatus(name=name, attempt=attempt), "progress": None}
        )
        return planned(o, now, say, After(o.process.soon), CreateJob(name), status)
    if job.state is JobState.SUCCEEDED and job.result is not None:
        status = cm.status.model_copy(update={"archive": job.result, "progress": None})
        if is_archived(cm.model_copy(update={"status": status})):
            say = busy(REGISTER, Reason.REGISTERING, "The archive is complete")
            return planned(o, now, say, After(0), status=status)
        job = replace(job, message=f"the Job says that its archive is {job.result.uri}")
    if job.state is not JobState.RUNNING:
        return _attempt_failed(o, now, job, attempt)
    return _running(o, now, job, attempt)


def _running(o: Observed, now: datetime, job: JobFacts, attempt: int) -> ModelPlan:
    """Follow it, and replace it when nothing has moved for too long."""
    cm, known = o.cm, o.cm.status.job
    seen_at = (known.seen_at if known is not None and known.name == job.name else None) or now
    progress = advanced(cm.status.progress, job.progress, now)
    status = cm.status.model_copy(
        update={
            "job": JobStatus(name=job.name, attempt=attempt, seen_at=seen_at),
            "progress": progress,
        }
    )
    at = o.with_status(status)
    idle = _idle_seconds(at.cm, job, now)
    if idle > cm.spec.job.stall_seconds and not job.deleting:
        stuck = replace(job, message=f"Job {job.name} is stuck: no byte in {human_duration(idle)}")
        return replace(_attempt_failed(at, now, stuck, attempt), action=DeleteJob(job.name))
    say = busy(ARCHIVE, Reason.ARCHIVING, job.message or f"Job {job.name} packs the source")
    return planned(at, now, say, After(o.process.soon), status=status)


def _idle_seconds(cm: CustomModel, job: JobFacts, now: datetime) -> float:
    """How long the pod that runs has not got on; 0 while none runs, which has other causes."""
    if job.running_since is None:
        return 0.0
    moved = cm.status.progress.moved_at if cm.status.progress is not None else None
    return (now - max(job.running_since, moved or job.running_since)).total_seconds()


def _attempt_failed(o: Observed, now: datetime, job: JobFacts, attempt: int) -> ModelPlan:
    """The failed Job stays for its logs until its TTL; the next attempt has another name."""
    words = (job.message or "the Job failed without a message").rstrip(".")
    following = JobStatus(
        name=job_name(o.cm, o.process.cluster_id, attempt + 1), attempt=attempt + 1
    )
    status = o.cm.status.model_copy(update={"job": following, "progress": None})
    if job.is_final or attempt >= MAX_ATTEMPTS:
        message = f"{words}. It is tried again by itself, once the cause is mended."
        say = Situation(Health.STALLED, Reason.ARCHIVE_FAILED, message, ARCHIVE)
    else:
        say = busy(ARCHIVE, Reason.ARCHIVE_RETRYING, f"Attempt {attempt} failed: {words}")
    return failed(o, now, say, status)


def may_delete_archives(cm: CustomModel) -> bool:
    """True when something that is to be deleted may be in the object's folder."""
    archive, begun = cm.status.archive, cm.status.job is not None
    if cm.spec.archive is None or cm.spec.archive.retention == ArchiveRetention.RETAIN:
        return False
    return begun and not (archive is not None and archive.deleted)


def tidying(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for an archive that has been imported and is not needed any more.

    The model can be used, so the object is ready, whatever becomes of the archive.
    """
    if not is_imported(o.cm) or not may_delete_archives(o.cm):
        return None
    assert o.model is not None  # the rows before see to it
    say = Situation(Health.READY, Reason.READY, f"{o.model.name} can be deployed")
    status = o.cm.status.model_copy(update={"retry": None, "intent": None})
    return planned(o, now, say, Done(), DeleteArchives(), status)
