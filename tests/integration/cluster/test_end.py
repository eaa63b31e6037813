"""A cluster that ends leaves nothing behind, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster.workspace import Workspace, alive, container, eventually, pod
from tests.support.cluster import ThrowawayCluster, reaper

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.integration

# The grandchild leaves its session, so that no process group leads to it.
RESTLESS = "setsid sleep 300 & echo up; exec sleep 300"
PROCESSES = 4 + 1 + 2  # components, the node, the two of the pod


def test_nothing_is_left_after_stop() -> None:
    with ThrowawayCluster.start("ending") as cluster:
        workspace = Workspace(cluster, "default")
        workspace.apply(pod("restless", container(RESTLESS)))
        workspace.wait_for_run("restless")
        before = _pids(cluster.folder)

    assert len(before) >= PROCESSES
    assert _pids(cluster.folder) == set()
    assert not cluster.folder.exists()


def test_nothing_is_left_when_the_owner_is_killed() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    folder = Path(owner.stdout.readline().strip())
    before = _pids(folder)

    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    assert len(before) >= PROCESSES
    eventually(lambda: not folder.exists())
    assert _pids(folder) == set()
    assert not [pid for pid in before if alive(pid)]


def test_the_command_line_runs_a_cluster_until_it_is_interrupted() -> None:
    command = [sys.executable, "-u", "-m", "tests.support.cluster", "up", "--name", "by-hand"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Ready after")
        export = process.stdout.readline().strip()
        kubeconfig = Path(export.removeprefix("export KUBECONFIG="))
        folder = kubeconfig.parents[1]
        assert "by-hand" in kubeconfig.read_text()

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0

    assert not folder.exists()
    assert _pids(folder) == set()


OWNER = f"""
from tests.integration.cluster.workspace import Workspace, container, pod
from tests.support.cluster import ThrowawayCluster
import time

cluster = ThrowawayCluster.start("orphan")
workspace = Workspace(cluster, "default")
workspace.apply(pod("restless", container({RESTLESS!r})))
workspace.wait_for_run("restless")
print(cluster.folder, flush=True)
time.sleep(300)
"""


def _pids(folder: Path) -> set[int]:
    return {pid for pid, _ in reaper.marked(reaper.MARK, str(folder))}
