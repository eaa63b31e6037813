"""CustomModels: from every kind of source to a model at Together, and changes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import (
    ADAPTER,
    CHAT,
    EMBEDDING,
    OTHER_CHAT,
    PRIVATE,
)
from tests.integration.operator.workspace import MODEL
from tests.support.conditions import condition
from tests.support.manifests import (
    CHAT_BASE,
    EMBEDDING_BASE,
    custom_model,
    hugging_face,
    presigned,
    secret,
)
from tests.support.simulators.together.catalog import default_catalog

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

SOURCES = {
    "hugging-face": "hf://tiny/chat",
    "private": "hf://tiny/private",
    "embedding": "hf://tiny/embedding",
    "zip": "s3://example-models/shared/chat.zip",
    "tar-gz": "s3://example-models/shared/chat.tar.gz",
    "adapter": "s3://example-models/shared/adapter.tar.gz",
    "presigned": "secret/chat-url",
    "prefix": "s3://example-models/shared/chat/",
}
"""Objects by name, and what status shall say of their source."""


@pytest.fixture(scope="module")
def imported(shared: Workspace) -> Workspace:
    """One CustomModel from each source, applied at once."""
    token = {"tokenSecretRef": {"name": "hub", "key": "token"}}
    shared.apply(
        shared.s3_secret(),
        secret("hub", token=shared.simulators.urls["hub"]["token"]),
        secret("chat-url", url=shared.presign("shared/chat.zip", 3 * 3600)),
        custom_model("hugging-face", hugging_face(CHAT)),
        custom_model("private", hugging_face(PRIVATE, **token)),
        custom_model(
            "embedding", hugging_face(EMBEDDING), type="Embedding", baseModel=EMBEDDING_BASE
        ),
        custom_model("zip", {"s3": shared.s3("shared/chat.zip")}),
        custom_model("tar-gz", {"s3": shared.s3("shared/chat.tar.gz")}),
        # The adapter's own configuration names its base model only in a repository.
        custom_model("adapter", {"s3": shared.s3("shared/adapter.tar.gz")}, type="Adapter"),
        custom_model("presigned", presigned("chat-url")),
        custom_model("prefix", **shared.from_prefix("shared/chat/")),
    )
    return shared


@pytest.mark.parametrize("name", SOURCES)
def test_a_model_from_each_source_becomes_ready_with_its_revision(
    imported: Workspace, name: str
) -> None:
    status = imported.ready(MODEL, name)["status"]

    record = imported.models()[imported.remote_name(name)]
    model = imported.simulators.call("GET", f"models/{record['id']}")
    revisions = imported.simulators.call("GET", f"models/{record['id']}/revisions")["data"]
    assert status["phase"] == "Ready"
    assert status["source"]["text"] == SOURCES[name]
    assert status["model"] == {
        "id": record["id"],
        "name": model["name"],
        "revision": revisions[0]["revisionId"],
    }
    assert status["import"]["state"] == "SUCCEEDED"
    assert imported.count("model", name) == 1
    assert imported.count("import", name) == 1


def test_files_under_a_prefix_are_packed_by_a_job_whose_result_is_in_the_status(
    imported: Workspace,
) -> None:
    status = imported.ready(MODEL, "prefix")["status"]

    folder = f"s3://example-models/archives/{imported.namespace}/prefix-"
    assert status["archive"]["uri"].startswith(folder)
    assert status["archive"]["uri"].endswith(".zip")
    assert status["archive"]["files"] == 3
    assert status["archive"]["digest"].startswith("sha256:")
    assert condition({"status": status}, "Archived")["status"] == "True"
    job = imported.kubectl("get", "jobs", "-o", "jsonpath={.items[*].status.succeeded}")
    assert job == "1"


def test_only_a_prefix_needs_an_archive(imported: Workspace) -> None:
    found = imported.ready(MODEL, "zip")

    assert condition(found, "Archived")["reason"] == "NotRequired"
    assert "archive" not in found["status"]


def test_an_adapter_is_registered_as_one_with_the_base_that_its_config_names(
    workspace: Workspace,
) -> None:
    manifest = custom_model("lora", hugging_face(ADAPTER), type="Adapter", baseModel=None)

    workspace.apply(manifest)

    (found,) = workspace.all_ready(manifest)
    model = workspace.simulators.call("GET", f"models/{found['status']['model']['id']}")
    assert model["weights"]["type"] == "WEIGHTS_TYPE_ADAPTER"
    assert model["baseModelId"] == _chat_base()


def test_description_and_visibility_are_changed_in_place(workspace: Workspace) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT), description="before"))
    before = workspace.ready(MODEL, "chat")["status"]

    workspace.patch(MODEL, "chat", description="after", visibility="Internal")

    after = workspace.ready(MODEL, "chat")["status"]
    model = workspace.simulators.call("GET", f"models/{after['model']['id']}")
    assert model["description"] == "after"
    assert model["visibility"] == "VISIBILITY_INTERNAL"
    assert after["model"] == before["model"]
    assert workspace.count("model", "chat", "PATCH") >= 1
    assert workspace.count("import", "chat") == 1


def test_a_changed_source_becomes_another_revision_of_the_same_model(
    workspace: Workspace,
) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    before = workspace.ready(MODEL, "chat")["status"]["model"]

    workspace.apply(custom_model("chat", hugging_face(OTHER_CHAT)))

    after = workspace.ready(MODEL, "chat")["status"]["model"]
    revisions = workspace.simulators.call("GET", f"models/{after['id']}/revisions")["data"]
    assert after["id"] == before["id"]
    assert after["revision"] != before["revision"]
    assert {r["revisionId"] for r in revisions} == {after["revision"], before["revision"]}
    assert workspace.count("model", "chat") == 1
    assert workspace.count("import", "chat") == 2


def test_a_suspended_model_starts_nothing_until_it_is_resumed(workspace: Workspace) -> None:
    workspace.apply(custom_model("chat", hugging_face(CHAT), suspend=True))

    found = workspace.shows(MODEL, "chat", "Suspended", "spec.suspend is true")

    assert condition(found, "Reconciling")["status"] == "False"
    assert condition(found, "Stalled")["status"] == "False"
    assert workspace.models() == {}
    workspace.patch(MODEL, "chat", suspend=False)
    workspace.ready(MODEL, "chat")


def test_a_model_that_is_there_is_taken_over_only_when_the_spec_says_so(
    workspace: Workspace,
) -> None:
    """Until then it is somebody else's, and deleting the object leaves it alone."""
    names = ("kept", "adopted")
    theirs = {name: _create_by_hand(workspace, name) for name in names}
    workspace.apply(
        custom_model("kept", hugging_face(CHAT)),
        custom_model("adopted", hugging_face(CHAT), adoptionPolicy="Adopt"),
    )

    stalled = workspace.shows(MODEL, "kept", "NameTaken", "spec.modelName", "adoptionPolicy")
    adopted = workspace.ready(MODEL, "adopted")

    assert condition(stalled, "Stalled")["status"] == "True"
    assert adopted["status"]["model"]["id"] == theirs["adopted"]
    assert workspace.count("model", "adopted") == 1, "only the one that was created by hand"
    workspace.delete("custommodel/kept")
    workspace.gone(MODEL, "kept")
    assert workspace.models()[workspace.remote_name("kept")]["id"] == theirs["kept"]
    workspace.simulators.call("DELETE", f"models/{theirs['kept']}")


def _create_by_hand(workspace: Workspace, name: str) -> str:
    new = {"name": workspace.remote_name(name), "type": "model", "baseModelId": _chat_base()}
    created: Object = workspace.simulators.call("POST", "models", new)
    return str(created["id"])


def _chat_base() -> str:
    models = default_catalog().models
    return next(m.variants[0].model_id for m in models if m.name == CHAT_BASE)
