"""The fenced blocks of the project's pages."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, and what is in it."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def where(self) -> str:
        """`page:line`."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def manifests(self) -> list[dict[str, Any]]:
        """The Kubernetes objects of a YAML block; a fragment of one has none."""
        found = [d for d in yaml.safe_load_all(self.text) if isinstance(d, dict)]
        return [document for document in found if "apiVersion" in document]

    def commands(self) -> list[list[str]]:
        """What a person types in a console block, split as a shell does."""
        return [shlex.split(line[2:]) for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of a language, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, language, match[2])
        for match in _FENCE.finditer(text)
        if match[1] == language
    ]
