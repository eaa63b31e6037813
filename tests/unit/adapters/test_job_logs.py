"""What an archive Job's log says: only what was read just now counts as the worker's word."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from together_operator.adapters.jobs import SILENT_SECONDS, KubeJobs
from together_operator.adapters.rest import KubeRest
from together_operator.domain.archive_job import JobFacts

LINE = json.dumps({"type": "progress", "stage": "Archive", "doneBytes": 5, "totalBytes": 10})


class Cluster:
    """One Job with one pod that runs; `log` is what reading its log gives."""

    def __init__(self) -> None:
        self.log: str | Exception = f"{LINE}\n"
        self.reads = 0

    async def ask(self, method: str, path: str, *_: Any, **__: Any) -> Mapping[str, Any]:
        assert method == "GET"
        if path.endswith("/jobs"):
            return {"items": [{"metadata": {"name": "job"}, "status": {"active": 1}}]}
        running = {"state": {"running": {"startedAt": "2026-03-01T12:00:00Z"}}, "name": "archive"}
        status = {"phase": "Running", "containerStatuses": [running]}
        return {"items": [{"metadata": {"name": "pod", "uid": "uid"}, "status": status}]}

    async def text(self, *_: Any, **__: Any) -> str:
        self.reads += 1
        if isinstance(self.log, Exception):
            raise self.log
        return self.log


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    here = Cluster()
    monkeypatch.setattr(KubeRest, "ask", lambda _, *a, **k: here.ask(*a, **k))
    monkeypatch.setattr(KubeRest, "text", lambda _, *a, **k: here.text(*a, **k))
    return here


class Looks:
    """Looks at the Job, 10 seconds apart unless said otherwise."""

    def __init__(self) -> None:
        self._now = 0.0
        self._jobs = KubeJobs(client.ApiClient, 5.0, lambda: self._now)  # type: ignore[arg-type]

    async def look(self, after: float = 10.0) -> JobFacts:
        self._now += after
        found = await self._jobs.find("team", "owner", "job")
        assert found is not None
        return found


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(ApiException(status=403, reason="Forbidden"), id="not allowed"),
        pytest.param(ApiException(status=502, reason="Bad Gateway"), id="no kubelet"),
        pytest.param(TimeoutError(), id="no answer"),
    ],
)
async def test_a_line_of_before_is_no_word_of_now(cluster: Cluster, refusal: Exception) -> None:
    jobs = Looks()
    first = await jobs.look()
    assert first.progress is not None
    assert not first.is_log_unread

    cluster.log = refusal
    unread = await jobs.look()
    assert unread.progress is None
    assert unread.is_log_unread
    assert (await jobs.look(after=1.0)) == unread, "nor between two reads"
    assert cluster.reads == 2

    cluster.log = f"{LINE}\n"
    assert await jobs.look(after=SILENT_SECONDS) == first


async def test_a_log_that_was_rotated_just_now_still_says_what_it_said(cluster: Cluster) -> None:
    jobs = Looks()
    first = await jobs.look()
    cluster.log = ""
    assert await jobs.look() == first
