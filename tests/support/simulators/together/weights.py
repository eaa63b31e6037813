"""Answers that really come from the imported weights, cheap enough for a simulator.

An embedding is the mean of the token rows of the embedding matrix, normalized; a chat answer is
the chain of tokens whose rows are most like that mean. Neither runs the network, but both change
when the weights do, and words of similar meaning do come out near each other.
"""

import array
import functools
import json
import math
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.simulators.together.layout import read_header

_NAMES = re.compile(r"(word_embeddings|embed_tokens|wte|tok_embeddings|token_embd)(\.weight)?$")
_CANDIDATES = 2000


@dataclass(frozen=True, slots=True)
class Matrix:
    """A two-dimensional tensor in a safetensors file, read row by row."""

    path: Path
    offset: int
    rows: int
    columns: int
    dtype: str

    def row(self, index: int) -> list[float]:
        """One row as floats."""
        width = {"F32": 4, "F16": 2, "BF16": 2}[self.dtype]
        with self.path.open("rb") as stream:
            stream.seek(self.offset + index * self.columns * width)
            return _floats(stream.read(self.columns * width), self.dtype)


@dataclass(frozen=True, slots=True)
class Embedder:
    """A vocabulary with its embedding matrix."""

    vocabulary: dict[str, int]
    matrix: Matrix
    lowercase: bool

    def embed(self, text: str) -> tuple[list[float], int]:
        """The normalized mean of the text's token rows, and the number of tokens."""
        ids = self.tokenize(text)
        total = [0.0] * self.matrix.columns
        for index in ids:
            total = [a + b for a, b in zip(total, self.matrix.row(index), strict=True)]
        norm = math.sqrt(sum(value * value for value in total)) or 1.0
        return [value / norm for value in total], len(ids)

    def tokenize(self, text: str) -> list[int]:
        """Ids of the longest matching pieces of each word; what matches nothing is left out."""
        ids: list[int] = []
        for word in re.findall(r"\w+|[^\w\s]", text.lower() if self.lowercase else text):
            ids.extend(self._pieces(word))
        return ids

    def complete(self, text: str, length: int) -> str:
        """`length` words of the vocabulary, each the nearest to the mean of what came before."""
        words: list[str] = []
        vector, _ = self.embed(text)
        candidates = [
            (word, index)
            for word, index in self.vocabulary.items()
            if re.fullmatch(r"[Ġ▁]?[a-zA-Z]{3,}", word) and index < self.matrix.rows
        ][:_CANDIDATES]
        rows = {word.lstrip("Ġ▁"): self.matrix.row(index) for word, index in candidates}
        for _ in range(length):
            if not rows:
                break
            best = max(rows, key=lambda w: sum(a * b for a, b in zip(vector, rows[w], strict=True)))
            words.append(best)
            near = rows.pop(best)
            vector = [a + b for a, b in zip(vector, near, strict=True)]
        return " ".join(words)

    def _pieces(self, word: str) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = word[start:end]
                options = (f"Ġ{piece}", f"▁{piece}", piece) if start == 0 else (f"##{piece}", piece)
                index = next((self.vocabulary[o] for o in options if o in self.vocabulary), None)
                if index is not None and index < self.matrix.rows:
                    ids.append(index)
                    break
            else:
                end = start + 1
            start = end
        return ids


def load(files: dict[str, Path]) -> Embedder | None:
    """The embedder of imported files, or None where no vocabulary or matrix is recognized."""
    tokenizer = files.get("tokenizer.json")
    shards = sorted(name for name in files if name.endswith(".safetensors"))
    matrix = next((m for m in (_find(files[name]) for name in shards) if m is not None), None)
    if tokenizer is None or matrix is None:
        return None
    return _load(tokenizer, matrix)


@functools.lru_cache(maxsize=8)
def _load(tokenizer: Path, matrix: Matrix) -> Embedder:
    document = json.loads(tokenizer.read_text())
    vocabulary = document["model"]["vocab"]
    if isinstance(vocabulary, list):
        vocabulary = {piece: index for index, (piece, _) in enumerate(vocabulary)}
    normalizer = document.get("normalizer") or {}
    return Embedder(vocabulary, matrix, bool(normalizer.get("lowercase", False)))


def _find(path: Path) -> Matrix | None:
    header = read_header(path)
    start = path.stat().st_size - max(
        (t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), default=0
    )
    for name, tensor in header.items():
        known = name != "__metadata__" and _NAMES.search(name)
        if known and len(tensor["shape"]) == 2 and tensor["dtype"] in ("F32", "F16", "BF16"):
            rows, columns = tensor["shape"]
            offset = start + tensor["data_offsets"][0]
            return Matrix(path, offset, rows, columns, tensor["dtype"])
    return None


def _floats(raw: bytes, dtype: str) -> list[float]:
    if dtype == "F32":
        values = array.array("f", raw)
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()
    if dtype == "F16":
        return list(struct.unpack(f"<{len(raw) // 2}e", raw))
    padded = b"".join(b"\x00\x00" + raw[i : i + 2] for i in range(0, len(raw), 2))
    return list(struct.unpack(f"<{len(raw) // 2}f", padded))
