"""`together-operator status --watch`: it outlives an API server that is away for a moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from together_operator.commands.status import Body, tables
from together_operator.domain.errors import Forbidden, OperatorError, Unavailable

MODEL: Body = {
    "kind": "CustomModel",
    "metadata": {
        "namespace": "team",
        "name": "chat",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    },
}


def looks(*answers: Sequence[Body] | OperatorError) -> Callable[[], Awaitable[Sequence[Body]]]:
    """One answer after the other."""
    rest = iter(answers)

    async def look() -> Sequence[Body]:
        answer = next(rest)
        if isinstance(answer, OperatorError):
            raise answer
        return answer

    return look


def text(table: Table) -> str:
    out = StringIO()
    Console(file=out, width=160).print(table)
    return out.getvalue()


async def test_while_kubernetes_is_away_the_last_table_stays_and_says_so() -> None:
    away = Unavailable("Kubernetes can't be reached: ClientConnectorError")
    watched = tables(looks([MODEL], away, []))

    shown = [text(await anext(watched)) for _ in range(3)]

    assert ["custommodel/chat" in each for each in shown] == [True, True, False]
    assert ["ClientConnectorError; asking again" in each for each in shown] == [False, True, False]


@pytest.mark.parametrize(
    "answers",
    [[Unavailable("away")], [[MODEL], Forbidden("not permitted", status=403)]],
    ids=["at the first look", "what does not pass by itself"],
)
async def test_else_an_error_ends_it(answers: list[Sequence[Body] | OperatorError]) -> None:
    watched = tables(looks(*answers))
    for _ in answers[1:]:
        await anext(watched)
    with pytest.raises(OperatorError):
        await anext(watched)
