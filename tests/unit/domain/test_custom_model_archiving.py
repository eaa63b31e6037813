"""Archiving: one Job at a time packs the source; what it says decides how it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.domain import situations as s
from tests.unit.domain.situations import CATALOG, FOUND, NOW, PREFIX, SOON

from together_operator.api.v1alpha1 import ArchiveStatus, CustomModel, JobStatus, Progress
from together_operator.domain.archive_job import JobFacts, JobState, job_name
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import (
    CreateJob,
    CreateModel,
    DeleteArchives,
    DeleteJob,
)
from together_operator.domain.custom_model.observed import Observed, is_archived
from together_operator.domain.outcome import After, Done, Failed, Outcome

AT_ARCHIVE = ("reconciling", "Archiving", "Archived")
CM = s.found(PREFIX)
NAME = job_name(CM, "cluster", 1)
SECOND = job_name(CM, "cluster", 2)
RESULT = ArchiveStatus(uri="s3://bucket/archives/team/model-1/weights.zip", size_bytes=10)
ELSEWHERE = ArchiveStatus(uri="s3://bucket-of-others/weights.zip")
MOVED = {**PREFIX, "archive": {"destination": {"uri": "s3://elsewhere/"}}}
SUSPENDED = {**PREFIX, "suspend": True}


def after_failures(attempt: int, spec: s.Spec = PREFIX) -> CustomModel:
    """An object whose next Job is that of `attempt`."""
    cm = s.found(spec)
    name = job_name(cm, "cluster", attempt)
    return s.given(cm, job=JobStatus(name=name, attempt=attempt), phase="Archiving")


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(s.look(CM), AT_ARCHIVE, After(SOON), CreateJob(NAME), id="no Job: created"),
        pytest.param(
            s.look(CM, job=s.job(CM)), AT_ARCHIVE, After(SOON), None, id="it runs: followed"
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, deleting=True)),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="somebody deletes it: waited for",
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, JobState.SUCCEEDED, result=RESULT)),
            ("reconciling", "Registering", "Registered"),
            After(0),
            None,
            id="it succeeded: on to the model",
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, JobState.FAILED, message="disk full")),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 1.0),
            None,
            id="it failed: tried again after a delay",
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, JobState.FAILED, is_final=True)),
            ("stalled", "ArchiveFailed", "Archived"),
            Failed("ArchiveFailed", 1.0, terminal=True),
            None,
            id="the input was wrong: a person's turn",
        ),
        pytest.param(
            s.look(after_failures(5), job=s.job(CM, JobState.FAILED, attempt=5)),
            ("stalled", "ArchiveFailed", "Archived"),
            Failed("ArchiveFailed", 1.0, terminal=True),
            None,
            id="the fifth attempt failed: a person's turn",
        ),
        pytest.param(
            s.look(after_failures(6)),
            AT_ARCHIVE,
            After(SOON),
            CreateJob(job_name(CM, "cluster", 6)),
            id="after its delay even so: once more, should the cause be mended",
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, JobState.SUCCEEDED)),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 1.0),
            None,
            id="it succeeded, and its result is lost: once more",
        ),
        pytest.param(
            s.look(CM, job=s.job(CM, JobState.SUCCEEDED, result=ELSEWHERE)),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 1.0),
            None,
            id="its archive is not at the destination: not taken",
        ),
        pytest.param(
            s.look(CM, job=replace(s.job(CM), name="earlier")),
            AT_ARCHIVE,
            After(SOON),
            DeleteJob("earlier"),
            id="a Job of an earlier spec runs: stopped first",
        ),
        pytest.param(
            s.look(CM, job=replace(s.job(CM, deleting=True), name="earlier")),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="a Job of an earlier spec is being stopped: waited for",
        ),
        pytest.param(
            s.look(s.edited(s.archived(), MOVED)),
            AT_ARCHIVE,
            After(SOON),
            CreateJob,
            id="the destination changed before the import: packed again",
        ),
        pytest.param(
            s.look(s.edited(s.imported(PREFIX), MOVED), model=s.MODEL),
            ("ready", "Ready", ""),
            Done(),
            DeleteArchives(),
            id="the destination changed after the import: the archive is looked for there",
        ),
        pytest.param(
            s.look(s.archived(), source=FOUND, base_models=CATALOG),
            ("reconciling", "Registering", "Registered"),
            After(0),
            CreateModel,
            id="archived: the model is created",
        ),
        pytest.param(
            s.look(s.found(SUSPENDED), job=s.job(s.found(SUSPENDED))),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="suspended while it runs: followed",
        ),
        pytest.param(
            s.look(after_failures(2, SUSPENDED)),
            ("paused", "Suspended", "Archived"),
            Done(),
            None,
            id="suspended before it is started: not started",
        ),
        pytest.param(
            s.look(s.found(), source=FOUND, base_models=CATALOG),
            ("reconciling", "Registering", "Registered"),
            After(0),
            CreateModel,
            id="a source that Together fetches as it is: no Job",
        ),
    ],
)
def test_row(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object
) -> None:
    s.expect(observed, says, outcome, action)


def test_the_job_is_recorded_before_it_is_created() -> None:
    plan = s.expect(s.look(CM), AT_ARCHIVE, After(SOON), CreateJob(NAME))
    assert plan.status.job == JobStatus(name=NAME, attempt=1)


def test_a_failed_attempt_makes_the_next_one_known_and_keeps_the_failed_job() -> None:
    job = s.job(CM, JobState.FAILED, message="disk full.")
    plan = decide(s.look(CM, job=job), NOW)
    assert plan.status.job == JobStatus(name=SECOND, attempt=2), s.show(plan)
    assert plan.action is None, "its logs stay until its TTL"
    assert s.message(plan.status) == "Attempt 1 failed: disk full"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        pytest.param(
            s.job(CM, JobState.FAILED, message="config.json is missing.", is_final=True),
            "config.json is missing. It is tried again by itself, once the cause is mended.",
            id="the worker's words",
        ),
        pytest.param(
            s.job(CM, JobState.FAILED, is_final=True),
            "the Job failed without a message. It is tried again by itself, once the cause is "
            "mended.",
            id="no words",
        ),
    ],
)
def test_a_final_failure_is_told(job: JobFacts, words: str) -> None:
    assert s.message(decide(s.look(CM, job=job), NOW).status) == words


def test_progress_of_the_worker_is_shown_and_kept_between_its_lines() -> None:
    progress = Progress(stage="Archive", percent=63, text="63% 1.2GiB/s 4m")
    first = decide(s.look(CM, job=s.job(CM, progress=progress)), NOW)
    shown = first.status.progress
    assert shown == progress.model_copy(update={"moved_at": NOW})
    later = decide(s.look(s.given(CM, progress=shown), job=s.job(CM)), NOW)
    assert later.status.progress == shown


def test_what_a_pod_waits_for_is_told_in_kubernetes_words() -> None:
    job = s.job(CM, message="ImagePullBackOff: not found")
    assert s.message(decide(s.look(CM, job=job), NOW).status) == "ImagePullBackOff: not found"


def test_the_result_is_what_together_will_be_given() -> None:
    plan = decide(s.look(CM, job=s.job(CM, JobState.SUCCEEDED, result=RESULT)), NOW)
    assert plan.status.archive == RESULT
    assert plan.status.progress is None
    assert is_archived(s.given(CM, **dict(plan.status)))


# The name of a Job says what it packs, so that another one's outcome is never taken for it.


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(s.found(PREFIX, revision="commit-2"), id="content"),
        pytest.param(s.found(MOVED), id="destination"),
        pytest.param(
            s.found({**PREFIX, "source": {"s3": {"uri": "s3://bucket/other/"}}}), id="source"
        ),
        pytest.param(
            CM.model_copy(update={"metadata": CM.metadata.model_copy(update={"uid": "uid-2"})}),
            id="object of the same name",
        ),
    ],
)
def test_another_thing_to_pack_is_another_job(other: CustomModel) -> None:
    assert job_name(other, "cluster", 1) != NAME


def test_jobs_of_other_clusters_and_attempts_have_other_names() -> None:
    assert len({NAME, SECOND, job_name(CM, "another-cluster", 1)}) == 3


def test_a_change_that_is_not_about_the_content_is_the_same_job() -> None:
    again = s.edited(CM, {**PREFIX, "description": "other words"})
    assert job_name(again, "cluster", 1) == NAME


def test_a_source_that_was_mended_after_a_failed_import_is_packed_anew() -> None:
    cm = s.importing("FAILED", attempt=3, spec=PREFIX)
    observed = s.look(cm, model=s.MODEL, source=replace(FOUND, revision="mended"))
    plan = s.expect(observed, AT_ARCHIVE, After(SOON), CreateJob)
    assert plan.status.archive is None
    assert plan.status.job is not None
    assert cm.status.job is not None
    assert plan.status.job.name != cm.status.job.name, "the old Job may still be there, done"
