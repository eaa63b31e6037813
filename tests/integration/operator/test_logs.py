"""The log: one line an action, one a changed reason, and none while nothing happens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator.surroundings import CHAT, SETTINGS
from tests.integration.operator.workspace import MODEL
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration


def entries(workspace: Workspace, event: str) -> list[dict[str, Any]]:
    """Log entries about objects of this namespace."""
    found = workspace.surroundings.logged(event)
    return [e for e in found if str(e.get("object", "")).startswith(f"{workspace.namespace}/")]


def test_each_action_is_one_line_that_says_what_came_of_it(workspace: Workspace) -> None:
    workspace.apply(custom_model("logged", hugging_face(CHAT)))
    workspace.ready(MODEL, "logged")
    workspace.delete("custommodel/logged")
    workspace.gone(MODEL, "logged")
    wanted = ["AddFinalizer", "CreateModel", "StartImport", "DeleteModel", "RemoveFinalizer"]
    # The last line is written after the object is gone.
    workspace.eventually(
        lambda: len(entries(workspace, "action")) >= len(wanted), "each action has its line"
    )
    seen = entries(workspace, "action")
    assert [entry["action"] for entry in seen] == wanted
    for entry in seen:
        assert entry["object"] == f"{workspace.namespace}/logged"
        assert entry["kind"] == MODEL
        assert entry["generation"] >= 1
        assert entry["outcome"] == "done"
        assert entry["seconds"] >= 0
        assert entry["timestamp"]
        assert entry["reconcile"]


def test_what_fails_is_a_warning_with_the_class_of_its_error(workspace: Workspace) -> None:
    workspace.simulators.fault("status", method="POST", path="/models$", status=500, count=1)
    workspace.apply(custom_model("fails", hugging_face(CHAT)))
    workspace.ready(MODEL, "fails")
    [failed] = [e for e in entries(workspace, "action") if e["outcome"] != "done"]
    assert (failed["action"], failed["outcome"]) == ("CreateModel", "Ambiguous")
    assert failed["level"] == "warning"
    assert "500" in failed["error"]


def test_an_event_is_found_in_the_log_by_its_words(workspace: Workspace) -> None:
    workspace.apply(custom_model("told", hugging_face(CHAT)))
    workspace.ready(MODEL, "told")

    def events() -> list[dict[str, Any]]:
        answer = workspace.kubectl("get", "events", "-o", "json")
        items: list[dict[str, Any]] = json.loads(answer)["items"]
        return [e for e in items if e["involvedObject"]["name"] == "told"]

    deadline = time.monotonic() + 10
    while not any(e["reason"] == "Ready" for e in events()):
        assert time.monotonic() < deadline, "the event is posted"
        time.sleep(0.1)
    # A reason is logged before its event is posted.
    told = {(e["reason"], e["message"]): e for e in entries(workspace, "told")}
    for event in events():
        assert (event["reason"], event["message"]) in told
    actions = {e["reconcile"] for e in entries(workspace, "action")}
    assert actions & {e["reconcile"] for e in told.values()}, "one leads to the other"


def test_nothing_is_logged_while_nothing_happens(workspace: Workspace) -> None:
    manifests = [custom_model("idle", hugging_face(CHAT)), model_deployment("idle", "idle")]
    workspace.apply(*manifests)
    workspace.all_ready(*manifests)
    time.sleep(1.0)  # what is left of the last steps
    before = workspace.operator.log.read_text()
    time.sleep(2 * float(SETTINGS["resync_seconds"]))
    after = workspace.operator.log.read_text()
    lines = [
        line for line in after[len(before) :].splitlines() if f"{workspace.namespace}/" in line
    ]
    assert lines == []
