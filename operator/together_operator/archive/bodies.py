"""The bodies of parts: a file's range read lazily, or a few buffers that are there already."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

from together_operator.archive.checksums import crc32
from together_operator.archive.plan import FileRange, Plan
from together_operator.archive.progress import Progress
from together_operator.archive.sources import Source

# Larger blocks cost memory on every connection; smaller ones cost system calls.
BLOCK = 512 << 10


class BulkBody:
    """A range of one file, block by block; `crc` is there after `blocks` ran to its end.

    `watch` sees each block once, in order, even when a try is repeated.
    """

    def __init__(
        self,
        source: Source,
        plan: Plan,
        bulk: FileRange,
        progress: Progress | None = None,
        watch: Callable[[memoryview], None] | None = None,
    ) -> None:
        self.size = bulk.length
        self.crc: int | None = None
        self._source = source
        self._entry = plan.entries[bulk.index]
        self._bulk = bulk
        self._progress = progress
        self._watch = watch
        self._watched = 0
        self._reported = 0

    def blocks(self) -> Iterator[memoryview]:
        self._report(-self._reported)
        buffer = memoryview(bytearray(min(BLOCK, self.size)))
        crc = position = 0
        with self._source.open(self._entry, self._bulk.offset, self._bulk.length) as reader:
            while count := reader.readinto(buffer):
                block = buffer[:count]
                crc = crc32(block, crc)
                position += count
                if self._watch is not None and position > self._watched:
                    self._watch(block[max(0, count - (position - self._watched)) :])
                    self._watched = position
                if position == self.size:
                    self.crc = crc
                yield block
                self._report(count)

    def read_only(self, progress: Progress) -> int:
        """Read to the end without sending; returns the CRC-32."""
        for block in self.blocks():
            progress.read_only(len(block))
        assert self.crc is not None
        return self.crc

    def give_up(self) -> None:
        """Take back what was reported as under way."""
        self._report(-self._reported)

    def _report(self, count: int) -> None:
        if self._progress is not None and count:
            self._reported += count
            self._progress.moving(count)


class BufferBody:
    """Buffers in memory; `crc` is known from the start."""

    def __init__(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        self.size = sum(len(buffer) for buffer in buffers)
        self._buffers = buffers
        crc = 0
        for buffer in buffers:
            crc = crc32(buffer, crc)
        self.crc = crc

    def blocks(self) -> Iterator[memoryview]:
        for buffer in self._buffers:
            if buffer:
                yield memoryview(buffer)


class FileHash:
    """The hash that a source promises for a file (`sha256:` or `git:`), fed in order."""

    def __init__(self, identity: str, size: int) -> None:
        kind, _, self._expected = identity.partition(":")
        self._hash = hashlib.sha256()
        if kind == "git":
            self._hash = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)

    @staticmethod
    def is_promised(identity: str) -> bool:
        return identity.startswith(("sha256:", "git:"))

    def update(self, block: memoryview) -> None:
        self._hash.update(block)

    def matches(self) -> bool:
        return self._hash.hexdigest() == self._expected
