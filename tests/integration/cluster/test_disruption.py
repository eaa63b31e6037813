"""Ends that a pod didn't choose: deletion, eviction, a node that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.cluster.workspace import (
    Workspace,
    alive,
    condition,
    container,
    eventually,
    job,
    pod,
    terminated,
)
from tests.support.cluster import ClusterError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_deletion_gives_the_process_time_to_finish(workspace: Workspace, tmp_path: Path) -> None:
    script = 'trap "sleep 0.5; echo saved > /out/state; exit 0" TERM; echo up; sleep 300 & wait'
    _start(workspace, tmp_path, "tidy", script)

    workspace.kubectl("delete", "pod", "tidy", "--timeout=20s")

    assert (tmp_path / "state").read_text() == "saved\n"
    assert "tidy" not in workspace.kubectl("get", "pods")


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period(
    workspace: Workspace, tmp_path: Path
) -> None:
    script = "trap '' TERM; echo $$$$ > /out/pid; echo up; while true; do sleep 0.1; done"
    _start(workspace, tmp_path, "stubborn", script)

    workspace.kubectl("delete", "pod", "stubborn", "--grace-period=1", "--timeout=20s")

    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_a_forced_deletion_ends_the_process_too(workspace: Workspace, tmp_path: Path) -> None:
    _start(workspace, tmp_path, "forced", "echo $$$$ > /out/pid; echo up; exec sleep 300")

    workspace.kubectl("delete", "pod", "forced", "--grace-period=0", "--force")

    eventually(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_an_eviction_is_no_failure_to_a_job_that_ignores_disruptions(
    workspace: Workspace,
) -> None:
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}
    workspace.apply(
        job(
            "moved",
            container("exec sleep 300"),
            podFailurePolicy=policy,
        )
    )
    eventually(lambda: bool(workspace.pods_of("moved")))
    name = workspace.pods_of("moved")[0]["metadata"]["name"]
    workspace.wait_for_run(name)

    workspace.cluster.node.evict(workspace.namespace, name)

    evicted = workspace.get("pod", name)
    assert (evicted["status"]["phase"], evicted["status"]["reason"]) == ("Failed", "Evicted")
    assert condition(evicted, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert terminated(evicted)["exitCode"] in (137, 143)
    # With no retries allowed, the Job would have failed had this counted. The Job controller waits
    # 10 s before it makes the next pod; the test doesn't.
    eventually(lambda: not workspace.get("job", "moved")["status"].get("active"))
    status = workspace.get("job", "moved")["status"]
    assert not status.get("failed")
    assert not status.get("conditions")


def test_only_a_pod_that_runs_can_be_evicted(workspace: Workspace) -> None:
    workspace.run_pod(pod("over", container("true")))

    with pytest.raises(ClusterError, match="already ended"):
        workspace.cluster.node.evict(workspace.namespace, "over")
    with pytest.raises(ClusterError, match="isn't on this node"):
        workspace.cluster.node.evict(workspace.namespace, "nobody")


def test_a_drain_evicts_through_the_api(workspace: Workspace, tmp_path: Path) -> None:
    _start(workspace, tmp_path, "drained", "echo up; exec sleep 300", labels={"drain": "me"})
    try:
        workspace.kubectl(
            *("drain", "process-node", "--pod-selector=drain=me", "--force"),
            *("--ignore-daemonsets", "--timeout=20s"),
        )
        assert "drained" not in workspace.kubectl("get", "pods")
    finally:
        workspace.kubectl("uncordon", "process-node")


def test_an_end_during_an_outage_of_the_api_server_is_told_afterwards(
    workspace: Workspace, tmp_path: Path
) -> None:
    script = "echo up; while ! test -e /out/open; do sleep 0.05; done; exit 7"
    _start(workspace, tmp_path, "unseen", script)

    workspace.cluster.api_server.kill()
    (tmp_path / "open").touch()
    workspace.cluster.api_server.start()
    workspace.cluster.recover()

    assert terminated(workspace.wait_for_end("unseen"))["exitCode"] == 7


def test_a_lost_node_is_found_out_and_its_pods_are_told_lost_when_it_is_back(
    workspace: Workspace, tmp_path: Path
) -> None:
    script = "echo $$$$ > /out/pid; echo up; exec sleep 300"
    _start(workspace, tmp_path, "patient", script, tolerations=_FOREVER)
    _start(workspace, tmp_path, "evicted", script)
    try:
        workspace.cluster.node.lose()

        assert not alive(int((tmp_path / "pid").read_text()))
        # Nobody has told the API server; it finds out by the heartbeats that don't come.
        assert workspace.get("pod", "evicted")["status"]["phase"] == "Running"
        unknown = ("--for=condition=Ready=Unknown", "node/process-node")
        workspace.kubectl("wait", *unknown, "--timeout=60s")
        leaving = workspace.until("evicted", lambda it: "deletionTimestamp" in it["metadata"])
        assert condition(leaving, "DisruptionTarget")["reason"] == "DeletionByTaintManager"
    finally:
        workspace.cluster.node.recover()

    patient = workspace.wait_for_end("patient")
    assert patient["status"]["phase"] == "Failed"
    assert (terminated(patient)["exitCode"], terminated(patient)["reason"]) == (255, "Unknown")
    assert workspace.kubectl("logs", "patient") == "up\n"
    workspace.kubectl("wait", "--for=delete", "pod/evicted", "--timeout=20s")
    assert terminated(workspace.run_pod(pod("next", container("true"))))["exitCode"] == 0


_FOREVER = [
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists"},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists"},
]


def _start(
    workspace: Workspace,
    folder: Path,
    name: str,
    script: str,
    *,
    labels: dict[str, str] | None = None,
    **spec: object,
) -> None:
    """Start a pod with ``folder`` at /out, and return once it has said that it is up."""
    out = {"name": "out", "hostPath": {"path": str(folder)}}
    mounts = [{"name": "out", "mountPath": "/out"}]
    manifest = pod(name, container(script, volumeMounts=mounts), volumes=[out], **spec)
    manifest["metadata"]["labels"] = labels or {}
    workspace.apply(manifest)
    workspace.wait_for_run(name)
    eventually(lambda: workspace.kubectl("logs", name) == "up\n")
