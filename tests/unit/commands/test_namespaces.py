"""Which namespaces are listed: the context's, as kubectl does it, so that a Role is enough."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tests.unit.commands.clusters import seen_in
from together_operator.commands.cost import cost_command
from together_operator.commands.status import status_command


@pytest.mark.parametrize("command", [cost_command, status_command], ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ([], "context"),
        (["-n", "team"], "team"),
        (["-A"], None),
        (["--all-namespaces", "-n", "team"], None),
    ],
)
def test_the_namespaces_that_are_listed(
    command: click.Command, args: list[str], asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = seen_in("context", monkeypatch)

    result = CliRunner().invoke(command, args)

    assert result.exit_code == 0, result.output
    assert seen == {asked}
