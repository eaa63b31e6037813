"""Lists at Together that many objects share, so that polling costs pages and not objects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from together_operator.ports import Priority


class Identified(Protocol):
    """Something with an id at Together."""

    @property
    def id(self) -> str:
        """Unique id."""


T = TypeVar("T", bound=Identified)

REST = 5.0
"""A list is read again after so many times as long as its reading took, where that matters less."""

CALM_REST = 1000.0
"""The same for the looks at what is settled, which change nothing: a thousandth of the time."""

LONGEST_REST = 20.0
"""Seconds. A reading that took long because Together was away tells nothing about the next one."""


class Snapshot(Generic[T]):
    """One reading of a list, with an index: `group` says under which word an item is looked up."""

    def __init__(self, items: Iterable[T], taken: float, group: Callable[[T], str]) -> None:
        self.taken = taken
        self._group = group
        self._by_id: dict[str, T] = {}
        self._groups: dict[str, dict[str, T]] = {}
        for item in items:
            self.put(item)

    def __iter__(self) -> Iterator[T]:
        """Each item, in the list's order."""
        return iter(self._by_id.values())

    def get(self, item_id: str) -> T | None:
        """The item with this id."""
        return self._by_id.get(item_id)

    def find(self, word: str) -> list[T]:
        """Items of one group, in the list's order."""
        return list(self._groups.get(word, {}).values())

    def all(self) -> list[T]:
        """Every item."""
        return list(self._by_id.values())

    def put(self, item: T) -> None:
        """Add or replace an item."""
        self.remove(item.id)
        self._by_id[item.id] = item
        self._groups.setdefault(self._group(item), {})[item.id] = item

    def remove(self, item_id: str) -> None:
        """Drop an item, if it is there."""
        item = self._by_id.pop(item_id, None)
        if item is None:
            return
        group = self._groups[self._group(item)]
        del group[item_id]
        if not group:
            del self._groups[self._group(item)]


class Listing(Generic[T]):
    """The newest snapshot of one list; simultaneous readers share one reading.

    Our own writes are put into it at once, so that the next look is not older than they are.

    Args:
        fetch: reads the whole list.
        group: index word of an item.
        clock: seconds, the same that `since` is given in.
    """

    def __init__(
        self,
        fetch: Callable[[Priority], Awaitable[Sequence[T]]],
        group: Callable[[T], str],
        clock: Callable[[], float],
    ) -> None:
        self._fetch = fetch
        self._group = group
        self._clock = clock
        self._snapshot: Snapshot[T] | None = None
        self._reading: asyncio.Task[Snapshot[T]] | None = None
        self._reading_since = 0.0
        self._writes: list[tuple[float, str, T | None]] = []
        self._took = 0.0

    def age(self, least: float, *, calm: float | None = None) -> float:
        """How old a list may be: `least` seconds, and more where it is long.

        Else a burst of new objects beside 10,000 old ones would do nothing but read 20 pages.

        Args:
            calm: the most that it may be where it is only looked at to see that nothing has
                changed.
        """
        if calm is not None:
            return min(calm, max(least, CALM_REST * self._took))
        return max(least, min(REST * self._took, LONGEST_REST))

    def newest(self, since: float) -> Snapshot[T] | None:
        """A snapshot whose reading began at `since` or later, if there is one already."""
        snapshot = self._snapshot
        return snapshot if snapshot is not None and snapshot.taken >= since else None

    async def read(self, since: float, priority: Priority = Priority.POLLING) -> Snapshot[T]:
        """A snapshot whose reading began at `since` or later."""
        while True:
            known = self.newest(since)
            if known is not None:
                return known
            reading = self._reading
            if reading is None or reading.done():
                self._reading_since = self._clock()
                reading = self._reading = asyncio.create_task(self._read(priority))
            began = self._reading_since
            # Shielded: one reader that is cancelled must not take the list from the others.
            try:
                snapshot = await asyncio.shield(reading)
            except Exception:
                if began >= since:
                    raise
                continue  # somebody else's earlier reading failed; ours is still to be made
            if snapshot.taken >= since:
                return snapshot

    def put(self, item: T) -> None:
        """Remember what we created or changed."""
        self._writes.append((self._clock(), item.id, item))
        if self._snapshot is not None:
            self._snapshot.put(item)

    def remove(self, item_id: str) -> None:
        """Remember what we deleted."""
        self._writes.append((self._clock(), item_id, None))
        if self._snapshot is not None:
            self._snapshot.remove(item_id)

    async def _read(self, priority: Priority) -> Snapshot[T]:
        began = self._reading_since
        items = await self._fetch(priority)
        self._took = self._clock() - began
        snapshot = Snapshot(items, began, self._group)
        # What we wrote while the pages were read may be missing in them.
        self._writes = [write for write in self._writes if write[0] >= began]
        for _, item_id, item in self._writes:
            if item is None:
                snapshot.remove(item_id)
            else:
                snapshot.put(item)
        self._snapshot = snapshot
        return snapshot
