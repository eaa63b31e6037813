"""Other people's programs, which end when we do, with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, NoReturn


def run(
    command: Sequence[str],
    *,
    output: IO[str] | int,
    errors: IO[str] | int,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program in a session of its own, which is killed when waiting for it is cut short.

    Args:
        output: where its standard output goes, as with subprocess.
        errors: where its standard error goes.
        environment: its environment, if not ours.
    """
    process = subprocess.Popen(
        command, stdout=output, stderr=errors, text=True, env=environment, start_new_session=True
    )
    try:
        told, complaint = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, told, complaint)


def end_by_exception() -> None:
    """Let SIGTERM and SIGHUP end this process as an exception does, so that it cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
