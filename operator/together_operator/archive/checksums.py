"""CRC-32 of files that are read in pieces, out of order, by several threads."""

import threading
from collections.abc import Callable, Iterable

from isal import isal_zlib

crc32: Callable[..., int] = isal_zlib.crc32
"""As `zlib.crc32`, at memory speed."""

combine_crc32: Callable[[int, int, int], int] = isal_zlib.crc32_combine
"""CRC-32 of A+B from those of A and B and the length of B."""


class AbandonedError(Exception):
    """Nobody will compute this checksum any more: the run failed elsewhere or was stopped."""


class MismatchError(Exception):
    """A file's ranges don't add up to the CRC-32 that the store keeps for it; `args[0]` is the
    entry's index.
    """


class FileChecksums:
    """Collects the CRC-32 of ranges and gives out that of a file once its ranges cover it.

    `unverified` are files whose source promises a hash, which `verified` says was found.
    """

    def __init__(self, sizes: list[int], unverified: Iterable[int] = ()) -> None:
        self._sizes = sizes
        self._ranges: list[dict[int, tuple[int, int]]] = [{} for _ in sizes]
        self._missing = list(sizes)
        self._done: dict[int, int] = {index: 0 for index, size in enumerate(sizes) if not size}
        self._expected: dict[int, int] = {}
        self._unverified = set(unverified)
        self._changed = threading.Condition()
        self._abandoned = False

    def add(self, index: int, offset: int, length: int, crc: int) -> None:
        """Record a range of entry `index`; one that is known is ignored. Raises `MismatchError`."""
        with self._changed:
            ranges = self._ranges[index]
            if index in self._done or offset in ranges:
                return
            ranges[offset] = (length, crc)
            self._missing[index] -= length
            if self._missing[index]:
                return
            total = 0
            for start in sorted(ranges):
                total = combine_crc32(total, ranges[start][1], ranges[start][0])
            self._done[index] = total
            ranges.clear()
            self._changed.notify_all()
            if self._expected.get(index, total) != total:
                raise MismatchError(index)

    def expect(self, index: int, crc: int) -> None:
        """Record a whole file's CRC-32 as the store keeps it; the ranges must agree with it."""
        with self._changed:
            self._expected[index] = crc
            self._changed.notify_all()

    def verified(self, index: int) -> None:
        """The file is what its source promises."""
        with self._changed:
            self._unverified.discard(index)
            self._changed.notify_all()

    def wait(self, index: int) -> int:
        """The file's CRC-32, as soon as it is known. Raises `AbandonedError`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._abandoned or index in self._done or index in self._expected
            )
            if index in self._done:
                return self._done[index]
            if index in self._expected:
                return self._expected[index]
            raise AbandonedError

    def wait_verified(self, index: int) -> None:
        """Until the file is known to be what its source promises. Raises `AbandonedError`."""
        if index not in self._unverified:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or index not in self._unverified)
            if index in self._unverified:
                raise AbandonedError

    def abandon(self) -> None:
        """Wake everyone who waits; nothing more will come."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
