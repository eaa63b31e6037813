"""The name of a Job says what it packs: another one's outcome is never taken for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import FOUND, NOW, PREFIX, SOON
from together_operator.api.v1alpha1 import ArchiveStatus, CustomModel, JobStatus, Progress
from together_operator.domain.archive_job import JobState, job_name
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import (
    CreateJob,
    DeleteJob,
)
from together_operator.domain.custom_model.status import seconds_to_wait
from together_operator.domain.outcome import After
from together_operator.domain.plan import RETRY_ANNOTATION

AT_ARCHIVE = ("reconciling", "Archiving", "Archived")
CM = s.found(PREFIX)
NAME = job_name(CM, "cluster", 1)
SECOND = job_name(CM, "cluster", 2)
MOVED = {**PREFIX, "archive": {"destination": {"uri": "s3://elsewhere/"}}}


SEEN = s.given(CM, job=JobStatus(name=NAME, attempt=1, seen_at=NOW))
assert SEEN.status.job is not None


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


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"job": {"image": "mended:2"}}, False, id="its image was mended"),
        pytest.param({"job": {"resources": {"limits": {"memory": "1Gi"}}}}, False, id="memory"),
        pytest.param({"archive": {**s.TO, "format": "tar"}}, False, id="the format"),
        pytest.param({"archive": {**s.TO, "retention": "Retain"}}, True, id="the retention"),
        pytest.param({"visibility": "Internal"}, True, id="something else"),
    ],
)
def test_a_job_that_was_made_from_another_spec_is_replaced(change: s.Spec, same: bool) -> None:
    edited = s.edited(CM, {**PREFIX, **change})
    assert (job_name(edited, "cluster", 1) == NAME) is same
    plan = decide(s.look(edited, job=s.job(CM)), NOW)
    assert plan.action == (None if same else DeleteJob(NAME))


def test_a_job_that_is_followed_is_noted_once() -> None:
    first = decide(s.look(CM, job=s.job(CM)), NOW).status
    assert first.job == JobStatus(name=NAME, attempt=1, seen_at=NOW)
    later = decide(s.look(s.given(CM, **dict(first)), job=s.job(CM)), NOW + s.seconds(60)).status
    assert later.job == first.job


def test_a_stuck_job_is_told_with_how_long_and_the_next_attempt_is_known() -> None:
    standing = Progress(stage="Archive", done_bytes=5, moved_at=NOW - s.seconds(1000))
    job = s.job(CM, running_since=NOW - s.seconds(2000), progress=standing)
    plan = decide(s.look(s.given(SEEN, progress=standing), job=job), NOW)
    assert s.message(plan.status) == f"Attempt 1 failed: Job {NAME} is stuck: no byte in 16m"
    assert plan.status.job == JobStatus(name=SECOND, attempt=2, failures=1)


# Failures in a row.


def round_of(cm: CustomModel, *, is_final: bool = False) -> tuple[CustomModel, float]:
    """The object after its next Job was created, ran and failed; and how long it then waits."""
    for state in (None, JobState.RUNNING, JobState.FAILED):
        attempt = (cm.status.job.attempt if cm.status.job is not None else None) or 1
        job = s.job(cm, state, attempt, is_final=is_final) if state is not None else None
        plan = decide(s.look(cm, job=job), NOW)
        assert isinstance(plan.action, CreateJob) is (state is None), s.show(plan)
        cm = s.given(cm, **dict(plan.status))
    return cm, seconds_to_wait(cm, NOW)


def test_jobs_that_fail_one_after_the_other_come_ever_more_slowly() -> None:
    cm, waits = CM, []
    for _ in range(6):
        cm, wait = round_of(cm)
        waits.append(wait)
    assert waits == [1.0, 2.0, 4.0, 8.0, 300.0, 300.0]


def test_a_job_that_nobody_but_a_person_can_help_is_not_repeated_soon() -> None:
    _, wait = round_of(CM, is_final=True)
    assert wait == 300.0


@pytest.mark.parametrize(
    "begin_afresh",
    [
        pytest.param(lambda cm: s.edited(cm, {**PREFIX, "job": {"image": "mended:2"}}), id="edit"),
        pytest.param(lambda cm: s.annotated(cm, RETRY_ANNOTATION, "now"), id="asked to retry"),
    ],
)
def test_who_mends_the_cause_ends_the_wait_and_its_failures(
    begin_afresh: Callable[[CustomModel], CustomModel],
) -> None:
    cm = CM
    for _ in range(5):
        cm, _ = round_of(cm)
    cm = begin_afresh(cm)
    assert seconds_to_wait(cm, NOW) == 0.0
    cm, wait = round_of(cm)
    assert wait == 1.0
    assert s.told(cm.status) == ("reconciling", "ArchiveRetrying", "Archived")


def test_another_source_begins_without_the_failures_of_the_one_before() -> None:
    cm = CM
    for _ in range(5):
        cm, _ = round_of(cm)
    plan = decide(s.look(cm, source=replace(FOUND, revision="mended")), NOW)
    assert plan.status.job == JobStatus(name=plan.action.name, attempt=1)  # type: ignore[union-attr]


def test_a_job_that_is_done_ends_the_count() -> None:
    cm, _ = round_of(CM)
    result = ArchiveStatus(uri="s3://bucket/archives/team/model-1/weights.zip")
    plan = decide(s.look(cm, job=s.job(cm, JobState.SUCCEEDED, 2, result=result)), NOW)
    assert plan.status.archive == result
    assert plan.status.job == JobStatus(name=SECOND, attempt=2)
