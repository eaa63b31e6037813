"""Logs, through the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.cluster.workspace import Workspace, container, pod
from tests.support.cluster import KubectlError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_the_part_that_is_asked_for(workspace: Workspace) -> None:
    workspace.run_pod(
        pod("count", container("for i in 1 2 3 4; do echo line $i; done; printf end"))
    )

    assert workspace.kubectl("logs", "count", "--tail=2") == "line 4\nend\n"
    assert workspace.kubectl("logs", "count", "--limit-bytes=9") == "line 1\nli"
    assert workspace.kubectl("logs", "count", "--tail=0") == ""
    stamped = workspace.kubectl("logs", "count", "--tail=1", "--timestamps")
    assert stamped.endswith("Z end\n")
    assert workspace.kubectl("logs", "count", "--since-time=2000-01-01T00:00:00Z").endswith("end\n")
    assert workspace.kubectl("logs", "count", "--since-time=2100-01-01T00:00:00Z") == ""


def test_following_shows_lines_as_they_come_and_ends_with_the_container(
    workspace: Workspace, tmp_path: Path
) -> None:
    gate = {"name": "gate", "hostPath": {"path": str(tmp_path)}}
    script = "echo before; while ! test -e /gate/open; do sleep 0.05; done; echo after"
    mounts = [{"name": "gate", "mountPath": "/gate"}]
    workspace.apply(pod("live", container(script, volumeMounts=mounts), volumes=[gate]))
    workspace.wait_for_run("live")

    with workspace.cluster.kubectl_process(
        "logs", "--follow", "live", f"--namespace={workspace.namespace}"
    ) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "before\n"
        (tmp_path / "open").touch()
        assert following.stdout.readline() == "after\n"
        assert following.wait(timeout=20) == 0


def test_a_container_that_has_not_started_has_no_log(workspace: Workspace) -> None:
    init = container("sleep 300") | {"name": "first"}
    workspace.apply(pod("early", container("true"), initContainers=[init]))
    workspace.until("early", lambda found: found["status"].get("initContainerStatuses"))

    with pytest.raises(KubectlError, match="waiting to start: PodInitializing"):
        workspace.kubectl("logs", "early", "-c", "main")


def test_a_lot_of_output_arrives_whole(workspace: Workspace) -> None:
    workspace.run_pod(pod("verbose", container("seq 1 200000")))

    lines = workspace.kubectl("logs", "verbose").splitlines()

    assert len(lines) == 200_000
    assert lines[-1] == "200000"
