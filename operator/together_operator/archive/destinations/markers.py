"""How an unfinished upload says which plan it belongs to.

The list of uploads shows neither metadata nor content, and a key that the user fixed cannot hold
the digest. So each upload begins with three small parts, numbered 9,998 to 10,000, whose *sizes*
spell 48 bits of a hash of the plan's digest and of how the archive is cut. They are not named when
the upload is completed, so the store drops them. For stores that want all parts named there are
notes instead (see `s3_notes`).
"""

import hashlib
from collections.abc import Iterator, Mapping

from together_operator.archive.checksums import crc32

MARKER_NUMBERS = (9_998, 9_999, 10_000)
_MAX_MARKER = 1 << 16
_ABANDONED_SECONDS = 24 * 3600.0


def marker_sizes(digest: str, layout: str) -> Mapping[int, int]:
    """Part number → size in bytes (1 to 65,536) for a plan's digest and a layout's name."""
    spelled = hashlib.sha256(f"{digest} {layout}".encode()).hexdigest()
    return {
        number: 1 + int(spelled[4 * i : 4 * i + 4], 16) for i, number in enumerate(MARKER_NUMBERS)
    }


def is_ours(sizes: Mapping[int, int]) -> bool:
    """Whether an upload with parts of these sizes was begun by this program, for whatever plan."""
    return all(0 < sizes.get(number, 0) <= _MAX_MARKER for number in MARKER_NUMBERS)


def is_abandoned(sizes: Mapping[int, int], age: float) -> bool:
    """Whether nothing but a beginning is there, a day after it (`age` in seconds): a run that was
    killed before its last marker, or within its probe, leaves that.
    """
    return age > _ABANDONED_SECONDS and all(size <= _MAX_MARKER for size in sizes.values())


def belongs_to(sizes: Mapping[int, int], digest: str, layout: str) -> bool:
    expected = marker_sizes(digest, layout)
    return all(sizes.get(number) == size for number, size in expected.items())


class MarkerBody:
    """Zeros, `size` bytes of them."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.crc = crc32(bytes(size))

    def blocks(self) -> Iterator[memoryview]:
        yield memoryview(bytes(self.size))
