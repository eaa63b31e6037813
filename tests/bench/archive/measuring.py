"""One command, measured: seconds, memory, processor, and what it wrote to files."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# The peak that the kernel reports for a process includes that of the one it was forked from, so a
# small interpreter stands between. Under a file size limit of 0 nothing can be written to a file.
_LAUNCHER = """
import os, resource, sys, time
report, limit, *command = sys.argv[1:]
if limit != "-":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
begun = time.perf_counter()
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawnp(command[0], command, os.environ, file_actions=silent)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
seconds = time.perf_counter() - begun
io = dict(line.split(": ") for line in open(f"/proc/{child}/io").read().splitlines())
_, status, usage = os.wait4(child, 0)
os.write(int(report), (
    '{"code": %d, "seconds": %f, "rss": %d, "cpu": %f, "written": %d}' % (
        os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss * 1024,
        usage.ru_utime + usage.ru_stime, int(io["write_bytes"]))).encode())
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """`rss`: peak resident bytes of one process; `written`: bytes of files that it dirtied."""

    seconds: float
    rss: int
    cpu: float
    written: int

    def then(self, other: "Usage") -> "Usage":
        """One after the other: times add up, the larger of both peaks counts."""
        return Usage(
            self.seconds + other.seconds,
            max(self.rss, other.rss),
            self.cpu + other.cpu,
            self.written + other.written,
        )


class CommandFailedError(Exception):
    pass


def measure(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    cwd: Path | None = None,
    may_write_files: bool = True,
) -> Usage:
    """Raises `CommandFailedError` with what the command said when it exits with anything but 0."""
    parent = subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", "-c", _LAUNCHER, "1", "-" if may_write_files else "0"),
            *command,
        ],
        env=dict(environ),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, errors = parent.communicate()
    try:
        found = json.loads(out)
    except ValueError:
        raise CommandFailedError(errors) from None
    if found.pop("code"):
        raise CommandFailedError(f"{' '.join(map(str, command))}: {errors}")
    return Usage(found["seconds"], found["rss"], found["cpu"], found["written"])
