"""The quick start's commands, as they stand in the page, on what `make demo KEEP=1` starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.documents.blocks import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.operator.workspace import Workspace

pytestmark = pytest.mark.integration

PAGE = ROOT / "docs" / "quickstart.md"
FILES = ("sentences.yaml", "serve.yaml")


def test_the_commands_of_the_quick_start(workspace: Workspace, tmp_path: Path) -> None:
    manifests = [block.text for block in blocks(PAGE, "yaml")]
    for name, text in zip(FILES, manifests, strict=True):
        (tmp_path / name).write_text(text)
    commands = [command for block in blocks(PAGE, "console") for command in block.commands()]
    assert len(commands) >= len(FILES) + 5

    for program, *args in commands:
        assert program == "kubectl", "only what a reader of the page has"
        workspace.kubectl(*(str(tmp_path / a) if a in FILES else a for a in args))

    assert workspace.models() == {}
    assert workspace.endpoints() == {}
