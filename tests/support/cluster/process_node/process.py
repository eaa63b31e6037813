"""A process and its output.

Not asyncio's: its ``wait()`` returns only when the output ends too, which a grandchild that lives
on would prevent, and before Python 3.12 it takes a thread for each process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.support.cluster.reaper import kill_marked

if TYPE_CHECKING:
    from pathlib import Path

CONTAINER_MARK = "TOGETHER_PROCESS_NODE_CONTAINER"
KILL_ROUNDS = 100


@dataclass
class Launch:
    """All that is needed to start a process."""

    words: list[str]
    environment: dict[str, str]
    """Has PATH, where the program is looked up, and CONTAINER_MARK."""
    directory: Path
    termination_message: Path


class Process:
    """The first process of a container, in a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        """Use :meth:`start`."""
        self._process = process
        self._mark = mark
        self._pidfd = os.pidfd_open(process.pid)
        self.output = asyncio.StreamReader()
        """What it and its children write, to standard output and standard error."""

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start it; raises OSError."""
        ours, theirs = os.pipe()
        try:
            process = cls(_spawn(launch, theirs), launch.environment[CONTAINER_MARK])
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(process.output),
            os.fdopen(ours, "rb", buffering=0),
        )
        return process

    async def wait(self) -> int:
        """Return its exit code, or a negative signal number, and kill what it leaves running."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        code = self._process.wait()
        os.close(self._pidfd)
        await self._kill_rest()
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the first process only, as the kubelet does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Send SIGKILL to the first process; :meth:`wait` sees to the others."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _kill_rest(self) -> None:
        for _ in range(KILL_ROUNDS):
            if not kill_marked(CONTAINER_MARK, self._mark):
                return
            await asyncio.sleep(0.01)


def _spawn(launch: Launch, output: int) -> subprocess.Popen[bytes]:
    program = launch.words[0]
    if "/" not in program:
        found = shutil.which(program, path=launch.environment["PATH"])
        if found is None:
            raise FileNotFoundError(f'exec: "{program}": executable file not found in $PATH')
        program = found
    return subprocess.Popen(
        launch.words,
        executable=program,
        cwd=launch.directory,
        env=launch.environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
