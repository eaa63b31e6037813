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
    job = JobStatus(name=name, attempt=attempt, failures=attempt - 1)
    return s.given(cm, job=job, phase="Archiving")


FIFTH = job_name(CM, "cluster", 5)
SEEN = s.given(CM, job=JobStatus(name=NAME, attempt=1, seen_at=NOW))
STANDING = Progress(stage="Archive", done_bytes=5, total_bytes=10, percent=50)
AS_TAR = {**PREFIX, "archive": {**s.TO, "format": "tar"}}
PATIENT = s.found({**PREFIX, "job": {"stallSeconds": 3600}})
assert SEEN.status.job is not None


def moved(ago: float) -> CustomModel:
    """An object whose Job last got on so long ago."""
    progress = STANDING.model_copy(update={"moved_at": NOW - s.seconds(ago)})
    return s.given(SEEN, progress=progress)


def gone(cm: CustomModel) -> CustomModel:
    """The object with its archive deleted."""
    return s.given(cm, archive=ArchiveStatus(uri=RESULT.uri, format="zip", deleted=True))


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
            Failed("ArchiveFailed", 300.0, terminal=True),
            None,
            id="the input was wrong: a person's turn",
        ),
        pytest.param(
            s.look(after_failures(4), job=s.job(CM, JobState.FAILED, attempt=4)),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 8.0),
            None,
            id="the fourth attempt failed: each delay is twice the one before",
        ),
        pytest.param(
            s.look(after_failures(5), job=s.job(CM, JobState.FAILED, attempt=5)),
            ("stalled", "ArchiveFailed", "Archived"),
            Failed("ArchiveFailed", 300.0, terminal=True),
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
            s.look(SEEN),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 1.0),
            None,
            id="it was there and is gone: another attempt",
        ),
        pytest.param(
            s.look(
                s.given(
                    SEEN,
                    job=SEEN.status.job.model_copy(
                        update={"attempt": 5, "name": FIFTH, "failures": 4}
                    ),
                )
            ),
            ("stalled", "ArchiveFailed", "Archived"),
            Failed("ArchiveFailed", 300.0, terminal=True),
            None,
            id="the fifth was there and is gone: for a person",
        ),
        pytest.param(
            s.look(SEEN, job=s.job(CM, running_since=NOW - s.seconds(901))),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="an image that never says how far it is: left alone",
        ),
        pytest.param(
            s.look(
                moved(901),
                job=s.job(CM, running_since=NOW - s.seconds(2000), is_log_unread=True),
            ),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="no byte was seen for too long, in a log that can't be read: left alone",
        ),
        pytest.param(
            s.look(
                moved(900),
                job=s.job(CM, running_since=NOW - s.seconds(2000), progress=STANDING),
            ),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="no byte for a while: waited for",
        ),
        pytest.param(
            s.look(
                moved(901),
                job=s.job(CM, running_since=NOW - s.seconds(2000), progress=STANDING),
            ),
            ("reconciling", "ArchiveRetrying", "Archived"),
            Failed("ArchiveRetrying", 1.0),
            DeleteJob(NAME),
            id="no byte for too long: stopped",
        ),
        pytest.param(
            s.look(
                moved(901),
                job=s.job(CM, running_since=NOW - s.seconds(100), progress=STANDING),
            ),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="no byte for long, but its pod is new: waited for",
        ),
        pytest.param(
            s.look(moved(901), job=s.job(CM, message="Unschedulable: 0/3 nodes are available")),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="no pod runs, which another Job would not change: waited for",
        ),
        pytest.param(
            s.look(
                moved(901),
                job=s.job(
                    CM, running_since=NOW - s.seconds(2000), progress=STANDING, deleting=True
                ),
            ),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="stuck and being deleted: waited for",
        ),
        pytest.param(
            s.look(
                s.given(PATIENT, progress=moved(1000).status.progress),
                job=s.job(PATIENT, running_since=NOW - s.seconds(2000), progress=STANDING),
            ),
            AT_ARCHIVE,
            After(SOON),
            None,
            id="the spec grants more patience: waited for",
        ),
        pytest.param(
            s.look(s.imported(PREFIX), model=s.MODEL),
            ("ready", "Ready", ""),
            Done(),
            DeleteArchives(),
            id="imported: the archive is deleted, and the model is ready",
        ),
        pytest.param(
            s.look(gone(s.imported(PREFIX)), model=s.MODEL),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="the archive is deleted: nothing to do",
        ),
        pytest.param(
            s.look(s.imported(s.KEPT), model=s.MODEL),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="the archive is retained: nothing to do",
        ),
        pytest.param(
            s.look(gone(s.registered(PREFIX)), model=s.MODEL),
            AT_ARCHIVE,
            After(SOON),
            CreateJob,
            id="an import is needed again and the archive is deleted: packed again",
        ),
        pytest.param(
            s.look(s.found(s.PINNED)), AT_ARCHIVE, After(SOON), CreateJob, id="a pinned revision"
        ),
        pytest.param(
            s.look(s.found(s.CLAIM, revision="")), AT_ARCHIVE, After(SOON), CreateJob, id="a volume"
        ),
        pytest.param(
            s.look(s.edited(s.archived(), AS_TAR)),
            AT_ARCHIVE,
            After(SOON),
            CreateJob,
            id="the format changed before the import: packed again",
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
    assert plan.status.job == JobStatus(name=SECOND, attempt=2, failures=1), s.show(plan)
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
    pace = {"bytes_per_second": 1_288_490_188, "eta_seconds": 240}
    progress = Progress(stage="Archive", percent=63, text="63% 1.2GiB/s 4m", **pace)
    first = decide(s.look(CM, job=s.job(CM, progress=progress)), NOW)
    shown = first.status.progress
    assert shown == progress.model_copy(update={"moved_at": NOW})
    later = decide(s.look(s.given(CM, progress=shown), job=s.job(CM)), NOW)
    assert later.status.progress == shown


def test_what_a_pod_waits_for_is_told_in_kubernetes_words() -> None:
    job = s.job(CM, message="ImagePullBackOff: not found")
    assert s.message(decide(s.look(CM, job=job), NOW).status) == "ImagePullBackOff: not found"


def test_an_archive_in_the_destination_of_before_is_told_of() -> None:
    before = s.archived()
    moved_to = s.edited(before, MOVED)
    there = ArchiveStatus(uri="s3://elsewhere/team/model-1/weights.zip", format="zip")
    plan = decide(s.look(moved_to, job=s.job(moved_to, JobState.SUCCEEDED, result=there)), NOW)
    assert before.status.archive is not None
    left = before.status.archive.uri
    assert plan.status.archive == there.model_copy(update={"left_behind": left}), s.show(plan)
    said = next(c for c in plan.status.conditions if c.type == "Archived")
    assert said.message == (
        f"{there.uri}; {left}, in the destination of before, is left: delete it by hand"
    )


def test_an_archive_in_the_same_destination_leaves_nothing_behind() -> None:
    again = s.edited(s.archived(), AS_TAR)
    result = RESULT.model_copy(update={"format": "tar"})
    plan = decide(s.look(again, job=s.job(again, JobState.SUCCEEDED, result=result)), NOW)
    assert plan.status.archive == result


def test_a_log_that_cannot_be_read_is_told() -> None:
    job = s.job(CM, running_since=NOW, is_log_unread=True)
    assert s.message(decide(s.look(CM, job=job), NOW).status) == (
        f"Job {NAME} packs the source; its log can't be read, so how far it is can't be told"
    )


def test_the_result_is_what_together_will_be_given() -> None:
    plan = decide(s.look(CM, job=s.job(CM, JobState.SUCCEEDED, result=RESULT)), NOW)
    assert plan.status.archive == RESULT
    assert plan.status.progress is None
    assert is_archived(s.given(CM, **dict(plan.status)))
