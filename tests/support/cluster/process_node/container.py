"""One container of a pod: a process for each attempt to run it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.cluster.process_node.logs import ContainerLog
from tests.support.cluster.process_node.process import Process
from tests.support.cluster.process_node.time import now

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cluster.process_node.api import Object
    from tests.support.cluster.process_node.process import Launch

OUTPUT_SECONDS = 2.0
# What the kubelet allows: a message of 4 KiB, or of 80 lines and 2 KiB from the log.
MESSAGE_BYTES = 4096
LOG_MESSAGE_LINES = 80
LOG_MESSAGE_BYTES = 2048
CANNOT_RUN = 128


@dataclass
class Container:
    """A container's state, in the words of its status."""

    spec: Object
    folder: Path
    state: dict[str, Any] = field(
        default_factory=lambda: {"waiting": {"reason": "PodInitializing"}}
    )
    last_state: dict[str, Any] = field(default_factory=dict)
    restarts: int = 0
    process: Process | None = None
    logs: dict[int, ContainerLog] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last attempt, once it has ended."""
        code: int | None = self.state.get("terminated", {}).get("exitCode")
        return code

    def log(self, *, previous: bool = False) -> ContainerLog | None:
        """The log of the last attempt, or of the one before it; None when there is none."""
        attempt = self.restarts - previous
        started = "waiting" not in self.state or bool(self.last_state)
        return self._log_of(attempt) if started and attempt >= 0 else None

    def wait_because(self, reason: str, message: str = "") -> None:
        """Note why there is no process; a state of termination becomes the last state."""
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    async def start(self, launch: Launch) -> bool:
        """Start the process; false when it can't be, which is then its end with code 128."""
        started = now()
        if self.last_state:
            self.restarts += 1
        try:
            self.process = await Process.start(launch)
        except OSError as error:
            self.state = {
                "terminated": {
                    "exitCode": CANNOT_RUN,
                    "reason": "StartError",
                    "message": str(error),
                    "startedAt": started,
                    "finishedAt": now(),
                }
            }
            return False
        self.state = {"running": {"startedAt": started}}
        # From now on, not from when copying begins: whoever follows the log has to be kept waiting.
        self._log_of(self.restarts).open = True
        return True

    async def wait(self, launch: Launch) -> None:
        """Wait until the process and all that it started have ended."""
        assert self.process is not None
        log = self._log_of(self.restarts)
        copying = asyncio.create_task(log.fill(self.process.output))
        code = await self.process.wait()
        _, unfinished = await asyncio.wait([copying], timeout=OUTPUT_SECONDS)
        for task in unfinished:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.state = {"terminated": self._terminated(code, launch, log)}
        self.process = None

    def terminate(self) -> None:
        """Send SIGTERM, if there is a process."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """Send SIGKILL, if there is a process."""
        if self.process is not None:
            self.process.kill()

    def lose(self) -> None:
        """Note that the process ended with its node, as containerd does after a reboot."""
        started = self.state.get("running", {}).get("startedAt")
        terminated = {"exitCode": 255, "reason": "Unknown", "finishedAt": now()}
        self.state = {"terminated": terminated | ({"startedAt": started} if started else {})}

    def _log_of(self, attempt: int) -> ContainerLog:
        if attempt not in self.logs:
            self.logs[attempt] = ContainerLog(self.folder / f"{attempt}.log")
        return self.logs[attempt]

    def _terminated(self, code: int, launch: Launch, log: ContainerLog) -> dict[str, Any]:
        exit_code = code if code >= 0 else 128 - code
        result = {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "startedAt": self.state["running"]["startedAt"],
            "finishedAt": now(),
        }
        message = self._message(exit_code, launch.termination_message, log)
        return result | ({"message": message} if message else {})

    def _message(self, exit_code: int, path: Path, log: ContainerLog) -> str:
        with contextlib.suppress(FileNotFoundError):
            text = path.read_bytes()[-MESSAGE_BYTES:].decode(errors="replace")
            if text:
                return text
        policy = self.spec.get("terminationMessagePolicy", "File")
        if exit_code and policy == "FallbackToLogsOnError":
            return log.tail(LOG_MESSAGE_LINES, LOG_MESSAGE_BYTES)
        return ""
