"""Ends every process of a cluster and removes its folder, however the process that owns it ends.

A process belongs to a cluster when its environment has ``MARK`` set to the cluster's folder. That
is inherited, so grandchildren count too, even those that left their session. PR_SET_PDEATHSIG
would be simpler, but it follows the *thread* that started the child: a component restarted from a
worker thread would die with that thread.

The reaper is this file run as a script, with nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "TOGETHER_THROWAWAY_CLUSTER"
SWEEP_SECONDS = 10.0
END_SECONDS = 5.0


def marked(variable: str, value: str) -> Iterator[tuple[int, int]]:
    """Yield (pid, pidfd) of every live process started with ``variable=value``; not this one."""
    wanted = f"{variable}={value}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # Read after the pidfd is open, so that a reused pid can't be taken for ours.
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield pid, pidfd
        finally:
            os.close(pidfd)


def kill_marked(variable: str, value: str) -> int:
    """Kill every process started with ``variable=value``; return how many there were.

    Returns when they have ended, or after ``END_SECONDS``. A process that is being torn down has
    no environment any more, so that a later look alone would take it for gone.
    """
    with contextlib.ExitStack() as stack:
        pidfds = []
        for _, pidfd in marked(variable, value):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            pidfds.append(os.dup(pidfd))
            stack.callback(os.close, pidfds[-1])
        deadline = time.monotonic() + END_SECONDS
        for pidfd in pidfds:
            # A pidfd is readable once its process has ended, as a zombie too.
            select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))
        return len(pidfds)


def sweep(folder: Path) -> None:
    """Kill what belongs to the cluster in ``folder`` until nothing does, then remove the folder."""
    deadline = time.monotonic() + SWEEP_SECONDS
    while kill_marked(MARK, str(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


class Reaper:
    """The reaper's process, as its owner sees it."""

    def __init__(self, folder: Path, at_end: Sequence[str] = ()) -> None:
        """Watch over ``folder``; run the command ``at_end`` before it is swept."""
        command = [sys.executable, "-IS", __file__, str(folder), str(os.getpid()), *at_end]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Sweep now and wait until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _wait_for_end_of_owner(owner: int) -> None:
    """Return once the owner closed our standard input or is gone.

    The pidfd is needed besides standard input: a forked child of the owner would keep that open.
    """
    with selectors.DefaultSelector() as selector, contextlib.suppress(ProcessLookupError):
        selector.register(sys.stdin, selectors.EVENT_READ)
        selector.register(os.pidfd_open(owner), selectors.EVENT_READ)
        if os.getppid() == owner:
            selector.select()


def main(folder: str, owner: str, *at_end: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _wait_for_end_of_owner(int(owner))
    if at_end:
        subprocess.run(at_end, check=False, stdin=subprocess.DEVNULL)
    sweep(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
