"""Lists of Together's v2 API, read page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from together_operator.adapters.together_v2.fields import MalformedError, understood
from together_operator.adapters.together_v2.http import ApiClient, Json, Request
from together_operator.domain import errors
from together_operator.ports import Priority

T = TypeVar("T")
PAGE_SIZE = 500
"""Documented as the maximum for deployments and rollouts; where it is refused, the default is
taken instead."""

_MAX_PAGES = 2000


@dataclass(frozen=True, slots=True)
class _Page:
    """One answer: its digest, and what was made of it."""

    digest: bytes
    items: list[Any]
    cursor: str


class Lists:
    """See the module.

    A list that is polled is mostly what it was, and to make records of it takes ten times as long
    as to read it: a page with the same bytes is not parsed again.

    Args:
        api: of one key.
    """

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._unpaged: set[str] = set()
        self._known: dict[str, dict[str, _Page]] = {}

    async def read(
        self,
        path: str,
        parse: Callable[[Json], T],
        priority: Priority,
        params: dict[str, str] | None = None,
    ) -> list[T]:
        """Every item of a list."""
        pages = await self._pages(path, parse, priority, params or {}, {})
        return [item for page in pages.values() for item in page.items]

    async def poll(self, path: str, parse: Callable[[Json], T], priority: Priority) -> list[T]:
        """The same of a list that will be read again and again; items must be immutable."""
        pages = await self._pages(path, parse, priority, {}, self._known.get(path, {}))
        self._known[path] = pages
        return [item for page in pages.values() for item in page.items]

    async def _pages(
        self,
        path: str,
        parse: Callable[[Json], T],
        priority: Priority,
        params: dict[str, str],
        known: dict[str, _Page],
    ) -> dict[str, _Page]:
        """By the cursor that each was asked for with, in order."""
        found: dict[str, _Page] = {}
        cursor = ""
        for _ in range(_MAX_PAGES):
            before = known.get(cursor)
            digest, answer = await self._ask(
                path, params, cursor, priority, before.digest if before is not None else b""
            )
            if answer is None:
                assert before is not None  # else its digest could not be the same
                page = before
            else:
                page = _Page(digest, items_of(answer, parse), answer.get("next_cursor") or "")
            found[cursor] = page
            cursor = page.cursor
            if not cursor:
                return found
            if cursor in found:
                break
        raise errors.Unavailable("A list at Together does not end: its cursor repeats itself")

    async def _ask(
        self, path: str, params: dict[str, str], cursor: str, priority: Priority, known: bytes
    ) -> tuple[bytes, Json | None]:
        params = {**params, "after": cursor} if cursor else params
        if path not in self._unpaged:
            sized = {**params, "limit": str(PAGE_SIZE)}
            try:
                return await self._api.send_unless(known, Request("GET", path, priority, sized))
            except errors.Rejected:
                if cursor:
                    raise
                self._unpaged.add(path)
        return await self._api.send_unless(known, Request("GET", path, priority, params))


def items_of(answer: Json, parse: Callable[[Json], T]) -> list[T]:
    """The items of one page; raises Unavailable."""
    data = answer.get("data")

    def items() -> list[T]:
        # An item must not be passed over: what a list lacks counts as gone.
        if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
            raise MalformedError("data")
        return [parse(item) for item in data]

    return understood(items)
