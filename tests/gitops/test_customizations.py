"""Health and actions, run by the real `argocd admin settings resource-overrides`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import argocd
from together_operator.api.v1alpha1 import CustomModel, ModelDeployment

FOLDER = argocd.ROOT / "deploy" / "argocd" / "resource_customizations" / "together.ai"
KINDS = {"CustomModel": CustomModel, "ModelDeployment": ModelDeployment}


def cases(file: str, key: str) -> list[Any]:
    return [
        pytest.param(kind, case, id=f"{kind}-{case.get('action', '')}{case['inputPath']}")
        for kind in KINDS
        for case in yaml.safe_load((FOLDER / kind / file).read_text())[key]
    ]


@pytest.mark.parametrize(("kind", "case"), cases("health_test.yaml", "tests"))
def test_health(kind: str, case: dict[str, Any]) -> None:
    output = argocd.resource_override("health", FOLDER / kind / case["inputPath"])

    wanted = case["healthStatus"]
    assert f"STATUS: {wanted['status']}" in output
    assert f"MESSAGE: {wanted['message']}" in output


@pytest.mark.parametrize(("kind", "case"), cases("actions/action_test.yaml", "actionTests"))
def test_action(kind: str, case: dict[str, Any]) -> None:
    before = FOLDER / kind / "actions" / case["inputPath"]

    output = argocd.resource_override("run-action", before, case["action"])

    after = yaml.safe_load((FOLDER / kind / "actions" / case["expectedOutputPath"]).read_text())
    old = yaml.safe_load(before.read_text())
    changed = {
        key: value
        for part in ("spec", "metadata")
        for key, value in after[part].items()
        if old[part].get(key) != value
    }
    assert changed, "the case has something to show"
    for key, value in changed.items():
        shown = value if isinstance(value, dict) else {key: value}
        for name, wanted in shown.items():
            assert f"{name}: {_as_go_writes(wanted)}" in output, output


def _as_go_writes(value: object) -> str:
    """Go's YAML puts a text that looks like something else into double quotes."""
    return json.dumps(value)


@pytest.mark.parametrize(("kind", "case"), cases("actions/action_test.yaml", "discoveryTests"))
def test_discovery(kind: str, case: dict[str, Any]) -> None:
    path = FOLDER / kind / "actions" / case["inputPath"]

    output = argocd.resource_override("list-actions", path)

    heading, *rows = (line.split() for line in output.splitlines() if line.strip())
    assert heading == ["NAME", "DISABLED"]
    wanted = {a["name"]: str(a.get("disabled", False)).lower() for a in case["result"]}
    assert dict(rows) == wanted


@pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*/**/testdata/*.yaml")), ids=lambda p: f"{p.parts[-4]}-{p.stem}"
)
def test_the_test_data_are_objects_of_ours(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    body["metadata"]["uid"] = "0"
    found = KINDS[body["kind"]].model_validate(body)
    assert found.metadata.name == "minilm"
