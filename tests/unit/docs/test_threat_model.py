"""Every test that the threat model names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "threat-model.md"


def named() -> set[tuple[str, str]]:
    """Files and tests; `::name` alone is in the file named before it."""
    found: set[tuple[str, str]] = set()
    file = ""
    for path, name in re.findall(r"`(tests/[\w/]+[.]py)?::(\w+)`", PAGE.read_text()):
        file = path or file
        found.add((file, name))
    return found


def test_every_named_test_is_there() -> None:
    missing = {
        f"{file}::{name}"
        for file, name in named()
        if not (ROOT / file).is_file() or f"def {name}(" not in (ROOT / file).read_text()
    }

    assert len(named()) > 40
    assert missing == set()


def test_everybody_who_could_mean_harm_has_a_test_for_what_they_can_not_do() -> None:
    sections = PAGE.read_text().split("\n## ")[1:]

    assert len(sections) == 5
    assert [s.splitlines()[0] for s in sections if not re.search(r"`tests/.*::", s)] == []
