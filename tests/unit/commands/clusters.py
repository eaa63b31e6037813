"""A cluster for the commands that read one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from together_operator.commands import cost, status
from together_operator.commands.cluster import Cluster, Where

Body = Mapping[str, Any]


class _Listed(Cluster):
    """Lists what it was given, and notes what it was asked for."""

    def __init__(self, namespace: str, bodies: Sequence[Body], asked: set[str | None]) -> None:
        super().__init__(None, namespace)
        self._bodies = bodies
        self._asked = asked

    async def objects(self, kind: str, namespace: str | None = None) -> list[Body]:
        """All of them."""
        self._asked.add(namespace)
        return list(self._bodies) if kind == "ModelDeployment" else []


def seen_in(
    namespace: str, monkeypatch: pytest.MonkeyPatch, bodies: Sequence[Body] = ()
) -> set[str | None]:
    """Let commands see `bodies`, in a context of that namespace.

    Returns the namespaces that will have been listed; None: all of them.
    """
    asked: set[str | None] = set()

    @asynccontextmanager
    async def connected(where: Where) -> AsyncIterator[Cluster]:
        yield _Listed(where.namespace or namespace, bodies, asked)

    for module in (cost, status):
        monkeypatch.setattr(module, "connected", connected)
    return asked
