"""The Go controller to compare with: built once into the user's cache, and run as a process."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.go_module import GoModule

MODULE = Path(__file__).parent / "controller"


def build() -> Path:
    """The executable; a build takes about two minutes, once for each version of its source."""
    source = hashlib.sha256((MODULE / "main.go").read_bytes()).hexdigest()[:8]
    cache = f"bench-controller-{source}"
    module = GoModule(MODULE, cache, {"controller": "."}, "about two minutes", {})
    return module.find(["controller"])["controller"]


@dataclass
class Controller:
    """A running controller."""

    process: subprocess.Popen[bytes]
    output: Path
    _file: IO[bytes]

    @classmethod
    def start(cls, executable: Path, kubeconfig: Path, objects: int, folder: Path) -> Controller:
        """Start it; it counts until it has seen `objects`."""
        output = folder / "controller.log"
        file = output.open("wb")
        process = subprocess.Popen(
            [str(executable), str(kubeconfig), str(objects)], stdout=file, stderr=file
        )
        return cls(process, output, file)

    def seconds(self) -> float | None:
        """Since its start until it had seen all; None before."""
        match = re.search(r"all seen after ([0-9.]+) seconds", self.output.read_text())
        return float(match[1]) if match else None

    def wait(self, seconds: float) -> float:
        """Seconds until all were seen."""
        deadline = time.monotonic() + seconds
        while (found := self.seconds()) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the controller did not see all:\n{self.output.read_text()}")
            time.sleep(0.1)
        return found

    def stop(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._file.close()
