"""kill -9 of the operator while something is under way: nothing is created twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

CREATED = ("model", "import", "endpoint", "deployment")


def kill_and_restart(workspace: Workspace) -> None:
    workspace.operator.kill()
    workspace.mark()
    workspace.operator.start()
    workspace.operator.wait_ready()


def test_killed_in_the_middle_of_an_import(workspace: Workspace) -> None:
    workspace.simulators.behave(
        imports=[{"model": workspace.remote_name("chat"), "outcome": "held", "count": None}]
    )
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    workspace.until(MODEL, "chat", lambda o: bool(import_of(o).get("jobID")), "is imported")

    kill_and_restart(workspace)
    workspace.simulators.behave_well()

    workspace.ready(MODEL, "chat")
    assert workspace.count("model", "chat") == 1
    assert workspace.count("import", "chat") == 1


def test_killed_in_the_middle_of_a_provisioning(workspace: Workspace) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    workspace.ready(MODEL, "chat")
    workspace.apply(model_deployment("serve", "chat"))
    workspace.until(
        DEPLOYMENT,
        "serve",
        lambda o: condition(o, "Ready").get("reason") == "Provisioning",
        "is provisioned",
    )

    kill_and_restart(workspace)

    workspace.ready(DEPLOYMENT, "serve")
    assert workspace.count("endpoint", "serve") == 1
    assert workspace.count("deployment", "serve") == 1


@pytest.mark.parametrize("resource", CREATED)
def test_killed_while_a_create_has_no_answer_yet(workspace: Workspace, resource: str) -> None:
    """The create is committed, and its answer is on its way, when the process dies."""
    path = {
        "model": "/models$",
        "import": "/models/uploads$",
        "endpoint": "/endpoints$",
        "deployment": "/deployments$",
    }[resource]
    # Simulated seconds: an answer that comes after 15 real ones. A deployment is rehearsed first.
    skip = 1 if resource == "deployment" else 0
    workspace.simulators.fault(
        "drop_after_commit", method="POST", path=path, seconds=6000, skip=skip
    )
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))
    name = "chat" if resource in {"model", "import"} else "serve"
    workspace.eventually(lambda: made(workspace, resource) == 1, f"the {resource} is created")

    kill_and_restart(workspace)

    workspace.ready(DEPLOYMENT, "serve")
    assert workspace.count(resource, name) == 1, workspace.audit(resource)


def made(workspace: Workspace, resource: str) -> int:
    """How many of a resource were committed; a deployment's name may not be in a status yet."""
    if resource == "deployment":
        return len(workspace.deployments())
    return len(workspace.audit(resource))


def import_of(found: Object) -> Object:
    status: Object = found.get("status", {})
    record: Object = status.get("import", {})
    return record
