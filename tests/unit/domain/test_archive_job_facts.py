"""What a Job, its pods and its log come down to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.api.v1alpha1 import ArchiveStatus, Progress
from together_operator.domain.archive_job import JobFacts, JobState, facts
from together_operator.domain.progress import parse_progress

RESULT = {
    "type": "result",
    "uri": "s3://bucket/archive.zip",
    "format": "zip",
    "sizeBytes": 10,
    "digest": "sha256:abc",
    "files": 3,
}
PROGRESS = {
    "type": "progress",
    "stage": "Archive",
    "doneBytes": 63,
    "totalBytes": 100,
    "bytesPerSecond": 1288490188.8,
    "etaSeconds": 240,
}


def job(*conditions: tuple[str, str], deleting: bool = False) -> dict[str, Any]:
    """A Job with conditions (type, message) that are true."""
    metadata: dict[str, Any] = {"name": "job"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:00Z"
    said = [{"type": t, "status": "True", "message": m} for t, m in conditions]
    return {"metadata": metadata, "status": {"conditions": said} if said else {}}


def pod(
    code: int | None = None, message: str = "", container: str = "archive", **state: Any
) -> dict[str, Any]:
    """A pod whose container ended with `code`, or is in `state`."""
    if code is not None:
        state = {"terminated": {"exitCode": code, "message": message}}
    return {"status": {"containerStatuses": [{"name": container, "state": state}]}}


def ended(reason: str, code: int, message: str) -> dict[str, Any]:
    """A pod whose container ended, for a reason that the kubelet tells."""
    return pod(terminated={"exitCode": code, "reason": reason, "message": message})


def pending(reason: str, message: str) -> dict[str, Any]:
    """A pod that is not scheduled."""
    said = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"status": {"conditions": [said]}}


COMPLETE, FAILED = ("Complete", ""), ("Failed", "Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            facts(job(), [], None),
            JobFacts(
                "job",
                JobState.RUNNING,
                "Job job has no pod yet; if that lasts, a quota or an admission webhook may refuse "
                "it: kubectl describe job job",
            ),
            id="no pod: just created, or refused",
        ),
        pytest.param(
            facts(job(deleting=True), [], None),
            JobFacts("job", JobState.RUNNING, deleting=True),
            id="being deleted",
        ),
        pytest.param(
            facts(job(("SuccessCriteriaMet", "")), [pod(0, json.dumps(RESULT))], None),
            JobFacts("job", JobState.RUNNING),
            id="on its way to Complete",
        ),
        pytest.param(
            facts(job(("FailureTarget", "")), [pod(65)], None),
            JobFacts("job", JobState.RUNNING),
            id="on its way to Failed",
        ),
        pytest.param(
            facts(job(), [pod(waiting={"reason": "ImagePullBackOff", "message": "no"})], None),
            JobFacts("job", JobState.RUNNING, "ImagePullBackOff: no"),
            id="image can't be pulled",
        ),
        pytest.param(
            facts(job(), [pod(waiting={"reason": "ContainerCreating"})], None),
            JobFacts("job", JobState.RUNNING),
            id="container is being created",
        ),
        pytest.param(
            facts(
                job(),
                [
                    pod(
                        waiting={
                            "reason": "CreateContainerConfigError",
                            "message": 'secret "x" not found',
                        }
                    )
                ],
                None,
            ),
            JobFacts("job", JobState.RUNNING, 'CreateContainerConfigError: secret "x" not found'),
            id="a Secret is missing",
        ),
        pytest.param(
            facts(job(), [pending("Unschedulable", "0/3 nodes are available")], None),
            JobFacts("job", JobState.RUNNING, "Unschedulable: 0/3 nodes are available"),
            id="no node fits",
        ),
        pytest.param(
            facts(job(COMPLETE), [pod(0, json.dumps(RESULT))], None),
            JobFacts(
                "job",
                JobState.SUCCEEDED,
                result=ArchiveStatus(
                    uri="s3://bucket/archive.zip",
                    format="zip",
                    size_bytes=10,
                    digest="sha256:abc",
                    files=3,
                ),
            ),
            id="complete",
        ),
        pytest.param(
            facts(job(COMPLETE), [pod(0, "a line of the log\n" + json.dumps(RESULT))], None),
            JobFacts(
                "job",
                JobState.SUCCEEDED,
                result=ArchiveStatus(
                    uri="s3://bucket/archive.zip",
                    format="zip",
                    size_bytes=10,
                    digest="sha256:abc",
                    files=3,
                ),
            ),
            id="complete, the result as the log's last line",
        ),
        pytest.param(
            facts(job(COMPLETE), [], None),
            JobFacts("job", JobState.SUCCEEDED, "the Job's result can't be read any more"),
            id="complete, its pod is gone",
        ),
        pytest.param(
            facts(job(FAILED), [pod(65, json.dumps({"error": "config.json is missing"}))], None),
            JobFacts("job", JobState.FAILED, "config.json is missing", is_final=True),
            id="wrong input, in the worker's words",
        ),
        pytest.param(
            facts(job(FAILED), [pod(77)], None),
            JobFacts(
                "job", JobState.FAILED, "the worker exited with 77: not permitted", is_final=True
            ),
            id="not permitted, without words",
        ),
        pytest.param(
            facts(job(FAILED), [pod(75, json.dumps({"error": "the store is busy"}))], None),
            JobFacts("job", JobState.FAILED, "the store is busy"),
            id="temporary",
        ),
        pytest.param(
            facts(job(FAILED), [pod(137)], None),
            JobFacts("job", JobState.FAILED, "Job has reached the specified backoff limit"),
            id="killed: Kubernetes' words",
        ),
        pytest.param(
            facts(job(FAILED), [ended("OOMKilled", 137, '{"type": "progress"}')], None),
            JobFacts(
                "job",
                JobState.FAILED,
                "Job has reached the specified backoff limit: the worker ended with OOMKilled "
                "(exit code 137); raise spec.job.resources.limits.memory",
            ),
            id="out of memory, with the remedy",
        ),
        pytest.param(
            facts(job(FAILED), [ended("StartError", 128, "exec: no such file")], None),
            JobFacts(
                "job",
                JobState.FAILED,
                "Job has reached the specified backoff limit: the worker ended with StartError "
                "(exit code 128)",
            ),
            id="never started",
        ),
        pytest.param(
            facts(job(FAILED), [ended("Error", 75, '{"error": "the store is busy"}')], None),
            JobFacts("job", JobState.FAILED, "the store is busy"),
            id="the worker's own words come before Kubernetes' reason",
        ),
        pytest.param(
            facts(job(("Failed", "Job was active longer than specified deadline")), [], None),
            JobFacts("job", JobState.FAILED, "Job was active longer than specified deadline"),
            id="past its deadline",
        ),
        pytest.param(
            facts(job(FAILED), [pod(0, container="istio-proxy"), pod(65)], None),
            JobFacts(
                "job",
                JobState.FAILED,
                "the worker exited with 65: the source is not acceptable",
                is_final=True,
            ),
            id="a sidecar's exit code is not the worker's",
        ),
        pytest.param(
            facts(job(FAILED), [pod(65), pod(75)], None),
            JobFacts(
                "job",
                JobState.FAILED,
                "the worker exited with 65: the source is not acceptable",
                is_final=True,
            ),
            id="the newest pod counts",
        ),
    ],
)
def test_facts(found: JobFacts, expected: JobFacts) -> None:
    assert found == expected


def test_a_condition_that_is_not_true_says_nothing() -> None:
    body = job(COMPLETE)
    body["status"]["conditions"][0]["status"] = "False"
    assert facts(body, [], None).state is JobState.RUNNING


@pytest.mark.parametrize(
    "result",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"uri": ""}, id="empty"),
        pytest.param({"uri": 7}, id="not text"),
        pytest.param([], id="no object"),
    ],
)
def test_a_result_without_an_archive_is_none(result: object) -> None:
    assert facts(job(COMPLETE), [pod(0, json.dumps(result))], None).result is None


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        pytest.param(
            PROGRESS,
            Progress(
                stage="Archive",
                done_bytes=63,
                total_bytes=100,
                percent=63,
                bytes_per_second=1288490188,
                eta_seconds=240,
                text="63% 1.2GiB/s 4m",
            ),
            id="all of it",
        ),
        pytest.param(
            {"type": "progress", "stage": "Upload", "doneBytes": 5},
            Progress(stage="Upload", done_bytes=5),
            id="nothing but bytes",
        ),
        pytest.param(
            {"type": "progress", "doneBytes": 0, "totalBytes": 0},
            Progress(stage="Archive", done_bytes=0, total_bytes=0),
            id="of nothing",
        ),
        pytest.param(
            {**PROGRESS, "doneBytes": 150, "etaSeconds": 0, "bytesPerSecond": 0},
            Progress(
                stage="Archive",
                done_bytes=150,
                total_bytes=100,
                percent=100,
                bytes_per_second=0,
                eta_seconds=0,
                text="100% 0s",
            ),
            id="more than all: 100 %",
        ),
        pytest.param(
            {
                **PROGRESS,
                "doneBytes": "63",
                "totalBytes": -1,
                "bytesPerSecond": True,
                "etaSeconds": 1e300,
            },
            Progress(stage="Archive"),
            id="nothing that the CRD accepts",
        ),
        pytest.param(RESULT, None, id="the result"),
        pytest.param({"type": "other"}, None, id="another line"),
    ],
)
def test_progress(line: dict[str, Any], progress: Progress | None) -> None:
    assert parse_progress(json.dumps(line)) == progress


@pytest.mark.parametrize(
    "line",
    [None, "", "Traceback (most recent call last):", "[]", "7", '{"type": "progress"', "[" * 10**5],
)
def test_what_is_no_progress(line: str | None) -> None:
    assert parse_progress(line) is None


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


@given(st.dictionaries(st.sampled_from([*PROGRESS, *RESULT]), anything), st.booleans())
def test_whatever_a_worker_says_makes_a_status_that_can_be_stored(
    said: dict[str, Any], progress: bool
) -> None:
    if progress:
        said["type"] = "progress"
    line = json.dumps(said)
    found = facts(job(COMPLETE), [pod(0, line)], None)
    read = parse_progress(line)
    for model in (found.result, read):
        if model is not None:
            assert type(model).model_validate(model.to_body()) == model
            json.dumps(model.to_body(), allow_nan=False)
    if read is not None:
        assert read.percent is None or 0 <= read.percent <= 100


@given(st.text())
def test_any_line_can_be_read(line: str) -> None:
    assert parse_progress(line) is None or line.lstrip().startswith("{")
