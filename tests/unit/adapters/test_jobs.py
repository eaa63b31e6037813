"""Progress of archive Jobs whose pods are on a node that answers no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from kubernetes.aio import client

from together_operator.adapters import jobs
from together_operator.adapters.jobs import KubeJobs
from together_operator.adapters.rest import JSON, KubeRest

LINE = '{"type": "progress", "stage": "Archive", "doneBytes": 40, "totalBytes": 100}'
INTERVAL = 5.0


class Cluster(KubeRest):
    """Every Job runs one pod of its name; those on the lost node are in `silent`."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.deleting: set[str] = set()
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        names: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: str = JSON,
    ) -> Any:
        """Lists of Jobs and pods."""
        del method, names, body, accept
        name = (query or {})["labelSelector"].partition("=")[2]
        metadata = {"name": name, "uid": name}
        if path.endswith("/jobs"):
            return {"items": [{"metadata": metadata, "status": {"active": 1}}]}
        if name in self.deleting:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        spec = {"nodeName": "lost" if name.startswith("lost") else "here"}
        return {"items": [{"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}]}

    async def text(self, path: str, names: Mapping[str, str], *, query: Mapping[str, str]) -> str:
        """A log, for which aiohttp waits half a minute."""
        del path, query
        name = names["name"]
        self.asked.append(name)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with asyncio.timeout(30):
                await asyncio.sleep(0.01 if name not in self.silent else 1000)
        finally:
            self.at_once -= 1
        return f"{LINE}\n"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster()
    monkeypatch.setattr("together_operator.adapters.jobs.KubeRest", lambda _: cluster)
    monkeypatch.setattr("together_operator.adapters.core_v1.KubeRest", lambda _: cluster)
    return cluster


def kube_jobs() -> KubeJobs:
    nothing: client.ApiClient = None  # type: ignore[assignment]
    return KubeJobs(nothing, INTERVAL, lambda: asyncio.get_running_loop().time())


async def percent(found: KubeJobs, name: str) -> int | None:
    facts = await found.find("team", name, name)
    assert facts is not None
    return facts.progress.percent if facts.progress is not None else None


@pytest.mark.looptime
async def test_a_log_that_can_not_be_read_holds_a_look_for_seconds_only(cluster: Cluster) -> None:
    cluster.silent = {"lost"}
    found, loop = kube_jobs(), asyncio.get_running_loop()

    began = loop.time()
    assert await percent(found, "lost") is None
    assert loop.time() - began == pytest.approx(jobs.LOG_SECONDS)

    await asyncio.sleep(INTERVAL)
    assert await percent(found, "lost") is None
    assert cluster.asked == ["lost"]  # it is left alone for a while
    await asyncio.sleep(jobs.SILENT_SECONDS)
    cluster.silent = set()
    assert await percent(found, "lost") == 40
    assert cluster.asked == ["lost", "lost"]


@pytest.mark.looptime
async def test_pods_on_a_lost_node_take_few_connections_and_leave_others_theirs(
    cluster: Cluster,
) -> None:
    lost = [f"lost-{n}" for n in range(40)]
    cluster.silent = set(lost)
    found, loop = kube_jobs(), asyncio.get_running_loop()

    began = loop.time()
    await asyncio.gather(*(percent(found, name) for name in lost))
    assert cluster.most_at_once <= jobs.LOGS_AT_ONCE
    assert loop.time() - began <= 2 * jobs.LOG_SECONDS + 0.1

    began = loop.time()
    assert await percent(found, "healthy") == 40
    assert loop.time() - began < 0.1
    for _ in range(10):
        await asyncio.sleep(INTERVAL)
        await asyncio.gather(*(percent(found, name) for name in lost))
    assert len(cluster.asked) <= 2 * jobs.LOGS_AT_ONCE + 1
    assert cluster.most_at_once <= jobs.LOGS_AT_ONCE


@pytest.mark.looptime
async def test_a_pod_that_is_being_deleted_keeps_its_last_line(cluster: Cluster) -> None:
    found = kube_jobs()
    assert await percent(found, "here") == 40

    cluster.deleting = {"here", "there"}
    await asyncio.sleep(2 * INTERVAL)

    assert await percent(found, "here") == 40
    assert await percent(found, "there") is None
    assert cluster.asked == ["here"]
