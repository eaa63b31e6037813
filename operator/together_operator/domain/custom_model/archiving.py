"""Archiving: a Job packs the source; wrong input is for a person, anything else is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import (
    ArchiveRetention,
    ArchiveStatus,
    CustomModel,
    JobStatus,
)
from together_operator.domain.archive_job import JobFacts, JobState, job_name
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import (
    CreateJob,
    DeleteArchives,
    DeleteJob,
    ModelPlan,
)
from together_operator.domain.custom_model.observed import Observed, is_archived, is_imported
from together_operator.domain.custom_model.registering import refused_or_found
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
        early = refused_or_found(o, now)
        if early is not None:
            return early
        say = busy(ARCHIVE, Reason.ARCHIVING, f"Starting Job {name}")
        status = cm.status.model_copy(
            update={
                "job": JobStatus(name=name, attempt=attempt, failures=known.failures),
                "progress": None,
            }
        )
        return planned(o, now, say, After(o.process.soon), CreateJob(name), status)
    if job.state is JobState.SUCCEEDED and job.result is not None:
        done = known.model_copy(update={"failures": None})
        status = cm.status.model_copy(
            update={"archive": _succeeding(cm, job.result), "job": done, "progress": None}
        )
        if is_archived(cm.model_copy(update={"status": status})):
            say = busy(REGISTER, Reason.REGISTERING, "The archive is complete")
            return planned(o, now, say, After(0), status=status)
        job = replace(job, message=f"the Job says that its archive is {job.result.uri}")
    if job.state is not JobState.RUNNING:
        return _attempt_failed(o, now, job, attempt)
    return _running(o, now, job, attempt)


def _succeeding(cm: CustomModel, result: ArchiveStatus) -> ArchiveStatus:
    """The new archive, with what it leaves behind: one that is where archives don't go any more."""
    assert cm.spec.archive is not None  # the CRD's rule for sources that are packed
    before, destination = cm.status.archive, cm.spec.archive.destination.uri.rstrip("/")
    if before is None:
        return result
    left = before.left_behind
    if before.uri and not before.deleted and not before.uri.startswith(f"{destination}/"):
        left = before.uri
    return result.model_copy(update={"left_behind": left})


def _running(o: Observed, now: datetime, job: JobFacts, attempt: int) -> ModelPlan:
    """Follow it, and replace it when nothing has moved for too long."""
    cm, known = o.cm, o.cm.status.job or JobStatus()
    seen_at = (known.seen_at if known.name == job.name else None) or now
    progress = advanced(cm.status.progress, job.progress, now)
    status = cm.status.model_copy(
        update={
            "job": JobStatus(
                name=job.name, attempt=attempt, failures=known.failures, seen_at=seen_at
            ),
            "progress": progress,
        }
    )
    at = o.with_status(status)
    idle = _idle_seconds(at.cm, job, now)
    if idle > cm.spec.job.stall_seconds and not job.deleting:
        stuck = replace(job, message=f"Job {job.name} is stuck: no byte in {human_duration(idle)}")
        return replace(_attempt_failed(at, now, stuck, attempt), action=DeleteJob(job.name))
    words = f"Job {job.name} packs the source"
    if job.is_log_unread:
        words += "; its log can't be read, so how far it is can't be told"
    say = busy(ARCHIVE, Reason.ARCHIVING, job.message or words)
    return planned(at, now, say, After(o.process.soon), status=status)


def _idle_seconds(cm: CustomModel, job: JobFacts, now: datetime) -> float:
    """How long the pod that runs has not got on; 0 while none runs, which has other causes.

    Only its own word counts: a log that can't be read, or an image that says nothing, is no sign
    that nothing moves.
    """
    if job.running_since is None or job.progress is None:
        return 0.0
    moved = cm.status.progress.moved_at if cm.status.progress is not None else None
    return (now - max(job.running_since, moved or job.running_since)).total_seconds()


def _attempt_failed(o: Observed, now: datetime, job: JobFacts, attempt: int) -> ModelPlan:
    """The failed Job stays for its logs until its TTL; the next attempt has another name.

    A Job may run for hours before it fails: `status.retry`, which ends with whatever goes well,
    can't count such failures.
    """
    words = (job.message or "the Job failed without a message").rstrip(".")
    known = o.cm.status.job
    failures = ((known.failures if known is not None else None) or 0) + 1
    following = JobStatus(
        name=job_name(o.cm, o.process.cluster_id, attempt + 1),
        attempt=attempt + 1,
        failures=failures,
    )
    status = o.cm.status.model_copy(update={"job": following, "progress": None})
    if job.is_final or failures >= MAX_ATTEMPTS:
        message = f"{words}. It is tried again by itself, once the cause is mended."
        say = Situation(Health.STALLED, Reason.ARCHIVE_FAILED, message, ARCHIVE)
    else:
        say = busy(ARCHIVE, Reason.ARCHIVE_RETRYING, f"Attempt {attempt} failed: {words}")
    return failed(o, now, say, status, failures)


def may_delete_archives(cm: CustomModel) -> bool:
    """True when something that is to be deleted may be in the object's folder."""
    archive, begun = cm.status.archive, cm.status.job is not None
    if cm.spec.archive is None or cm.spec.archive.retention == ArchiveRetention.RETAIN:
        return False
    return begun and not (archive is not None and archive.deleted)


def may_leave_unfinished(cm: CustomModel) -> bool:
    """True when archives are retained, and a Job may have ended in the middle of one."""
    if cm.spec.archive is None or cm.spec.archive.retention != ArchiveRetention.RETAIN:
        return False
    archive = cm.status.archive  # when it was to be packed anew, still that of before
    ended = archive is not None and (archive.deleted or is_archived(cm))
    return cm.status.job is not None and not ended


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
