"""Bad input: a condition with the right reason and words, backoff, and recovery by itself."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.mistakes import MISTAKES, Mistake
from tests.integration.operator.surroundings import CHAT, RETRY_MAX_SECONDS
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition
from tests.support.manifests import custom_model, hugging_face, model_deployment
from tests.support.simulators.together.catalog import default_catalog

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration
each_mistake = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)


@pytest.fixture(scope="module")
def mistaken(shared: Workspace) -> Workspace:
    """All mistakes at once."""
    shared.apply(shared.s3_secret(), *(item for m in MISTAKES for item in m.make(shared)))
    return shared


@pytest.fixture(scope="module")
def mended(mistaken: Workspace) -> Workspace:
    """All causes taken away, once all mistakes have shown."""
    for mistake in MISTAKES:
        mistaken.shows(mistake.kind, mistake.name, mistake.reason)
    mistaken.mark()
    for mistake in MISTAKES:
        mistake.mend(mistaken)
    return mistaken


@each_mistake
def test_a_mistake_stalls_the_object_with_a_reason_and_the_remotes_words(
    mistaken: Workspace, mistake: Mistake
) -> None:
    found = mistaken.shows(mistake.kind, mistake.name, mistake.reason, *mistake.words)

    assert condition(found, "Ready")["status"] == "False"
    assert condition(found, "Stalled")["status"] == "True"
    assert condition(found, "Stalled")["message"] == condition(found, "Ready")["message"]
    assert condition(found, "Reconciling")["status"] == "False"
    assert found["status"]["phase"] == "Failed"


@each_mistake
def test_a_mistake_is_looked_at_again_after_a_bounded_backoff(
    mistaken: Workspace, mistake: Mistake
) -> None:
    mistaken.shows(mistake.kind, mistake.name, mistake.reason)

    for version in mistaken.versions(mistake.kind, mistake.name):
        if condition(version, "Ready").get("reason") == mistake.reason:
            retry = version["status"]["retry"]
            assert retry["failures"] >= 1
            delay = _time(retry["nextAttemptTime"]) - _time(_written(version))
            # Both are whole seconds.
            assert delay.total_seconds() <= RETRY_MAX_SECONDS + 1


@each_mistake
def test_a_mistake_is_told_in_an_event(mistaken: Workspace, mistake: Mistake) -> None:
    mistaken.shows(mistake.kind, mistake.name, mistake.reason)

    mistaken.eventually(
        lambda: any(
            event["type"] == "Warning" and event["reason"] == mistake.reason
            for event in mistaken.events(mistake.name)
        ),
        f"a warning about {mistake.name}",
    )


@each_mistake
def test_an_object_recovers_by_itself_once_the_cause_is_gone(
    mended: Workspace, mistake: Mistake
) -> None:
    found = mended.ready(mistake.kind, mistake.name)

    assert condition(found, "Stalled")["status"] == "False"
    assert "retry" not in found["status"]


def test_a_deployment_waits_for_a_model_that_is_not_ready_yet(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT), suspend=True), model_deployment("serve", "chat")
    )

    found = workspace.shows(DEPLOYMENT, "serve", "WaitingForModel", "chat", "spec.suspend")

    assert condition(found, "Reconciling")["status"] == "True"
    assert condition(found, "ModelReady")["status"] == "False"
    workspace.patch(MODEL, "chat", suspend=False)
    workspace.ready(DEPLOYMENT, "serve")


def test_hardware_that_no_config_has_is_answered_with_what_there_is(workspace: Workspace) -> None:
    """The field can't be changed: the person deletes the object and creates a right one."""
    wanted = {"gpu": "nvidia-b300-288gb", "count": 8}
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)),
        model_deployment("serve", "chat", hardware=wanted),
    )
    bases = default_catalog().models
    base = next(model for model in bases if model.name == "Qwen/Qwen2.5-0.5B-Instruct")
    known = [config for variant in base.variants for config in variant.configs]

    words = {word for config in known for word in (config.instance_type, config.id)}
    found = workspace.shows(DEPLOYMENT, "serve", "NoConfig", "8xnvidia-b300-288gb", *words)

    assert condition(found, "Stalled")["status"] == "True"
    assert workspace.deployments() == []
    workspace.delete("modeldeployment/serve")
    workspace.gone(DEPLOYMENT, "serve")
    workspace.apply(model_deployment("serve", "chat"))
    workspace.ready(DEPLOYMENT, "serve")


def test_two_deployments_of_one_endpoint_name_are_told_of_each_other(
    workspace: Workspace,
) -> None:
    name = {"endpointName": f"{workspace.namespace}-shared"}
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("first", "chat", **name)
    )
    workspace.ready(DEPLOYMENT, "first")

    # Not even Adopt takes what another object has.
    workspace.apply(
        model_deployment("second", "chat", **name),
        model_deployment("third", "chat", adoptionPolicy="Adopt", **name),
    )

    workspace.shows(DEPLOYMENT, "second", "NameTaken", name["endpointName"], "endpointName")
    owner = f"belongs to ModelDeployment {workspace.namespace}/first"
    workspace.shows(DEPLOYMENT, "third", "NameTaken", owner, "spec.endpointName")
    assert len(workspace.deployments()) == 1
    workspace.delete("modeldeployment/third")
    workspace.gone(DEPLOYMENT, "third")
    assert len(workspace.deployments()) == 1, "the one of the first"
    workspace.delete("modeldeployment/first")
    workspace.gone(DEPLOYMENT, "first")
    workspace.ready(DEPLOYMENT, "second")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _written(version: Object) -> str:
    """When the status was written, as the API server has noted it."""
    fields = version["metadata"]["managedFields"]
    return next(str(entry["time"]) for entry in fields if entry.get("subresource") == "status")
