"""How an unfinished upload says which plan it belongs to.

The list of uploads shows neither metadata nor content, and a key that the user fixed cannot hold
the digest. So each upload begins with three small parts, numbered 9,998 to 10,000, whose *sizes*
spell 48 bits of the plan's digest. They are not named when the upload is completed, so the store
drops them.
"""

from collections.abc import Mapping

MARKER_NUMBERS = (9_998, 9_999, 10_000)
_MAX_MARKER = 1 << 16


def marker_sizes(digest: str) -> Mapping[int, int]:
    """Part number → size in bytes (1 to 65,536) for a plan's hex digest."""
    return {
        number: 1 + int(digest[4 * i : 4 * i + 4], 16) for i, number in enumerate(MARKER_NUMBERS)
    }


def is_ours(sizes: Mapping[int, int]) -> bool:
    """Whether an upload with parts of these sizes was begun by this program, for whatever plan."""
    return all(0 < sizes.get(number, 0) <= _MAX_MARKER for number in MARKER_NUMBERS)


def belongs_to(sizes: Mapping[int, int], digest: str) -> bool:
    return all(sizes.get(number) == size for number, size in marker_sizes(digest).items())
