"""Deleting: in the right order, leaving nothing, and never without having seen that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.mistakes import WRONG_KEY
from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition
from tests.support.manifests import (
    custom_model,
    hugging_face,
    model_deployment,
    secret,
)
from tests.support.simulators.together.simulator import READ_ONLY_KEY
from together_operator.domain.plan import FINALIZER, RELEASE_ANNOTATION

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration


def test_a_model_in_use_waits_for_its_deployment_and_then_nothing_is_left(
    workspace: Workspace,
) -> None:
    """Together refuses any other order than stop, unroute, deployment, endpoint, model."""
    workspace.apply(custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat"))
    workspace.ready(DEPLOYMENT, "serve")

    workspace.delete("custommodel/chat")

    workspace.shows(MODEL, "chat", "InUse", "ModelDeployment serve")
    assert workspace.remote_name("chat") in workspace.models()
    workspace.delete("modeldeployment/serve")
    workspace.gone(DEPLOYMENT, "serve")
    workspace.gone(MODEL, "chat")
    assert workspace.models() == workspace.endpoints() == {}
    refused = [
        entry
        for entry in workspace.simulators.audit()
        if entry["method"] == "DELETE"
        and entry["status"] >= 400
        and workspace.namespace in entry["name"]
    ]
    assert refused == []


def test_what_is_to_be_retained_stays_at_together(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT), deletionPolicy="Retain"),
        model_deployment("serve", "chat", deletionPolicy="Retain"),
    )
    workspace.ready(DEPLOYMENT, "serve")

    workspace.delete("custommodel/chat", "modeldeployment/serve")

    workspace.gone(DEPLOYMENT, "serve")
    workspace.gone(MODEL, "chat")
    model = workspace.models()[workspace.remote_name("chat")]
    assert [d["state"] for d in workspace.deployments()] == ["READY"]
    assert workspace.remote_name("serve") in workspace.endpoints()
    workspace.remove_endpoint_by_hand("serve")
    workspace.simulators.call("DELETE", f"models/{model['id']}")


def test_without_its_key_an_object_stays_and_says_so_until_the_key_is_back(
    workspace: Workspace,
) -> None:
    key = secret("mine", TOGETHER_API_KEY=workspace.simulators.key)
    reference = {"apiKeySecretRef": {"name": "mine"}}
    workspace.apply(
        key,
        custom_model("chat", hugging_face(CHAT), **reference),
        model_deployment("serve", "chat", **reference),
    )
    workspace.ready(DEPLOYMENT, "serve")
    workspace.delete("secret/mine")

    workspace.delete("modeldeployment/serve", "custommodel/chat")

    for kind, name in ((DEPLOYMENT, "serve"), (MODEL, "chat")):
        found = workspace.shows(kind, name, "SecretMissing", "mine", "TOGETHER_API_KEY")
        assert FINALIZER in found["metadata"]["finalizers"]
        assert condition(found, "Stalled")["status"] == "True"
    assert workspace.remote_name("serve") in workspace.endpoints()
    workspace.apply(key)
    workspace.gone(DEPLOYMENT, "serve")
    workspace.gone(MODEL, "chat")
    assert workspace.models() == workspace.endpoints() == {}


def test_the_release_annotation_lets_an_object_go_and_tells_what_is_left(
    workspace: Workspace,
) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    workspace.ready(MODEL, "chat")
    workspace.annotate(MODEL, "chat", RELEASE_ANNOTATION, "true")

    workspace.delete("custommodel/chat")

    workspace.gone(MODEL, "chat")
    left = workspace.models()[workspace.remote_name("chat")]
    name = workspace.remote_name("chat")
    workspace.eventually(
        lambda: any(
            event["reason"] == "Released" and name in event["message"]
            for event in workspace.events("chat")
        ),
        "an event tells what is left",
    )
    workspace.simulators.call("DELETE", f"models/{left['id']}")


def test_a_key_that_is_refused_keeps_the_finalizer_of_what_is_billed(
    workspace: Workspace,
) -> None:
    key = {"apiKeySecretRef": {"name": "mine"}}
    workspace.apply(
        secret("mine", TOGETHER_API_KEY=workspace.simulators.key),
        custom_model("chat", hugging_face(CHAT), **key),
        model_deployment("serve", "chat", **key),
    )
    endpoint = workspace.ready(DEPLOYMENT, "serve")["status"]["endpoint"]
    workspace.apply(secret("mine", TOGETHER_API_KEY=READ_ONLY_KEY))
    workspace.delete("modeldeployment/serve", "custommodel/chat")

    for reason, refused, words in (
        ("Forbidden", READ_ONLY_KEY, "403"),
        ("Unauthorized", WRONG_KEY, "401"),
    ):
        workspace.apply(secret("mine", TOGETHER_API_KEY=refused))
        found = workspace.shows(DEPLOYMENT, "serve", reason, words)
        assert FINALIZER in found["metadata"]["finalizers"]
        assert condition(found, "Stalled")["status"] == "True"
    assert [d["state"] for d in workspace.deployments()] == ["READY"]

    workspace.annotate(DEPLOYMENT, "serve", RELEASE_ANNOTATION, "true")

    workspace.gone(DEPLOYMENT, "serve")
    workspace.eventually(
        lambda: any(
            event["reason"] == "Released" and endpoint["name"] in event["message"]
            for event in workspace.events("serve")
        ),
        "an event tells what is left",
    )
    workspace.remove_endpoint_by_hand("serve")
    workspace.apply(secret("mine", TOGETHER_API_KEY=workspace.simulators.key))
    workspace.gone(MODEL, "chat")


def test_the_release_annotation_helps_when_the_key_is_gone_for_good(workspace: Workspace) -> None:
    workspace.apply(
        secret("mine", TOGETHER_API_KEY=workspace.simulators.key),
        custom_model("chat", hugging_face(CHAT), apiKeySecretRef={"name": "mine"}),
    )
    model = workspace.ready(MODEL, "chat")["status"]["model"]
    workspace.delete("secret/mine", "custommodel/chat")
    workspace.shows(MODEL, "chat", "SecretMissing")

    workspace.annotate(MODEL, "chat", RELEASE_ANNOTATION, "true")

    workspace.gone(MODEL, "chat")
    workspace.simulators.call("DELETE", f"models/{model['id']}")
