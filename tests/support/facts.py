"""What a suite saw, for the summary at the end of a run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

VARIABLE = "TOGETHER_FACTS"
"""A file to which the facts are added, for whoever runs several suites."""


def tell(terminal: pytest.TerminalReporter, title: str, facts: Mapping[str, str]) -> None:
    """Write a section of pytest's summary, or leave the facts to who asked for them."""
    path = os.environ.get(VARIABLE)
    if path:
        before = json.loads(Path(path).read_text()) if Path(path).exists() else {}
        Path(path).write_text(json.dumps({**before, **facts}))
    elif facts:
        terminal.section(title)
        for line in lines(facts):
            terminal.write_line(line)


def lines(facts: Mapping[str, str]) -> list[str]:
    """One a fact, aligned."""
    width = max(map(len, facts), default=0)
    return [f"{name:{width}}  {value}" for name, value in facts.items()]
