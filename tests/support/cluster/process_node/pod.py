"""One pod's life on the node."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import traceback
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.api import APIError
from tests.support.cluster.process_node.container import Container
from tests.support.cluster.process_node.launch import prepare
from tests.support.cluster.process_node.references import ReferenceMissingError, References
from tests.support.cluster.process_node.status import (
    TERMINAL,
    Conditions,
    phase,
    pod_status,
    set_conditions,
)
from tests.support.cluster.process_node.status_writer import StatusWriter
from tests.support.cluster.process_node.support import unsupported
from tests.support.cluster.process_node.time import now
from tests.support.cluster.process_node.volumes import Volumes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.cluster.process_node.api import Object
    from tests.support.cluster.process_node.launch import Surroundings
    from tests.support.cluster.process_node.process import Launch

MISSING_SECONDS = 0.5
# The kubelet waits 10 s to 5 min before it restarts a container; a test shouldn't.
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0)
EVICTION_GRACE_SECONDS = 1


class PodRunner:
    """Runs a pod from the moment it is bound to the node until it is deleted."""

    def __init__(self, surroundings: Surroundings, pod: Object) -> None:
        """Describe the pod.

        Containers that have been started already belonged to a node that has been lost since: they
        count as ended.
        """
        self._surroundings = surroundings
        self._api = surroundings.api
        self._pod = pod
        metadata = pod["metadata"]
        self.namespace, self.name = metadata["namespace"], metadata["name"]
        self.uid = metadata["uid"]
        self._path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self._folder = surroundings.folder / self.uid
        self._policy: str = pod["spec"]["restartPolicy"]
        status = pod.get("status", {})
        self._init = self._restored("initContainers", status.get("initContainerStatuses", []))
        self._main = self._restored("containers", status.get("containerStatuses", []))
        self._conditions = Conditions(status.get("conditions", []))
        self._verdict: dict[str, str] = {}
        self._finished_phase = status["phase"] if status.get("phase") in TERMINAL else ""
        self._start_time = status.get("startTime") or now()
        self._stopping = asyncio.Event()
        self._kill_timer: asyncio.TimerHandle | None = None
        self._kill_at = float("inf")
        self._deleted = asyncio.Event()
        self._vanished = asyncio.Event()
        self._writer = StatusWriter(self._api, self._path, self.uid, self._status)
        self.ended = asyncio.Event()
        """Set once no process runs and none will."""

    def container(self, name: str) -> Container | None:
        found = [item for item in (*self._init, *self._main) if item.name == name]
        return found[0] if found else None

    async def run(self) -> None:
        """Run it to its end, then wait until the API server has forgotten it."""
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._writer.run())
                if not self._finished_phase:
                    await self._run_to_end()
                self.ended.set()
                await self._wait_for_deletion()
                writing.cancel()
        finally:
            if self._kill_timer:
                self._kill_timer.cancel()
            shutil.rmtree(self._folder, ignore_errors=True)

    def update(self, pod: Object) -> None:
        """Take in a change of the pod."""
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            self._deleted.set()
            self._stop(metadata.get("deletionGracePeriodSeconds") or 0)

    def vanish(self) -> None:
        """The API server doesn't know the pod any more."""
        self._vanished.set()
        self._deleted.set()
        self._stop(EVICTION_GRACE_SECONDS)

    async def evict(self, message: str) -> None:
        """End the pod as the kubelet does when the node runs out of something."""
        if self._finished_phase:
            raise ValueError(f"pod {self.namespace}/{self.name} has already ended")
        self._conditions.set("DisruptionTarget", True, "TerminationByKubelet", message)
        self._verdict = {"reason": "Evicted", "message": message}
        self._stop(EVICTION_GRACE_SECONDS)
        await self.ended.wait()

    async def _run_to_end(self) -> None:
        refused = unsupported(self._pod)
        try:
            if refused:
                self._verdict = {
                    "reason": "UnsupportedByProcessNode",
                    "message": f"a process node doesn't do {', '.join(refused)}",
                }
            else:
                await self._run_containers()
        except Exception:  # noqa: BLE001 - a bug here has to end the pod, not leave it running
            traceback.print_exc()
            self._kill()
            message = "a bug in the process node: its log has the traceback"
            self._verdict = {"reason": "ProcessNodeError", "message": message}
        await self._finish()

    async def _run_containers(self) -> None:
        if self._policy == "Never" and self._was_lost():
            return
        deadline = self._pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None:
            asyncio.get_running_loop().call_later(deadline, self._exceed_deadline)
        await self._writer.request()
        mounts = await self._mount()
        for container in self._init:
            if not await self._run_container(container, mounts):
                return
        for container in self._main:
            if "waiting" in container.state:
                container.wait_because("ContainerCreating")
        async with asyncio.TaskGroup() as group:
            for container in self._main:
                group.create_task(self._run_container(container, mounts))

    async def _finish(self) -> None:
        """Settle the phase for good and write it."""
        current = phase(self._init, self._main, self._policy)
        if self._verdict or current not in TERMINAL:
            current = "Failed"
        self._finished_phase = current
        await self._writer.flush()

    async def _wait_for_deletion(self) -> None:
        await self._deleted.wait()
        if not self._vanished.is_set():
            # Finalizers may keep the object for a while; no more is to be done here then.
            await self._forget()
            await self._vanished.wait()

    async def _forget(self) -> None:
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid},
        }
        while True:
            try:
                await self._api.delete(self._path, body)
            except APIError as error:
                if error.status in range(400, 500) and error.status != 429:
                    return
                await asyncio.sleep(MISSING_SECONDS)
            else:
                return

    async def _mount(self) -> dict[str, Path]:
        references = References(self._api, self._pod)
        volumes = Volumes(self._api, self._pod, references, self._folder / "volumes")
        while not self._stopping.is_set():
            try:
                return await volumes.make()
            except (ReferenceMissingError, APIError) as error:
                for container in self._main:
                    container.wait_because("ContainerCreating", str(error))
                await self._writer.request()
                await self._pause(MISSING_SECONDS)
        return {}

    async def _run_container(self, container: Container, mounts: dict[str, Path]) -> bool:
        """Run it until the restart policy is content; true when it has succeeded."""
        attempt = 0
        while not self._stopping.is_set():
            if container.exit_code is not None and not self._again(container):
                break
            if container.exit_code is not None:
                container.wait_because("CrashLoopBackOff")
                await self._writer.request()
                await self._pause(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])
                attempt += 1
            launch = await self._launch(container, mounts)
            if launch is None or self._stopping.is_set():
                break
            if await container.start(launch):
                self._stop_late(container)
                await self._writer.request()
                await container.wait(launch)
            await self._writer.request()
        return container.exit_code == 0

    def _again(self, container: Container) -> bool:
        if container in self._init:
            return self._policy != "Never" and container.exit_code != 0
        if self._policy == "OnFailure":
            return container.exit_code != 0
        return self._policy == "Always"

    async def _launch(self, container: Container, mounts: dict[str, Path]) -> Launch | None:
        while not self._stopping.is_set():
            try:
                return await prepare(container, self._pod, self._surroundings, mounts)
            except (ReferenceMissingError, APIError) as error:
                container.wait_because("CreateContainerConfigError", str(error))
                await self._writer.request()
                await self._pause(MISSING_SECONDS)
        return None

    def _stop(self, grace: float) -> None:
        """Start nothing more, send SIGTERM, and SIGKILL after ``grace`` seconds."""
        loop = asyncio.get_running_loop()
        if not self._stopping.is_set():
            self._stopping.set()
            for container in (*self._init, *self._main):
                container.terminate()
        if loop.time() + grace < self._kill_at:
            self._kill_at = loop.time() + grace
            if self._kill_timer:
                self._kill_timer.cancel()
            self._kill_timer = loop.call_at(self._kill_at, self._kill)

    def _stop_late(self, container: Container) -> None:
        """Treat a process that was being started when the pod was stopped like the others."""
        if self._stopping.is_set():
            container.terminate()
        if asyncio.get_running_loop().time() >= self._kill_at:
            container.kill()

    def _kill(self) -> None:
        for container in (*self._init, *self._main):
            container.kill()

    def _exceed_deadline(self) -> None:
        if not self._finished_phase and not self._stopping.is_set():
            message = "Pod was active on the node longer than the specified deadline"
            self._verdict = {"reason": "DeadlineExceeded", "message": message}
            self._stop(self._pod["spec"].get("terminationGracePeriodSeconds", 30))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _restored(self, field: str, statuses: Sequence[Object]) -> list[Container]:
        known = {status["name"]: status for status in statuses}
        containers = []
        for spec in self._pod["spec"].get(field, []):
            container = Container(spec, self._folder / "containers" / spec["name"])
            if status := known.get(spec["name"]):
                container.state = status["state"]
                container.last_state = status.get("lastState", {})
                container.restarts = status["restartCount"]
            # What was started may not have been told yet; the folder says that it was.
            if "running" in container.state or (
                "waiting" in container.state and container.folder.exists()
            ):
                container.lose()
            containers.append(container)
        return containers

    def _was_lost(self) -> bool:
        """Whether a lost node had begun with the containers; those it hadn't begun end with it."""
        begun = any("terminated" in item.state for item in (*self._init, *self._main))
        if begun and not self._finished_phase:
            for container in self._main:
                if "waiting" in container.state:
                    container.lose()
        return begun

    def _status(self) -> Object:
        current = self._finished_phase or phase(self._init, self._main, self._policy)
        if current in TERMINAL and not self._finished_phase:
            # Not before all is settled: the Job controller acts on it at once.
            current = "Running"
        set_conditions(self._conditions, current, self._init, self._main)
        return pod_status(
            current,
            self._conditions,
            self._init,
            self._main,
            startTime=self._start_time,
            **self._verdict,
        )
