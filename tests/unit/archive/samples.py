"""Sources made up for tests: bytes in memory, or files of any size that are all zeros."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from together_operator.archive.checksums import combine_crc32, crc32
from together_operator.archive.destinations.local_file import LocalFile
from together_operator.archive.plan import FileRange, Plan, render
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result
from together_operator.archive.run import Workers, archive, prepare
from together_operator.archive.sources import Entry, RangeReader, Source


class MemorySource:
    """Files by name; `verify_unchanged` does nothing, because nobody can change them."""

    uri = "memory:///model"
    revision: str | None = None

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def entries(self) -> Sequence[Entry]:
        return [Entry(name, len(data), f"v{crc32(data)}") for name, data in self._files.items()]

    @contextmanager
    def open(self, entry: Entry, offset: int, length: int) -> Iterator[RangeReader]:
        yield MemoryRange(memoryview(self._files[entry.name])[offset : offset + length])

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        pass


class MemoryRange:
    def __init__(self, rest: memoryview) -> None:
        self._rest = rest

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def archive_to_file(source: Source, path: Path, archive_format: str, *, workers: int = 3) -> Result:
    """The whole way, without the checks of a model's structure."""
    return archive(
        prepare(source, archive_format, check=False),
        source,
        LocalFile(path),
        Progress(),
        Workers(workers, workers, 2, threading.Event()),
    )


def crc_of_zeros(size: int) -> int:
    """CRC-32 of `size` zero bytes, by doubling."""
    crc, length = 0, 0
    for bit in f"{size:b}":
        crc, length = combine_crc32(crc, crc, length), length * 2
        if bit == "1":
            crc, length = crc32(b"\0", crc), length + 1
    return crc


def write_sparse(plan: Plan, path: Path) -> None:
    """The archive of files that are all zeros, of any size: only what is not zero is written."""
    known = {size: crc_of_zeros(size) for size in {entry.size for entry in plan.entries}}
    with path.open("wb") as out:
        out.truncate(plan.size)
        position = 0
        for piece in plan.pieces(0, plan.size):
            if isinstance(piece, FileRange):
                position += piece.length
                continue
            length = getattr(piece, "length", 0) or piece.stop - piece.start  # type: ignore[union-attr]
            out.seek(position)
            for buffer in render(
                plan,
                position,
                position + length,
                crcs=lambda index: known[plan.entries[index].size],
                files=b"",
            ):
                out.write(buffer)
            position += length
