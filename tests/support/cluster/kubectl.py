"""kubectl, always with an explicit kubeconfig."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.cluster.errors import KubectlError
from tests.support.cluster.reaper import MARK

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Kubectl:
    """The program ``binary`` for the cluster in ``folder``, which holds kubectl's cache too."""

    binary: Path
    folder: Path

    def command(self, *args: str, kubeconfig: Path) -> list[str]:
        cache = self.folder / "kubectl-cache"
        return [str(self.binary), f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}", *args]

    def environment(self, kubeconfig: Path) -> dict[str, str]:
        """Our environment, with nothing in it that leads to another cluster."""
        return os.environ | {"KUBECONFIG": str(kubeconfig), MARK: str(self.folder)}

    def run(
        self, *args: str, kubeconfig: Path, check: bool = True, stdin: str | None = None
    ) -> str:
        """Run it to its end and return standard output.

        :raises KubectlError: when it exits with a code other than 0, unless ``check`` is false.
        """
        process = subprocess.run(
            self.command(*args, kubeconfig=kubeconfig),
            env=self.environment(kubeconfig),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and process.returncode:
            raise KubectlError(args, process.returncode, process.stdout, process.stderr)
        return process.stdout

    def popen(self, *args: str, kubeconfig: Path) -> subprocess.Popen[str]:
        """Start it with its output in a pipe, for ``--watch`` and ``logs --follow``."""
        return subprocess.Popen(
            self.command(*args, kubeconfig=kubeconfig),
            env=self.environment(kubeconfig),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
