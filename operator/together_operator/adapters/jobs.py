"""Archive Jobs through `kubernetes.aio`. Their meaning is in `domain.archive_job`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.aio import client

from together_operator.adapters.core_v1 import CoreV1
from together_operator.adapters.kube import translated
from together_operator.adapters.rest import KubeRest
from together_operator.domain import archive_job, errors
from together_operator.domain.archive_job import OWNER_LABEL, JobFacts, JobState

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"

LOG_SECONDS = 3.0
"""For one log. The API server asks the pod's node for it, which hangs where the node is lost: its
pods count as running for minutes, and those that are being deleted until somebody removes the node.
"""

LOGS_AT_ONCE = 4
"""Of the connections to Kubernetes that all share."""

SILENT_SECONDS = 60.0
"""Until a node is asked again that did not answer."""

_JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"


@dataclass(frozen=True, slots=True)
class _Line:
    """The last line that a log had `at` that moment, if it could be read then."""

    at: float
    text: str | None
    is_unread: bool


class KubeJobs:
    """`Jobs` of the ports.

    Args:
        api: the client.
        log_interval: seconds between two reads of one Job's log.
        clock: monotonic seconds.
    """

    def __init__(
        self, api: client.ApiClient, log_interval: float, clock: Callable[[], float]
    ) -> None:
        self._rest = KubeRest(api)
        self._core = CoreV1(api)
        self._log_interval = log_interval
        self._clock = clock
        self._logs = asyncio.Semaphore(LOGS_AT_ONCE)
        self._silent: dict[str, float] = {}
        self._lines: dict[str, _Line] = {}

    async def find(self, namespace: str, owner_uid: str, name: str) -> JobFacts | None:
        """The Job `name` of that owner; without it, one of the owner's that still runs."""
        with translated():
            query = {"labelSelector": f"{OWNER_LABEL}={owner_uid}"}
            listed = await self._rest.ask("GET", _JOBS, {"namespace": namespace}, query=query)
        jobs = listed["items"]
        wanted = [job for job in jobs if job["metadata"]["name"] == name]
        for job in wanted or jobs:
            facts = await self._facts(namespace, job)
            if wanted or facts.state is JobState.RUNNING:
                return facts
        return None

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job; one of that name is ours, since the name is derived from the owner."""
        try:
            with translated():
                namespace = manifest["metadata"]["namespace"]
                await self._rest.ask("POST", _JOBS, {"namespace": namespace}, body=manifest)
        except errors.Conflict:
            return

    async def delete(self, namespace: str, name: str) -> None:
        """Delete a Job after its pods."""
        try:
            with translated():
                await self._rest.ask(
                    "DELETE",
                    _JOBS + "/{name}",
                    {"namespace": namespace, "name": name},
                    query={"propagationPolicy": "Foreground"},
                )
        except errors.NotFound:
            return

    async def _facts(self, namespace: str, job: Mapping[str, Any]) -> JobFacts:
        name = job["metadata"]["name"]
        with translated():
            pods = await self._core.pods(namespace, f"{JOB_NAME_LABEL}={name}")
        pods.sort(key=lambda pod: pod["metadata"].get("creationTimestamp") or "", reverse=True)
        running = next((p for p in pods if p.get("status", {}).get("phase") == "Running"), None)
        if running is None:
            return archive_job.facts(job, pods, None)
        line = await self._last_line(namespace, running)
        if line.is_unread:  # what it said before is no word of now
            return archive_job.facts(job, pods, None, is_log_unread=True)
        return archive_job.facts(job, pods, line.text)

    async def _last_line(self, namespace: str, pod: Mapping[str, Any]) -> _Line:
        """The worker's latest line, read at most once in `log_interval`."""
        uid, now = pod["metadata"]["uid"], self._clock()
        known = self._lines.get(uid)
        if known is not None and now - known.at < self._log_interval:
            return known
        if pod["metadata"].get("deletionTimestamp"):
            return known or _Line(now, None, is_unread=True)
        text = await self._log(namespace, pod)
        lines = (text or "").strip().splitlines()
        last = lines[-1] if lines else (known.text if known is not None else None)
        self._lines = {u: v for u, v in self._lines.items() if now - v.at < 600}
        self._lines[uid] = line = _Line(self._clock(), last, is_unread=text is None)
        return line

    async def _log(self, namespace: str, pod: Mapping[str, Any]) -> str | None:
        """The end of a pod's log; None if it can't be read.

        Progress is a courtesy: it must hold up neither the import nor what others ask.
        """
        node = pod.get("spec", {}).get("nodeName", "")
        try:
            async with asyncio.timeout(LOG_SECONDS):
                await self._logs.acquire()
        except TimeoutError:
            return None
        try:
            if self._clock() < self._silent.get(node, -math.inf):
                return None
            with translated():
                async with asyncio.timeout(LOG_SECONDS):
                    return await self._core.last_line(namespace, pod["metadata"]["name"], "archive")
        except errors.Unavailable:
            now = self._clock()
            self._silent = {n: until for n, until in self._silent.items() if now < until}
            self._silent[node] = now + SILENT_SECONDS
            return None
        except errors.RemoteError:
            return None
        finally:
            self._logs.release()
