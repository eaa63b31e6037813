"""Models that weigh what real ones do and compress as badly."""

import base64
import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.archive.store import Store

GIGABYTE = 1_000_000_000
_COLUMNS = 4096
_DEVIATION = 0.02  # that of freshly initialised, and about that of trained, transformer weights
_AT_ONCE = 16 << 20


@dataclass(frozen=True, slots=True)
class Shape:
    """`shards` files of `shard_bytes` each, give or take a row."""

    shards: int
    shard_bytes: int

    @property
    def rows(self) -> int:
        return self.shard_bytes // (2 * _COLUMNS)

    def name(self, number: int) -> str:
        return f"model-{number:05d}-of-{self.shards:05d}.safetensors"

    def tensor(self, number: int) -> str:
        return f"model.layers.{number}.weight"

    def header(self, number: int) -> bytes:
        """What a shard begins with: one BF16 tensor that takes the rest of it."""
        size = 2 * _COLUMNS * self.rows
        tensor = {"dtype": "BF16", "shape": [self.rows, _COLUMNS], "data_offsets": [0, size]}
        text = json.dumps({self.tensor(number): tensor}).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text

    def small_files(self) -> dict[str, bytes]:
        """Configuration, tokenizer and index."""
        weights = {self.tensor(n): self.name(n) for n in range(1, self.shards + 1)}
        index = {"metadata": {}, "weight_map": weights}
        tokens = {f"token-{number}": number for number in range(30_000)}
        return {
            "config.json": json.dumps({"architectures": ["LlamaForCausalLM"]}).encode(),
            "tokenizer.json": json.dumps({"model": {"type": "BPE", "vocab": tokens}}).encode(),
            "model.safetensors.index.json": json.dumps(index).encode(),
        }


def write_directory(root: Path, shape: Shape) -> None:
    """Normally distributed BF16 weights, all different."""
    root.mkdir(parents=True)
    for name, data in shape.small_files().items():
        (root / name).write_bytes(data)
    for number in range(1, shape.shards + 1):
        with (root / shape.name(number)).open("wb") as out:
            out.write(shape.header(number))
            for block in _weights(number, shape.rows * _COLUMNS):
                out.write(block)


def _weights(seed: int, count: int) -> Iterator[bytes]:
    source = np.random.default_rng(seed)
    while count:
        values = source.standard_normal(min(count, _AT_ONCE), dtype=np.float32)
        values *= np.float32(_DEVIATION)
        yield (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        count -= len(values)


def link_directory(root: Path, shape: Shape, of: Path, of_shape: Shape) -> None:
    """A larger model out of hard links to a smaller one's shards, so that reading it needs no disk
    and no more of the page cache.
    """
    root.mkdir()
    weights = {}
    for number in range(1, shape.shards + 1):
        original = 1 + (number - 1) % of_shape.shards
        (root / shape.name(number)).hardlink_to(of / of_shape.name(original))
        weights[of_shape.tensor(original)] = shape.name(number)
    files = shape.small_files()
    files["model.safetensors.index.json"] = json.dumps({"weight_map": weights}).encode()
    for name, data in files.items():
        (root / name).write_bytes(data)


def compose(store: Store, prefix: str, shape: Shape, of: str) -> None:
    """A model of any size below `prefix`, its weights by reference to those of the object `of`."""
    for name, data in shape.small_files().items():
        store.ask(op="compose", key=prefix + name, start=base64.b64encode(data).decode(), size=0)
    for number in range(1, shape.shards + 1):
        store.ask(
            op="compose",
            key=prefix + shape.name(number),
            start=base64.b64encode(shape.header(number)).decode(),
            size=2 * _COLUMNS * shape.rows,
            of=of,
        )


def readable(size: float) -> str:
    """Bytes in the units that networks are sold in."""
    if size < 1e6:
        return f"{size / 1e3:.0f} kB" if size else "0"
    power = min(3, int(math.log10(size)) // 3)
    return f"{size / 1000**power:,.{0 if power == 2 else 1}f} {'MB' if power == 2 else 'GB'}"
