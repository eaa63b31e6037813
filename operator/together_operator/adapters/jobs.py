"""Archive Jobs through `kubernetes.aio`. Their meaning is in `domain.archive_job`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubernetes.aio import client

from together_operator.adapters.core_v1 import CoreV1
from together_operator.adapters.kube import translated
from together_operator.adapters.rest import KubeRest
from together_operator.domain import archive_job, errors
from together_operator.domain.archive_job import OWNER_LABEL, JobFacts, JobState

JOB_NAME_LABEL = "batch.kubernetes.io/job-name"


_JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"


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
        self._lines: dict[str, tuple[float, str | None]] = {}

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
        line = await self._last_line(namespace, running) if running is not None else None
        return archive_job.facts(job, pods, line)

    async def _last_line(self, namespace: str, pod: Mapping[str, Any]) -> str | None:
        """The worker's latest line, read at most once in `log_interval`."""
        uid, now = pod["metadata"]["uid"], self._clock()
        known = self._lines.get(uid)
        if known is not None and now - known[0] < self._log_interval:
            return known[1]
        try:
            with translated():
                text = await self._core.last_line(namespace, pod["metadata"]["name"], "archive")
        except errors.RemoteError:
            # Progress is a courtesy: a log that can't be read must not hold up the import.
            text = ""
        lines = text.strip().splitlines()
        line = lines[-1] if lines else (known[1] if known is not None else None)
        self._lines = {u: v for u, v in self._lines.items() if now - v[0] < 600}
        self._lines[uid] = (now, line)
        return line
