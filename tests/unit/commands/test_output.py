"""What is printed for people is what was said."""

from __future__ import annotations

import pytest

from together_operator.commands.output import coloured, table
from together_operator.commands.status import _row

WORDS = "no [us-east-9] region: choose one of [us-central-4] or [/models]"


def test_brackets_in_a_table_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "WHAT"), [["a", WORDS], ["[b]", coloured(WORDS, "red")]])

    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "WHAT"]
    assert first.split(maxsplit=1) == ["a", WORDS]
    assert second.split(maxsplit=1) == ["[b]", WORDS]


def test_brackets_in_a_status_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    entry = {
        "namespace": "team",
        "kind": "CustomModel",
        "name": "m",
        "ready": False,
        "status": "[Odd]",
        "message": WORDS,
        "progress": "[1/2]",
        "dollarsPerHour": None,
        "ageSeconds": 5,
    }
    table(("",) * 7, [_row(entry)])

    printed = capsys.readouterr().out
    assert printed.split()[2:4] == ["[Odd]", "[1/2]"]
    assert f" {WORDS} " in printed
