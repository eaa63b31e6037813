"""Records that remember what they were, so that an answer can come from an old copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Versions(Generic[T]):
    """One thing over time; None is what it is after its deletion.

    Args:
        owner: UID of the object on whose behalf the operator made it; None: somebody else did.
    """

    def __init__(self, now: float, first: T, owner: str | None) -> None:
        self.owner = owner
        self._versions: list[tuple[float, T | None]] = [(now, first)]

    @property
    def current(self) -> T | None:
        """What it is now."""
        return self._versions[-1][1]

    @property
    def changes(self) -> int:
        """How often it was changed since its creation."""
        return len(self._versions) - 1

    def put(self, now: float, version: T | None) -> None:
        """It changed."""
        self._versions.append((now, version))

    def at(self, moment: float) -> T | None:
        """What it was at a moment; None before its creation."""
        for since, version in reversed(self._versions):
            if since <= moment:
                return version
        return None


class Table(Generic[T]):
    """Things of one kind by id, in order of creation."""

    def __init__(self) -> None:
        self._rows: dict[str, Versions[T]] = {}

    def __iter__(self) -> Iterator[tuple[str, Versions[T]]]:
        """All that ever were, with their ids."""
        return iter(self._rows.items())

    def add(self, id_: str, row: Versions[T]) -> None:
        """Keep a new thing."""
        self._rows[id_] = row

    def row(self, id_: str) -> Versions[T] | None:
        """A thing that is or was."""
        return self._rows.get(id_)

    def at(self, moment: float) -> list[T]:
        """All that there were at a moment, newest first."""
        found = (row.at(moment) for row in self._rows.values())
        return [item for item in found if item is not None][::-1]

    def live(self) -> list[tuple[str, Versions[T]]]:
        """All that there are now, with their ids."""
        return [(id_, row) for id_, row in self._rows.items() if row.current is not None]
