"""Archive formats as arithmetic: what stands before, after and behind the files, byte for byte."""

from collections.abc import Sequence
from typing import Protocol

from together_operator.archive.sources import Entry

# A plan of another version may lay out other bytes; it is part of the plan's digest.
LAYOUT_VERSION = 1


class Format(Protocol):
    """Sizes are known before a byte is read, so that any slice of an archive can be made alone."""

    name: str
    needs_crc: bool
    """Whether headers and trailer carry each file's CRC-32."""

    def header_size(self, entry: Entry) -> int: ...

    def header(self, entry: Entry, crc: int) -> bytes: ...

    def padding(self, entry: Entry) -> int:
        """Zero bytes after the file."""

    def trailer_size(self, entries: Sequence[Entry], offsets: Sequence[int]) -> int: ...

    def trailer(
        self, entries: Sequence[Entry], offsets: Sequence[int], crcs: Sequence[int]
    ) -> bytes:
        """What ends the archive; `offsets` are those of the headers."""
