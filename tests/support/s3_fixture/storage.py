"""Memory that is touched once, and content that is shared by reference."""

import hashlib
import itertools
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from isal import isal_zlib

PAGE = 1 << 20


class Arena:
    """A memory file cut into pages of 1 MiB; `touch` bytes are made resident at the start.

    The first touch of a page is very slow on a virtual machine, so freed pages are used again
    first.
    """

    def __init__(self, size: int, touch: int = 0) -> None:
        self.descriptor = os.memfd_create("s3-fixture")
        weakref.finalize(self, os.close, self.descriptor)
        os.ftruncate(self.descriptor, size)
        self._mapping = mmap.mmap(self.descriptor, size)
        self.memory = memoryview(self._mapping)
        pages = size // PAGE
        self._free = list(range(pages - 1, -1, -1))
        self._lock = threading.Lock()
        zeros = bytes(PAGE)
        for page in range(min(pages, touch // PAGE)):
            self.memory[page * PAGE : (page + 1) * PAGE] = zeros

    def clear(self) -> None:
        """Give the memory back; whoever still reads finds zeros.

        A thread that still serves a request has the server, and that has the arena: all arenas of
        the tests together were 17 GiB before the garbage collector came to them.
        """
        self._mapping.madvise(mmap.MADV_REMOVE)

    def allocate(self, size: int) -> "Block":
        count = -(-size // PAGE)
        with self._lock:
            if len(self._free) < count:
                raise MemoryError("the fixture's arena is full")
            pages = self._free[-count:][::-1] if count else []
            del self._free[len(self._free) - count :]
        block = Block(self, pages, size)
        weakref.finalize(block, self._release, pages)
        return block

    def _release(self, pages: list[int]) -> None:
        with self._lock:
            self._free.extend(reversed(pages))


class Block:
    """Bytes in pages of an arena, freed when nobody refers to it any more."""

    def __init__(self, arena: Arena, pages: Sequence[int], size: int) -> None:
        self.arena = arena
        self.size = size
        self._runs: list[tuple[int, int, int]] = []  # offset in block, offset in arena, length
        position = 0
        for page in pages:
            length = min(PAGE, size - position)
            if self._runs and sum(self._runs[-1][1:]) == page * PAGE:
                offset, place, before = self._runs[-1]
                self._runs[-1] = (offset, place, before + length)
            else:
                self._runs.append((position, page * PAGE, length))
            position += length

    @classmethod
    def forgotten(cls, arena: Arena, size: int) -> "Block":
        """Claims `size` bytes, and delivers the arena's first page again and again."""
        block = cls(arena, [], size)
        block._runs = [(offset, 0, min(PAGE, size - offset)) for offset in range(0, size, PAGE)]
        return block

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """(offset in the arena, length) of the bytes `start` to `stop`."""
        for offset, place, length in self._runs:
            low, high = max(start, offset), min(stop, offset + length)
            if low < high:
                yield place + low - offset, high - low

    def views(self, start: int, stop: int) -> Iterator[memoryview]:
        for place, length in self.runs(start, stop):
            yield self.arena.memory[place : place + length]


@dataclass(frozen=True)
class Content:
    """A sequence of (block, start, stop)."""

    extents: tuple[tuple[Block, int, int], ...]

    @property
    def size(self) -> int:
        return sum(stop - start for _, start, stop in self.extents)

    def slice(self, start: int, stop: int) -> "Content":
        out, position = [], 0
        for block, low, high in self.extents:
            length = high - low
            first, last = max(start - position, 0), min(stop - position, length)
            if first < last:
                out.append((block, low + first, low + last))
            position += length
        return Content(tuple(out))

    def runs(self) -> Iterator[tuple[int, int]]:
        for block, start, stop in self.extents:
            yield from block.runs(start, stop)

    def views(self) -> Iterator[memoryview]:
        for block, start, stop in self.extents:
            yield from block.views(start, stop)

    def __bytes__(self) -> bytes:
        return b"".join(self.views())

    @classmethod
    def joined(cls, contents: "Sequence[Content]") -> "Content":
        return cls(tuple(itertools.chain.from_iterable(content.extents for content in contents)))


class CrcCache:
    """CRC-32 of ranges of blocks, computed once: what a real store's own machines would do."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Block, dict[tuple[int, int], int]] = (
            weakref.WeakKeyDictionary()
        )
        self._lock = threading.Lock()

    def put(self, block: Block, start: int, stop: int, crc: int) -> None:
        with self._lock:
            self._known.setdefault(block, {})[start, stop] = crc

    def crc(self, content: Content) -> int:
        total = 0
        for block, start, stop in content.extents:
            with self._lock:
                crc = self._known.get(block, {}).get((start, stop))
            if crc is None:
                crc = 0
                for view in block.views(start, stop):
                    crc = isal_zlib.crc32(view, crc)
                self.put(block, start, stop, crc)
            total = isal_zlib.crc32_combine(total, crc, stop - start)
        return total


@dataclass
class StoredPart:
    content: Content
    etag: str
    crc: int | None


@dataclass
class StoredObject:
    content: Content
    etag: str
    metadata: dict[str, str]
    crc: int | None = None
    """Full-object CRC-32, where the store keeps one."""


@dataclass
class StoredUpload:
    bucket: str
    key: str
    metadata: dict[str, str]
    algorithm: str | None
    checksum_type: str
    initiated: datetime = field(default_factory=lambda: datetime.now(UTC))
    parts: dict[int, StoredPart] = field(default_factory=dict)


@dataclass
class Bucket:
    objects: dict[str, StoredObject] = field(default_factory=dict)


class Storage:
    """Buckets and uploads; callers hold `lock` around reads and changes of the dictionaries."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self.crcs = CrcCache()
        self.lock = threading.RLock()
        self.buckets: dict[str, Bucket] = {}
        self.uploads: dict[str, StoredUpload] = {}
        self._serial = itertools.count(1)

    def etag(self, *of: object, unique: bool = False) -> str:
        """An opaque ETag; not the MD5, so that nobody can come to rely on that."""
        parts = [str(item) for item in of] + ([str(next(self._serial))] if unique else [])
        return '"' + hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest() + '"'

    def upload_id(self) -> str:
        return f"upload-{next(self._serial):08d}"

    def put_bytes(self, bucket: str, key: str, data: bytes) -> StoredObject:
        """Store an object without going through HTTP."""
        block = self.arena.allocate(len(data))
        position = 0
        for view in block.views(0, len(data)):
            view[:] = data[position : position + len(view)]
            position += len(view)
        return self.put_content(bucket, key, Content(((block, 0, len(data)),) if data else ()))

    def put_content(
        self, bucket: str, key: str, content: Content, metadata: dict[str, str] | None = None
    ) -> StoredObject:
        crc = self.crcs.crc(content)
        stored = StoredObject(content, self.etag(crc, content.size), metadata or {})
        with self.lock:
            self.buckets.setdefault(bucket, Bucket()).objects[key] = stored
        return stored
