"""Archiving: a Job packs the source; wrong input is for a person, anything else is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import JobStatus
from together_operator.domain.archive_job import JobFacts, JobState, job_name
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.custom_model.actions import CreateJob, DeleteJob, ModelPlan
from together_operator.domain.custom_model.observed import Observed, is_archived, is_imported
from together_operator.domain.custom_model.status import ARCHIVE, REGISTER, busy, failed, planned
from together_operator.domain.outcome import After

MAX_ATTEMPTS = 5


def archiving(o: Observed, now: datetime) -> ModelPlan | None:
    """The row for a source that has to be packed first."""
    cm = o.cm
    if is_imported(cm) or is_archived(cm):
        return None
    attempt = (cm.status.job.attempt if cm.status.job is not None else None) or 1
    name = job_name(cm, o.process.cluster_id, attempt)
    job = o.job
    if job is not None and job.name != name:
        say = busy(ARCHIVE, Reason.ARCHIVING, f"Stopping Job {job.name} of an earlier spec")
        action = None if job.deleting else DeleteJob(job.name)
        return planned(o, now, say, After(o.process.soon), action)
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
    say = busy(ARCHIVE, Reason.ARCHIVING, job.message or f"Job {name} packs the source")
    status = cm.status.model_copy(update={"progress": job.progress or cm.status.progress})
    return planned(o, now, say, After(o.process.soon), status=status)


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
