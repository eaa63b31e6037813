"""The header of a safetensors file, checked against the file's size.

Format: 8 bytes little-endian header length, a JSON object of that length, then the tensors' bytes,
which the offsets must cover without gap or overlap
(https://github.com/huggingface/safetensors, "Format").
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from together_operator.archive.check.finding import (
    Finding,
    Listing,
    UnreadableJsonError,
    parse_object,
)

_MAX_HEADER = 100_000_000  # what the safetensors library itself refuses
_FIRST_READ = 64 << 10
_DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    start: int
    stop: int
    declared: int | None
    """Bytes by dtype and shape; None for a dtype that is not known here."""


class BadHeaderError(Exception):
    """`args`: the rule's last part, what is wrong, what to do."""


def safetensors_findings(listing: Listing, name: str) -> tuple[list[Finding], frozenset[str]]:
    """What is wrong with one file, and the names of its tensors where they could be read."""
    try:
        tensors = _read_header(listing, name)
    except BadHeaderError as error:
        rule, problem, remedy = error.args
        return [Finding(f"safetensors/{rule}", "error", f"{name!r} {problem}", remedy)], frozenset()
    return [], frozenset(tensors)


def _read_header(listing: Listing, name: str) -> Mapping[str, _Tensor]:
    size = listing.sizes[name]
    start = listing.read(name, 0, min(size, _FIRST_READ))
    if len(start) < 8:
        raise BadHeaderError("truncated", f"has only {size} bytes", "copy or download it again")
    if start.startswith(b"version https://git-lfs"):
        raise BadHeaderError(
            "lfs-pointer", "is a Git LFS pointer, not the weights", "run `git lfs pull` first"
        )
    length = int.from_bytes(start[:8], "little")
    if length > _MAX_HEADER:
        raise BadHeaderError(
            "header", "is not safetensors: its header length is absurd", "convert or download it"
        )
    if 8 + length > size:
        raise BadHeaderError("truncated", "ends within its own header", "copy or download it again")
    if 8 + length > len(start):
        start += listing.read(name, len(start), 8 + length - len(start))
    try:
        document = parse_object(start[8 : 8 + length])
    except UnreadableJsonError as error:
        raise BadHeaderError(
            "header", f"has a header that {error.args[0]}", "convert or download it again"
        ) from None
    tensors = {tensor.name: tensor for tensor in _tensors(document)}
    _check_coverage(tensors, size - 8 - length)
    return tensors


def _tensors(document: Mapping[str, Any]) -> Iterator[_Tensor]:
    for name, value in document.items():
        if name == "__metadata__":
            continue
        try:
            start, stop = value["data_offsets"]
            shape = [int(length) for length in value["shape"]]
            bits = _DTYPE_BITS.get(value["dtype"])
            good = isinstance(start, int) and isinstance(stop, int) and 0 <= start <= stop
        except (TypeError, KeyError, ValueError):
            good = False
        if not good or any(length < 0 for length in shape):
            raise BadHeaderError(
                "header", f"describes tensor {name[:80]!r} wrongly", "save the model again"
            )
        yield _Tensor(name, start, stop, None if bits is None else prod(shape) * bits // 8)


def _check_coverage(tensors: Mapping[str, _Tensor], data_size: int) -> None:
    position = 0
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.stop)):
        if tensor.start != position:
            raise BadHeaderError(
                "coverage",
                f"has a gap or overlap before tensor {tensor.name[:80]!r}",
                "save the model again",
            )
        if tensor.declared is not None and tensor.declared != tensor.stop - tensor.start:
            raise BadHeaderError(
                "tensor-size",
                f"gives tensor {tensor.name[:80]!r} {tensor.stop - tensor.start} bytes where its "
                f"shape needs {tensor.declared}",
                "save the model again",
            )
        position = tensor.stop
    if position > data_size:
        raise BadHeaderError(
            "truncated",
            f"lacks {position - data_size} of the bytes that its header promises",
            "copy or download it again",
        )
    if position < data_size:
        raise BadHeaderError(
            "trailing",
            f"has {data_size - position} bytes that no tensor covers",
            "copy or download it again",
        )
