"""The plan: every byte of the archive as an address space, fixed before anything is read."""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from together_operator.archive.formats import LAYOUT_VERSION, Format
from together_operator.archive.sources import Entry

# Files below this size stand first, sorted by name, so that they share a part or two.
SMALL_FILE = 8 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """`start` and `stop` are positions within the header of entry `index`."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class FileRange:
    """`length` bytes of entry `index` from `offset`."""

    index: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Zeros:
    length: int


@dataclass(frozen=True, slots=True)
class Trailer:
    start: int
    stop: int


Piece = Header | FileRange | Zeros | Trailer


@dataclass(frozen=True)
class Plan:
    """Entries in archive order with the offset of each header; `size` of the archive in bytes."""

    format: Format
    entries: Sequence[Entry]
    offsets: Sequence[int]
    trailer_start: int
    size: int
    compression: str = ""
    """Names the compressor and its version where the archive is compressed as a whole."""
    _header_sizes: Sequence[int] = field(default=(), repr=False)

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 over names, sizes, identities, format and layout version."""
        document = {
            "version": LAYOUT_VERSION,
            "format": self.format.name,
            "compression": self.compression,
            "entries": [[entry.name, entry.size, entry.identity] for entry in self.entries],
        }
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()

    @property
    def name(self) -> str:
        """`zip`, `tar` or `tar.gz`."""
        return "tar.gz" if self.compression else self.format.name

    def data_offset(self, index: int) -> int:
        return self.offsets[index] + self._header_sizes[index]

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """What stands in the archive's bytes `start` to `stop`, in order."""
        index = max(0, bisect_right(self.offsets, start) - 1)
        while start < min(stop, self.trailer_start):
            piece, length = self._piece_at(index, start, stop)
            if piece is not None:
                yield piece
            start += length
            index += 1 if piece is None else 0
        if start < stop:
            yield Trailer(start - self.trailer_start, stop - self.trailer_start)

    def _piece_at(self, index: int, start: int, stop: int) -> tuple[Piece | None, int]:
        """The piece of entry `index` at `start` and its length; None past the entry's end."""
        header_size, size = self._header_sizes[index], self.entries[index].size
        position = start - self.offsets[index]
        length = stop - start
        if position < header_size:
            length = min(length, header_size - position)
            return Header(index, position, position + length), length
        position -= header_size
        if position < size:
            length = min(length, size - position)
            return FileRange(index, position, length), length
        position -= size
        padding = self.format.padding(self.entries[index])
        if position < padding:
            length = min(length, padding - position)
            return Zeros(length), length
        return None, 0


def make_plan(archive_format: Format, entries: Sequence[Entry], compression: str = "") -> Plan:
    """Small files first, then the others, each sorted by name; `entries` must not be empty."""
    ordered = sorted(entries, key=lambda entry: (entry.size >= SMALL_FILE, entry.name.encode()))
    offsets, header_sizes = [], []
    position = 0
    for entry in ordered:
        offsets.append(position)
        header_sizes.append(archive_format.header_size(entry))
        position += header_sizes[-1] + entry.size + archive_format.padding(entry)
    size = position + archive_format.trailer_size(ordered, offsets)
    return Plan(archive_format, ordered, offsets, position, size, compression, header_sizes)


def render(
    plan: Plan,
    start: int,
    stop: int,
    *,
    crcs: Callable[[int], int],
    files: bytes | bytearray | memoryview,
) -> list[bytes | memoryview]:
    """The bytes `start` to `stop` as buffers; `files` holds their file ranges end to end."""
    out: list[bytes | memoryview] = []
    rest = memoryview(files)
    for piece in plan.pieces(start, stop):
        if isinstance(piece, Header):
            crc = crcs(piece.index) if plan.format.needs_crc else 0
            out.append(plan.format.header(plan.entries[piece.index], crc)[piece.start : piece.stop])
        elif isinstance(piece, FileRange):
            out.append(rest[: piece.length])
            rest = rest[piece.length :]
        elif isinstance(piece, Zeros):
            out.append(bytes(piece.length))
        else:
            all_crcs = [crcs(i) if plan.format.needs_crc else 0 for i in range(len(plan.entries))]
            trailer = plan.format.trailer(plan.entries, plan.offsets, all_crcs)
            out.append(trailer[piece.start : piece.stop])
    return out
