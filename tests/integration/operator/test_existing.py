"""What is at Together already: left there, taken over by name, served without a CustomModel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
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

THINGS = ("model", "import", "endpoint", "deployment")


def test_what_is_retained_goes_on_and_is_adopted_again_by_name(workspace: Workspace) -> None:
    retain = {"deletionPolicy": "Retain"}
    workspace.apply(
        custom_model("chat", hugging_face(CHAT), **retain),
        model_deployment("serve", "chat", **retain),
    )
    before = workspace.ready(DEPLOYMENT, "serve")["status"]
    created = {thing: len(workspace.audit(thing)) for thing in THINGS}

    workspace.delete("custommodel/chat", "modeldeployment/serve")
    workspace.gone(DEPLOYMENT, "serve")
    workspace.gone(MODEL, "chat")

    assert [d["state"] for d in workspace.deployments()] == ["READY"], "it runs, and is billed"

    workspace.apply(
        custom_model("chat", hugging_face(CHAT), adoptionPolicy="Adopt"),
        model_deployment("serve", "chat", adoptionPolicy="Adopt"),
    )
    model = workspace.ready(MODEL, "chat")["status"]["model"]
    after = workspace.ready(DEPLOYMENT, "serve")["status"]

    assert model == before["model"]
    assert after["endpoint"] == before["endpoint"]
    assert after["deployment"]["id"] == before["deployment"]["id"]
    assert {thing: len(workspace.audit(thing)) for thing in THINGS} == created


def test_a_model_needs_no_custom_model(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), deployment_of("of-the-catalog", CHAT_BASE)
    )
    model = workspace.ready(MODEL, "chat")["status"]["model"]
    workspace.apply(
        deployment_of("by-name", model["name"]), deployment_of("by-id", model["id"], replicas=2)
    )

    for name, served in (("by-name", model["name"]), ("by-id", model["name"])):
        assert workspace.ready(DEPLOYMENT, name)["status"]["model"]["name"] == served
    catalog = workspace.ready(DEPLOYMENT, "of-the-catalog")["status"]
    assert catalog["model"]["name"] == CHAT_BASE
    answer = httpx.post(
        f"{workspace.simulators.together}/v1/chat/completions",
        headers={"Authorization": f"Bearer {workspace.simulators.key}"},
        json={
            "model": workspace.get(DEPLOYMENT, "by-name")["status"]["endpoint"]["name"],
            "messages": [{"role": "user", "content": "the king"}],
        },
    )
    assert answer.status_code == 200
    rows = [line.split() for line in workspace.kubectl("get", "modeldeployments").splitlines()[1:]]
    assert {row[0]: row[3] for row in rows} == {
        "by-id": model["id"],
        "by-name": model["name"],
        "of-the-catalog": CHAT_BASE,
    }

    workspace.delete("custommodel/chat")

    words = ("by-id (it still runs it)", "by-name (it still runs it)")
    workspace.shows(MODEL, "chat", "InUse", *words)
    workspace.delete("modeldeployment/by-name", "modeldeployment/by-id")
    workspace.gone(MODEL, "chat")
