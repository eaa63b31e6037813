"""The control plane is real, restarts with its data, and is nobody's but ours."""

from __future__ import annotations

import json
import stat
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import ClusterError, KubectlError, ThrowawayCluster

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.cluster.workspace import Workspace

pytestmark = pytest.mark.integration


def test_the_node_is_ready_for_pods(cluster: ThrowawayCluster) -> None:
    node = json.loads(cluster.kubectl("get", "node", "process-node", "-o", "json"))

    ready = {item["type"]: item["status"] for item in node["status"]["conditions"]}
    assert ready["Ready"] == "True"
    assert not node["spec"].get("taints")


def test_the_operator_may_do_only_what_it_is_granted(workspace: Workspace) -> None:
    with pytest.raises(KubectlError, match="forbidden"):
        workspace.kubectl("get", "configmaps", user="operator")

    workspace.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps")
    workspace.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=operator")

    assert "kube-root-ca.crt" in workspace.kubectl("get", "configmaps", user="operator")
    with pytest.raises(KubectlError, match="forbidden"):
        workspace.kubectl("get", "secrets", user="operator")


@pytest.mark.parametrize("name", ["etcd", "api_server"])
def test_a_killed_component_comes_back_with_its_data(workspace: Workspace, name: str) -> None:
    stored = f"kept-by-{name.replace('_', '-')}"
    workspace.kubectl("create", "configmap", stored, "--from-literal=key=value")
    component = getattr(workspace.cluster, name)
    pid = component.pid

    component.kill()
    assert not component.running
    with pytest.raises(KubectlError):
        workspace.kubectl("get", "configmap", stored, "--request-timeout=1s")
    component.start()
    workspace.cluster.recover()

    assert component.pid != pid
    assert workspace.get("configmap", stored)["data"] == {"key": "value"}


def test_controllers_work_again_after_a_restart(workspace: Workspace) -> None:
    workspace.cluster.controller_manager.restart()
    workspace.cluster.scheduler.restart()

    workspace.kubectl("create", "serviceaccount", "probe")
    workspace.kubectl("create", "job", "after", "--image=any", "--", "true")

    workspace.kubectl("wait", "--for=condition=Complete", "job/after", "--timeout=30s")


def test_the_audit_log_counts_requests_by_user_and_verb(
    cluster: ThrowawayCluster, namespace: str
) -> None:
    for _ in range(2):
        cluster.kubectl("get", "configmaps", "-n", namespace, user="operator", check=False)

    seen = Counter(
        (entry.verb, entry.resource, entry.code)
        for entry in cluster.audit()
        if entry.user == "operator" and entry.namespace == namespace
    )

    assert seen == {("list", "configmaps", 403): 2}


def test_the_users_own_kubeconfig_is_ignored(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text("not a kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))

    assert workspace.namespace in workspace.kubectl("get", "namespaces")


def test_files_with_credentials_are_for_their_owner_only(cluster: ThrowawayCluster) -> None:
    assert stat.S_IMODE(cluster.folder.stat().st_mode) == 0o700
    for user in ("admin", "operator"):
        assert stat.S_IMODE(cluster.kubeconfig(user).stat().st_mode) == 0o600


def test_an_existing_cluster_is_used_when_told_to_and_left_as_it_was(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(workspace.cluster.kubeconfig("admin")))
    monkeypatch.setenv("CLUSTER", "existing")

    with ThrowawayCluster.start("guest") as guest:
        who = json.loads(guest.kubectl("auth", "whoami", "-o", "json", user="operator"))
        with pytest.raises(ClusterError, match="CLUSTER=own"):
            _ = guest.node

    assert who["status"]["userInfo"]["username"] == "operator"
    assert not guest.folder.exists()
    assert workspace.kubectl("get", "csr", "-o", "name") == ""
    assert workspace.cluster.api_server.healthy()


def test_a_kind_cluster_is_created_and_deleted(
    cluster: ThrowawayCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kind itself needs Docker; this stands in for it and shows that we call it as it wants."""
    calls = tmp_path / "calls"
    program = tmp_path / "kind"
    program.write_text(
        f'#!/bin/sh\necho "$1 $2 $3 $4" >> {calls}\n'
        f'[ "$1" = delete ] || cp {cluster.kubeconfig("admin")} "$6"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    with ThrowawayCluster.start("kindly", mode="kind") as made:
        assert "process-node" in made.kubectl("get", "nodes")

    create, delete = calls.read_text().splitlines()
    name = create.removeprefix("create cluster --name ")
    assert name.startswith("together-kindly-")
    assert delete == f"delete cluster --name {name}"


def test_an_unknown_kind_of_cluster_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "minikube")

    with pytest.raises(ClusterError, match="own, existing, kind"):
        ThrowawayCluster.start()
