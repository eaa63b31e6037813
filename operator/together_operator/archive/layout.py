"""How an archive is cut into the parts of a multipart upload.

A *bulk* part is a range of one file and nothing else: it can be copied by the store or streamed
with flat memory, in any order. A *mixed* part holds headers, small files and the head of the next
large file, which tops it up to the store's minimum; it goes through memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.formats import LAYOUT_VERSION
from together_operator.archive.plan import FileRange, Plan

MIB = 1 << 20
MIN_PART = 5 * MIB
MAX_PART = 5 << 30
STREAM_PART = 16 * MIB
COPY_PART = 128 * MIB
MIXED_PART = 8 * MIB
MAX_OBJECT = 10_000 * MAX_PART  # 48.8 TiB
# S3 has part numbers 1 to 10,000; the last three are the markers of `resume`.
MAX_PARTS = 9_997


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `start` to `stop` of the archive; `bulk` is the file range they are, if just one."""

    number: int
    start: int
    stop: int
    bulk: FileRange | None

    @property
    def size(self) -> int:
        return self.stop - self.start


LayoutKind = Literal["stream", "copy", "equal", "compressed"]


def layout_name(kind: LayoutKind) -> str:
    """Identifies a way of cutting; parts of one are worth nothing to another."""
    size = COPY_PART if kind == "copy" else STREAM_PART
    return f"{LAYOUT_VERSION}:{kind}:{size}:{MIXED_PART}"


def lay_out(plan: Plan, kind: LayoutKind) -> Sequence[Part]:
    """The parts of `plan`; none for a compressed archive, which is cut as it comes."""
    if kind == "compressed":
        return []
    if kind == "equal":
        return divide_equally(plan, STREAM_PART)
    return divide(plan, COPY_PART if kind == "copy" else STREAM_PART)


def divide(plan: Plan, part_size: int, mixed_size: int = MIXED_PART) -> Sequence[Part]:
    """Cut along file boundaries, with at most `MAX_PARTS` parts of at least 5 MiB but the last.

    `part_size` (bytes) is the wish for bulk parts; it grows where the archive needs it.
    """
    _refuse_too_large(plan)
    part_size = max(part_size, -(-plan.size // 9_000))
    while True:
        parts = _along_files(plan, part_size, mixed_size)
        if len(parts) <= MAX_PARTS:
            return parts
        part_size, mixed_size = part_size * 2, mixed_size * 2


def divide_equally(plan: Plan, part_size: int) -> Sequence[Part]:
    """Parts of one size (but the last), for stores that accept nothing else."""
    _refuse_too_large(plan)
    part_size = max(part_size, -(-plan.size // 9_000))
    return [
        _part(plan, number, start, min(start + part_size, plan.size))
        for number, start in enumerate(range(0, plan.size, part_size), start=1)
    ]


def _along_files(plan: Plan, part_size: int, mixed_size: int) -> list[Part]:
    parts: list[Part] = []
    start = 0  # of the mixed part that is being filled

    def close(stop: int) -> None:
        nonlocal start
        while stop > start:
            end = stop if stop - start < mixed_size + MIN_PART else start + mixed_size
            parts.append(_part(plan, len(parts) + 1, start, end))
            start = end

    for index, entry in enumerate(plan.entries):
        data = plan.data_offset(index)
        while data - start >= mixed_size + MIN_PART:
            parts.append(_part(plan, len(parts) + 1, start, start + mixed_size))
            start += mixed_size
        head = max(0, MIN_PART - (data - start))
        bulk = entry.size - head
        if bulk < max(MIN_PART, mixed_size):
            continue
        close(data + head)
        count = -(-bulk // part_size)
        for number in range(count):
            # Even shares, so that none falls below the minimum.
            end = data + head + bulk * (number + 1) // count
            parts.append(_part(plan, len(parts) + 1, start, end))
            start = end
    close(plan.size)
    return parts


def _part(plan: Plan, number: int, start: int, stop: int) -> Part:
    pieces = plan.pieces(start, stop)
    first = next(pieces)
    alone = isinstance(first, FileRange) and next(pieces, None) is None
    return Part(number, start, stop, first if alone and isinstance(first, FileRange) else None)


def _refuse_too_large(plan: Plan) -> None:
    if plan.size > MAX_OBJECT:
        raise SourceUnacceptable(
            f"the archive would have {plan.size} bytes; S3 takes objects up to {MAX_OBJECT}"
        )
