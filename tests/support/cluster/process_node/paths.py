"""Mount paths, for processes that share one file system.

A container sees a volume at its mount path. Our processes can't: mounting needs root or
unprivileged user namespaces, which many machines and most containers forbid, and a test that
passes on some machines only is worse than a plain rule. So the mount path is **replaced by the
volume's real path** wherever it stands in the command, the arguments, the working directory and
the values of ``env`` that the pod spells out (not in those that come from Secrets and ConfigMaps).
A program that has a mount path built in doesn't find it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class PathMap:
    """Which real path stands for which path in the container."""

    real: dict[str, Path] = field(default_factory=dict)

    def add(self, container_path: str, real: Path) -> None:
        self.real[container_path.rstrip("/") or "/"] = real

    def translate(self, text: str) -> str:
        """Replace every container path in ``text``, the longest first.

        Only whole path components count, and only at the start of a path: ``/data`` is replaced in
        ``--out=/data/x`` and ``file:///data``, not in ``/database``, ``/mnt/data`` or
        ``s3://bucket/data``.
        """
        if not self.real:
            return text
        longest_first = sorted(self.real, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, longest_first))
        pattern = rf"(?:(?<![\w./~-])|(?<=file://))({alternatives})(?![\w.-])"
        return re.sub(pattern, lambda match: str(self.real[match.group(1)]), text)

    def lookup(self, container_path: str) -> Path | None:
        """The real path of exactly this container path."""
        return self.real.get(container_path.rstrip("/") or "/")
