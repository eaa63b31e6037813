"""What the planner needs from a place that holds weights."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the source.

    `name` is relative to the source's root, with `/`. `size` in bytes. `identity` changes when the
    content may have changed (`etag:...`, `sha256:...`, `mtime:...`); it is compared, never computed
    from the bytes, except that `sha256:` and `git:` are verified while reading.
    """

    name: str
    size: int
    identity: str


class RangeReader(Protocol):
    """An open range of one entry; delivers exactly its length or raises."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill at most `buffer`, return the number of bytes; 0 only at the end of the range."""


class Source(Protocol):
    """A listing and ranged reads. All methods may be called from several threads."""

    @property
    def uri(self) -> str:
        """Where this is, for people and for keys; without credentials."""

    @property
    def revision(self) -> str | None:
        """The commit that is read, where the source has such a thing; known after `entries`."""

    def entries(self) -> Sequence[Entry]:
        """Every file, in any order. Raises `SourceUnacceptable` for what can't be archived."""

    def open(self, entry: Entry, offset: int, length: int) -> AbstractContextManager[RangeReader]:
        """Read `length` bytes from `offset`. Raises `SourceChanged` when the entry has changed."""

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        """Look at every entry again. Raises `SourceChanged` naming the first that differs."""
