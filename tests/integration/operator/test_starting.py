"""Before a deployment is there, and while it starts: room, quota, phases, failures, idling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT
from tests.support.conditions import condition
from tests.support.manifests import (
    CHAT_BASE,
    custom_model,
    deployment_of,
    hugging_face,
    model_deployment,
)

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration

L40S, H100 = "1xnvidia-l40s-48gb", "1xnvidia-h100-80gb"
HERE = {"placement": {"regions": ["us-central-4"]}}
"""A region of which the price list says how much is free."""


def test_without_room_nothing_is_created_and_it_goes_on_when_there_is_some(
    workspace: Workspace,
) -> None:
    workspace.simulators.behave(capacity={L40S: 0})
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat", **HERE)
    )

    words = ("room for 0 of 1", L40S, f"Available now: {H100} (10)")
    found = workspace.shows(DEPLOYMENT, "serve", "NoCapacity", *words)

    assert condition(found, "Scheduled")["status"] == "False"
    assert condition(found, "Reconciling")["status"] == "True"
    assert workspace.audit("deployment") == []
    workspace.simulators.behave(capacity={})
    workspace.ready(DEPLOYMENT, "serve")
    assert workspace.count("deployment", "serve") == 1


def test_a_quota_that_is_used_up_is_told(workspace: Workspace) -> None:
    workspace.simulators.behave(quota=1)
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat", replicas=2)
    )

    found = workspace.shows(DEPLOYMENT, "serve", "QuotaExceeded", "may have 1 replicas", "Raise")

    assert condition(found, "Scheduled")["reason"] == "QuotaExceeded"
    assert workspace.deployments() == []
    workspace.patch(DEPLOYMENT, "serve", replicas=1)
    workspace.ready(DEPLOYMENT, "serve")


def test_the_phases_of_a_start_are_told_with_their_times(workspace: Workspace) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))

    status = workspace.ready(DEPLOYMENT, "serve")["status"]

    phases = [phase["phase"] for phase in status["startup"]]
    assert phases == ["PullingImage", "Starting", "LoadingWeights", "StartupComplete"]
    times = [phase["time"] for phase in status["startup"]]
    assert times == sorted(times)
    told = {
        condition(version, "Ready").get("message", "")
        for version in workspace.versions(DEPLOYMENT, "serve")
        if condition(version, "Ready").get("reason") == "Provisioning"
    }
    assert told, "the start is seen while it lasts"


def test_a_start_that_fails_is_told_with_the_log_and_mended_by_hand(workspace: Workspace) -> None:
    workspace.simulators.behave(deployments=[{"outcome": "failed"}])
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))

    words = ("exited with code 1", "CUDA out of memory", "Set replicas to 0 and up again")
    found = workspace.shows(DEPLOYMENT, "serve", "DeploymentFailed", *words)

    assert condition(found, "Stalled")["status"] == "True"
    assert found["status"]["phase"] == "Failed"
    workspace.scale("serve", 0)
    workspace.ready(DEPLOYMENT, "serve")
    workspace.scale("serve", 1)
    workspace.ready(DEPLOYMENT, "serve")


def test_replicas_that_crash_are_told_with_their_log(workspace: Workspace) -> None:
    workspace.simulators.behave(
        deployments=[{"outcome": "degraded", "message": "a replica crashes"}]
    )
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat", replicas=2)
    )

    words = ("a replica crashes", "CUDA out of memory", "1 of 2 replicas are ready")
    found = workspace.shows(DEPLOYMENT, "serve", "CrashLoop", *words)

    assert found["status"]["phase"] == "Degraded"
    assert found["status"]["replicasText"] == "1/2"


def test_together_stops_what_nobody_calls_and_it_is_not_started_again(workspace: Workspace) -> None:
    workspace.apply(deployment_of("serve", CHAT_BASE, inactiveTimeout=30))
    workspace.ready(DEPLOYMENT, "serve")
    workspace.mark()

    idle = workspace.shows(DEPLOYMENT, "serve", "Idle", "no request came", "nothing is billed")

    assert condition(idle, "Ready")["status"] == "True"
    assert idle["status"]["phase"] == "Stopped"
    assert [d["scheduledReplicas"] for d in workspace.deployments()] == [0]
    workspace.scale("serve", 0)
    workspace.ready(DEPLOYMENT, "serve")
    workspace.scale("serve", 1)
    assert workspace.ready(DEPLOYMENT, "serve")["status"]["readyReplicas"] == 1
