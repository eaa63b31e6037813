"""Sources that a Job packs: where they come from, what becomes of the archive, and mishaps."""

from __future__ import annotations

import json
import os
import struct
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import OTHER_CHAT
from tests.integration.operator.workspace import MODEL
from tests.support.conditions import condition
from tests.support.manifests import custom_model, hugging_face
from tests.support.simulators.tiny_models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

LONG = 120.0
"""Seconds for what waits for the Job controller, which makes a new pod after 10 s at the least."""


@pytest.fixture(scope="module")
def packed(shared: Workspace) -> Workspace:
    """Objects whose sources are packed in each way, applied at once."""
    folder = shared.surroundings.folder
    shared.surroundings.cluster.create_claim(shared.namespace, "weights", folder)
    shared.simulators.add_repository("tiny/pinned", folder / "chat")
    prefix = shared.from_prefix("shared/chat/")
    to = {"destination": prefix["archive"]["destination"]}
    claim = {"persistentVolumeClaim": {"claimName": "weights", "path": "chat"}}
    shared.apply(
        shared.s3_secret(),
        custom_model("tar", prefix["source"], archive={**to, "format": "tar"}),
        custom_model("tar-gz", prefix["source"], archive={**to, "format": "tar.gz"}),
        custom_model("kept", prefix["source"], archive={**to, "retention": "Retain"}),
        custom_model("claim", claim, archive=to),
        custom_model("pinned", hugging_face("tiny/pinned", revision="main"), archive=to),
        custom_model("staged", hugging_face(OTHER_CHAT, transfer="Staged"), archive=to),
    )
    return shared


@pytest.mark.parametrize(
    ("name", "source", "ending"),
    [
        ("tar", "s3://example-models/shared/chat/", ".tar"),
        ("tar-gz", "s3://example-models/shared/chat/", ".tar.gz"),
        ("claim", "pvc/weights/chat", ".zip"),
        ("pinned", "hf://tiny/pinned@main", ".zip"),
        ("staged", "hf://tiny/other-chat", ".zip"),
    ],
)
def test_what_is_packed_is_imported_and_its_archive_is_deleted(
    packed: Workspace, name: str, source: str, ending: str
) -> None:
    packed.ready(MODEL, name, LONG)
    found = packed.until(
        MODEL, name, lambda it: it["status"].get("archive", {}).get("deleted"), "archive deleted"
    )

    status = found["status"]
    assert condition(found, "Ready")["status"] == "True"
    assert condition(found, "Archived")["reason"] == "ArchiveDeleted"
    assert status["source"]["text"] == source
    assert status["archive"]["uri"].endswith(ending)
    assert packed.keys(_folder(found)) == []
    assert packed.count("import", name) == 1


def test_a_retained_archive_stays_even_when_its_object_goes(packed: Workspace) -> None:
    found = packed.ready(MODEL, "kept", LONG)

    assert condition(found, "Archived")["reason"] == "Archived"
    packed.delete("custommodel/kept")
    packed.gone(MODEL, "kept")
    (key,) = packed.keys(_folder(found))
    assert f"s3://example-models/{key}" == found["status"]["archive"]["uri"]


def test_a_branch_that_has_moved_is_imported_again(packed: Workspace) -> None:
    before = packed.ready(MODEL, "pinned", LONG)["status"]
    assert len(before["source"]["revision"]) == 40, "a commit"

    packed.mark()
    packed.simulators.commit("tiny/pinned", "main", packed.surroundings.folder / "other-chat")

    after = packed.until(
        MODEL,
        "pinned",
        lambda it: (
            condition(it, "Ready")["status"] == "True"
            and it["status"]["source"]["revision"] != before["source"]["revision"]
        ),
        "the other commit is imported",
        LONG,
    )["status"]
    assert after["model"]["id"] == before["model"]["id"]
    assert after["model"]["revision"] != before["model"]["revision"]
    assert packed.count("import", "pinned") == 2
    assert packed.count("model", "pinned") == 1


def test_a_bad_source_is_told_with_each_problem_and_nothing_is_started(
    workspace: Workspace, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "bad", architecture="WhisperForConditionalGeneration")
    (model / "tokenizer.json").unlink()
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    for path in model.iterdir():
        workspace.upload(path, f"{workspace.namespace}/bad/{path.name}")
    workspace.apply(
        workspace.s3_secret(),
        custom_model("bad", **workspace.from_prefix(f"{workspace.namespace}/bad/")),
    )

    found = workspace.shows(
        MODEL,
        "bad",
        "SourceInvalid",
        "3 problems",
        "'WhisperForConditionalGeneration' is neither text generation nor embedding",
        "lacks 10 of the bytes that its header promises: copy or download it again",
        "there is no tokenizer",
        "save it beside the model",
    )

    assert condition(found, "SourceReady")["status"] == "False"
    assert workspace.audit("model") == []
    assert workspace.kubectl("get", "jobs", "-o", "name") == ""


def test_what_is_left_of_an_archive_is_deleted_with_its_object(workspace: Workspace) -> None:
    """The import is held, so that the archive is there when the object is deleted."""
    workspace.simulators.behave(
        imports=[{"model": workspace.remote_name("chat"), "outcome": "held"}]
    )
    workspace.apply(
        workspace.s3_secret(), custom_model("chat", **workspace.from_prefix("shared/chat/"))
    )
    found = workspace.shows(MODEL, "chat", "Importing")
    found = workspace.until(
        MODEL, "chat", lambda it: "import" in it["status"], "the import has started", LONG
    )
    assert len(workspace.keys(_folder(found))) == 1
    other = _folder(found) + "somebody-elses.zip"
    workspace.upload(workspace.surroundings.folder / "chat.zip", other)

    workspace.delete("custommodel/chat")

    workspace.gone(MODEL, "chat")
    assert workspace.keys(_folder(found)) == [other]


def test_a_deleted_job_is_replaced_within_bounds(workspace: Workspace) -> None:
    store = workspace.surroundings.store
    store.hold()
    source = workspace.from_prefix("shared/chat/", destination=store.url)
    workspace.apply(workspace.s3_secret(), custom_model("chat", **source))
    found = workspace.until(
        MODEL, "chat", lambda it: "seenAt" in it["status"].get("job", {}), "its Job runs"
    )

    workspace.kubectl("delete", "job", found["status"]["job"]["name"], "--wait=false")

    workspace.shows(MODEL, "chat", "ArchiveRetrying", "was deleted before it was done")
    store.restore()
    status = workspace.ready(MODEL, "chat", LONG)["status"]
    assert status["job"]["attempt"] == 2


def test_a_stuck_job_is_replaced(workspace: Workspace) -> None:
    store = workspace.surroundings.store
    store.hold()
    source = workspace.from_prefix("shared/chat/", destination=store.url)
    workspace.apply(workspace.s3_secret(), custom_model("chat", **source, job={"stallSeconds": 10}))

    found = workspace.until(
        MODEL,
        "chat",
        lambda it: condition(it, "Ready").get("reason") == "ArchiveRetrying",
        "the Job is found to be stuck",
        LONG,
    )

    assert "is stuck: no byte in 1" in condition(found, "Archived")["message"]
    store.restore()
    status = workspace.ready(MODEL, "chat", LONG)["status"]
    assert status["job"]["attempt"] == 2


def test_an_eviction_at_half_resumes_and_progress_never_falls(
    workspace: Workspace, tmp_path: Path
) -> None:
    """A tar.gz of weights that don't compress, so that many parts go one after the other."""
    _write_large(tmp_path / "large", 224 << 20)
    cluster, store = workspace.surroundings.cluster, workspace.surroundings.store
    cluster.create_claim(workspace.namespace, "large", tmp_path / "large")
    store.throttle(6 << 20)
    destination = workspace.s3("archives/", endpoint=store.url)
    workspace.apply(
        workspace.s3_secret(),
        custom_model(
            "large",
            {"persistentVolumeClaim": {"claimName": "large"}},
            archive={"destination": destination, "format": "tar.gz"},
        ),
    )
    half = workspace.until(MODEL, "large", lambda it: _percent(it) >= 50, "is half done", LONG)
    (pod,) = _pods(workspace)

    cluster.node.evict(workspace.namespace, pod["metadata"]["name"])

    deadline = time.monotonic() + LONG
    shown: list[str] = []
    while not _result(workspace):
        assert time.monotonic() < deadline, workspace.explain("the second pod is done")
        shown.append(_column(workspace, "large"))
        time.sleep(0.5)
    result = _result(workspace)
    assert result["resumed"] is True
    assert result["sentBytes"] < 0.75 * result["sizeBytes"], "what was there was not sent again"
    store.restore()
    done = workspace.ready(MODEL, "large", LONG)
    assert done["status"]["job"]["attempt"] == half["status"]["job"]["attempt"] == 1
    percents = [_percent(it) for it in workspace.versions(MODEL, "large") if _percent(it) >= 0]
    packing = percents[: percents.index(100)] if 100 in percents else percents
    assert packing == sorted(packing), "never lower for the same attempt"
    assert len(set(packing)) >= 5, packing
    columns = [int(text.partition("%")[0]) for text in shown if "%" in text]
    assert columns == sorted(columns), shown
    assert min(columns) >= 50, "the second pod begins where the first was"


def _folder(found: Object) -> str:
    uri: str = found["status"]["archive"]["uri"]
    return uri.removeprefix("s3://example-models/").rpartition("/")[0] + "/"


def _percent(found: Object) -> int:
    progress = found.get("status", {}).get("progress", {})
    return progress.get("percent", -1) if progress.get("stage") not in {"Import", "Done"} else -1


def _pods(workspace: Workspace) -> list[Object]:
    listed: Object = json.loads(workspace.kubectl("get", "pods", "-o", "json"))
    found: list[Object] = listed["items"]
    return found


def _result(workspace: Workspace) -> Object:
    """What the worker of a pod that was done left behind."""
    for pod in _pods(workspace):
        for status in pod["status"].get("containerStatuses", []):
            ended = status["state"].get("terminated", {})
            if ended.get("exitCode") == 0:
                result: Object = json.loads(ended["message"].splitlines()[-1])
                return result
    return {}


def _column(workspace: Workspace, name: str) -> str:
    """PROGRESS as `kubectl get` prints it."""
    listed = workspace.kubectl("get", f"custommodel/{name}").splitlines()
    start = listed[0].index("PROGRESS")
    return listed[1][start : listed[0].index("MODEL")].strip()


def _write_large(directory: Path, size: int) -> None:
    """A model with `size` bytes of weights that look like noise."""
    write_model(directory)
    header = {"noise": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with (directory / "model.safetensors").open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.write(os.urandom(size))
