"""Systems that are down for a while: a condition says so, and the rest goes on by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration


def test_together_can_not_be_reached(workspace: Workspace) -> None:
    workspace.surroundings.together.refuse()
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))

    seen = workspace.shows(MODEL, "chat", "Unavailable", "Together")
    assert condition(seen, "Reconciling")["status"] == "True", "it is tried again by itself"
    assert seen["status"]["retry"]["failures"] >= 1

    workspace.surroundings.together.restore()

    workspace.ready(MODEL, "chat")
    workspace.ready(DEPLOYMENT, "serve")


def test_together_answers_with_server_errors(workspace: Workspace) -> None:
    workspace.simulators.fault("status", path="/v2/", status=503, count=None)
    workspace.apply(custom_model("chat", hugging_face(CHAT)))

    workspace.shows(MODEL, "chat", "Unavailable", "503")
    workspace.simulators.clear_faults()

    workspace.ready(MODEL, "chat")
    assert workspace.count("model", "chat") == 1


def test_ready_objects_stay_ready_while_together_is_away(workspace: Workspace) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))
    workspace.ready(MODEL, "chat")
    before = workspace.ready(DEPLOYMENT, "serve")

    workspace.surroundings.together.refuse()
    failed = len(workspace.surroundings.logged("cannot look"))
    workspace.eventually(
        lambda: len(workspace.surroundings.logged("cannot look")) > failed + 2,
        "the operator looked in vain",
    )
    workspace.surroundings.together.restore()

    assert (
        workspace.get(DEPLOYMENT, "serve")["metadata"]["resourceVersion"]
        == (before["metadata"]["resourceVersion"])
    ), "nothing is written about an outage that a settled object does not feel"
