"""What a process has used, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """CPU seconds since its start, and resident memory in MiB."""

    cpu: float
    rss: float

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Of a running process."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        return cls((int(fields[11]) + int(fields[12])) / ticks, int(fields[21]) * 4096 / 2**20)
