"""What is left at Together after objects went without their finalizers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace


def orphans(workspace: Workspace, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run `together-operator orphans` as the operator's user."""
    command = [sys.executable, "-m", "together_operator", "orphans", *args]
    environment = workspace.operator.environment
    return subprocess.run(
        command, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def listed(workspace: Workspace) -> list[dict[str, Any]]:
    """What belongs to this test's namespace."""
    answer = orphans(workspace, "--output", "json")
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, Any]] = json.loads(answer.stdout)["orphans"]
    return [one for one in found if f"/{workspace.namespace}-" in one["name"]]


def abandon(workspace: Workspace, kind: str, name: str) -> None:
    """Delete an object while the operator is down, without its finalizer."""
    workspace.delete(f"{kind.lower()}/{name}")
    patch = '--patch={"metadata":{"finalizers":null}}'
    workspace.kubectl("patch", f"{kind.lower()}s.together.ai/{name}", "--type=merge", patch)


def serve(workspace: Workspace) -> None:
    """A model and its deployment, ready."""
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("chat", "chat"))
    workspace.ready(MODEL, "chat")
    workspace.ready(DEPLOYMENT, "chat")


def test_nothing_that_objects_ask_for_is_an_orphan(workspace: Workspace) -> None:
    serve(workspace)
    assert listed(workspace) == []


def test_what_lost_its_objects_is_listed_and_only_swept_when_asked(workspace: Workspace) -> None:
    serve(workspace)
    call = workspace.simulators.call
    mine = next(iter(workspace.models().values()))
    base = call("GET", f"models/{mine['id']}")["baseModelId"]
    by_hand = {"name": f"{workspace.namespace}-by-hand", "type": "model", "baseModelId": base}
    call("POST", "models", by_hand)
    workspace.operator.kill()
    abandon(workspace, DEPLOYMENT, "chat")
    abandon(workspace, MODEL, "chat")

    found = listed(workspace)
    assert [one["kind"] for one in found] == ["deployment", "endpoint", "model"]
    assert found[0]["state"] == "READY"
    assert "deployment" in orphans(workspace).stdout
    assert "kind: model" in orphans(workspace, "-o", "yaml").stdout

    refused = orphans(workspace, "--sweep", stdin="n\n")
    assert refused.returncode == 0
    assert workspace.endpoints() != {}

    names = [one["name"] for one in found]
    swept = orphans(workspace, *names, "--sweep", "--yes")
    assert swept.returncode == 0, swept.stderr
    assert listed(workspace) == []
    assert workspace.endpoints() == {}
    (left,) = workspace.models().values()
    assert left["name"] == by_hand["name"], "a model that a person made is not the cluster's"
    call("DELETE", f"models/{left['id']}")


def test_the_operator_tells_of_orphans_by_itself(workspace: Workspace) -> None:
    serve(workspace)
    workspace.operator.kill()
    abandon(workspace, DEPLOYMENT, "chat")
    watching = workspace.surroundings.another_operator("operator-orphans", orphans_seconds="1")
    watching.start()
    try:
        watching.wait_ready()

        def told() -> bool:
            return any(
                one["name"].startswith(f"acme/{workspace.namespace}-")
                for one in workspace.surroundings.logged("orphan", watching)
            )

        workspace.eventually(told, "the operator logs the orphan")
        workspace.eventually(
            lambda: "OrphansFound" in workspace.surroundings.cluster.kubectl("get", "events", "-A"),
            "an event tells of it",
        )
        metrics = watching.metrics()
        assert metrics['together_operator_orphans{what="endpoint"}'] >= 1
    finally:
        watching.stop()
    assert orphans(workspace, "--sweep", "--yes").returncode == 0
    assert workspace.endpoints() == {}
