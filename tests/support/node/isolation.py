"""Namespaces for the node, and what is left on the machine when they end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CGROUP = "together-e2e"
PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
}
CNI = Path("/usr/lib/cni")


def lacking() -> list[str]:
    """What this machine lacks to run a node: `root`, or names of Debian's packages."""
    missing = {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    if not (CNI / "bridge").exists():
        missing.add("containernetworking-plugins")
    return (["root"] if os.geteuid() != 0 else []) + sorted(missing)


def forbidden() -> str:
    """What this machine does not let root do, in its own words; empty if a node can run.

    As in a container without privileges: namespaces, mounts, cgroups, a bridge and packet filters.
    """
    unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc")
    with tempfile.TemporaryDirectory(prefix="together-e2e-probe-") as folder:
        layers = "lowerdir=lower,upperdir=upper/upper,workdir=upper/work"
        script = "\n".join(
            (
                "set -e",
                f"cd {folder}; mkdir lower upper work merged",
                "mount -t tmpfs none upper; mkdir upper/upper upper/work",
                f"mount -t overlay none -o {layers} merged",
                "ip link add probe0 type bridge",
                "iptables -t nat -L -n >/dev/null",
                f"mkdir -p {_hierarchy()}/{CGROUP}-probe && rmdir {_hierarchy()}/{CGROUP}-probe",
            )
        )
        run = subprocess.run(
            [*unshare, "sh", "-c", script], capture_output=True, text=True, check=False
        )
    return "" if run.returncode == 0 else " ".join(run.stderr.split()) or "unshare failed"


def _hierarchy() -> Path:
    """A cgroup hierarchy that kubelet writes to."""
    return CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "memory"


@contextlib.contextmanager
def cleaned(folder: Path) -> Iterator[None]:
    """Clean up at the end, even if this process is killed."""
    janitor = _janitor(folder)
    try:
        yield
    finally:
        assert janitor.stdin is not None
        janitor.stdin.close()
        janitor.wait()


def run_isolated(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command in namespaces of its own; its exit code.

    `--kill-child` ties the command's life to that of unshare, and the command is the first process
    of its namespace: when it ends, the kernel ends every other one and unmounts everything.
    """
    unshare = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    process = subprocess.Popen([*unshare, *command], env=dict(environment))
    try:
        return process.wait()
    finally:
        # unshare itself ignores SIGTERM; with it goes, by SIGKILL, what it has started.
        process.kill()
        process.wait()


def make_cgroups() -> None:
    """Make the cgroup below which kubelet keeps its pods, in every hierarchy."""
    if (CGROUPS / "cgroup.controllers").exists():
        controllers = (CGROUPS / "cgroup.controllers").read_text().split()
        wanted = " ".join(f"+{name}" for name in controllers)
        (CGROUPS / "cgroup.subtree_control").write_text(wanted)
        (CGROUPS / CGROUP).mkdir(exist_ok=True)
        (CGROUPS / CGROUP / "cgroup.subtree_control").write_text(wanted)
        return
    for hierarchy in CGROUPS.iterdir():
        if (hierarchy / "cgroup.procs").exists() and not hierarchy.is_symlink():
            (hierarchy / CGROUP).mkdir(exist_ok=True)
            # A new cpuset is empty, and nothing could run in it.
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (hierarchy / name).exists():
                    (hierarchy / CGROUP / name).write_text((hierarchy / name).read_text())


def clean(folder: Path) -> None:
    """Remove the folder and the cgroups of a node whose processes have ended."""
    deadline = time.monotonic() + 20
    while _rest() and time.monotonic() < deadline:
        time.sleep(0.2)
    shutil.rmtree(folder, ignore_errors=True)


def _rest() -> list[Path]:
    """Cgroups of the node that can't be removed yet."""
    left = []
    for top in [CGROUPS / CGROUP, *CGROUPS.glob(f"*/{CGROUP}")]:
        for path in [*sorted(top.rglob("*/"), reverse=True), top]:
            with contextlib.suppress(OSError):
                path.rmdir()
        if top.exists():
            left.append(top)
    return left


def _janitor(folder: Path) -> subprocess.Popen[bytes]:
    """A process that cleans up once we are gone, even by SIGKILL: then its input ends."""
    command = [sys.executable, "-m", "tests.support.node.isolation", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def main(folder: str) -> None:
    """The janitor."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    clean(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1])
