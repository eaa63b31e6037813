"""What imported files must look like, and what is read from them.

Rules of Together's documentation: the layout that `from_pretrained` loads (config.json,
*.safetensors, tokenizer files) at the root, or an adapter's two files.
"""

import json
import struct
from pathlib import Path
from typing import Any, Literal

from tests.support.simulators.together.records import Weights

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")
_HEADER_LIMIT = 100 * 1024 * 1024
_DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")

ModelType = Literal["model", "adapter"]


class LayoutError(Exception):
    """The files are not a model that can be served; the message says why."""


def inspect(files: dict[str, Path], type_: ModelType, architecture: str) -> Weights:
    """Check the files of a model or adapter and read what they say about themselves.

    Args:
        files: local copies by their path in the source.
        architecture: class name that the base model has, e.g. `Qwen3ForCausalLM`; empty
            where no base is named (v1).

    Raises:
        LayoutError: with the reason.
    """
    if type_ == "adapter":
        return _inspect_adapter(files)
    config = _config(files)
    found = config.get("architectures") or [""]
    if architecture and found[0] != architecture:
        raise LayoutError(
            f"architecture {found[0] or 'unknown'!r} in config.json does not match the base "
            f"model's {architecture!r}"
        )
    shards = _shards(files)
    if not any(name in files for name in _TOKENIZERS):
        raise LayoutError(f"no tokenizer found at the root, expected one of {_list(_TOKENIZERS)}")
    length = config.get("max_position_embeddings")
    return Weights(
        architecture=found[0],
        context_length=length if isinstance(length, int) else None,
        dtypes=_count(shards),
    )


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, checked against the file's size.

    Raises:
        LayoutError: when the file is truncated or is something else.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _HEADER_LIMIT + 1
        if length > min(_HEADER_LIMIT, size - 8):
            raise LayoutError("not a safetensors file: the header's length is out of range")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise LayoutError("not a safetensors file: the header is not JSON") from error
    if not isinstance(header, dict):
        raise LayoutError("not a safetensors file: the header is not an object")
    end = max((t["data_offsets"][1] for n, t in header.items() if n != "__metadata__"), default=0)
    if 8 + length + end != size:
        raise LayoutError(
            f"truncated safetensors file: {8 + length + end} bytes wanted, {size} found"
        )
    return header


def _inspect_adapter(files: dict[str, Path]) -> Weights:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if name not in files:
            raise LayoutError(f"{name} not found at the root of an adapter{_nested(files, name)}")
    config = _json(files["adapter_config.json"], "adapter_config.json")
    if not config.get("target_modules"):
        raise LayoutError("adapter_config.json names no target_modules")
    return Weights(
        architecture=str(config.get("peft_type", "LORA")),
        dtypes=_count({"adapter_model.safetensors": files["adapter_model.safetensors"]}),
        type="WEIGHTS_TYPE_ADAPTER",
    )


def _config(files: dict[str, Path]) -> dict[str, Any]:
    if "config.json" not in files:
        raise LayoutError(f"config.json not found at the root{_nested(files, 'config.json')}")
    return _json(files["config.json"], "config.json")


def _nested(files: dict[str, Path], name: str) -> str:
    """A hint for the commonest mistake, a directory around the files."""
    inside = next((path for path in files if path.endswith("/" + name)), None)
    if inside is None:
        return ""
    return f", but at {inside!r}: files must not be wrapped in a directory"


def _shards(files: dict[str, Path]) -> dict[str, Path]:
    shards = {n: p for n, p in files.items() if "/" not in n and n.endswith(".safetensors")}
    if "model.safetensors.index.json" in files:
        index = _json(files["model.safetensors.index.json"], "model.safetensors.index.json")
        wanted = set(index.get("weight_map", {}).values())
        missing = sorted(wanted - shards.keys())
        if missing:
            raise LayoutError(f"shards named in the index are missing: {_list(missing)}")
    if not shards:
        others = [n for n in files if n.endswith((".bin", ".pt", ".pth", ".gguf", ".ckpt"))]
        hint = f" (found {_list(others)}; convert to safetensors)" if others else ""
        raise LayoutError(f"no *.safetensors files found at the root{hint}")
    return shards


def _count(shards: dict[str, Path]) -> dict[str, int]:
    """Parameters by dtype over all shards."""
    totals: dict[str, int] = {}
    for name, path in sorted(shards.items()):
        try:
            header = read_header(path)
        except LayoutError as error:
            raise LayoutError(f"{name}: {error}") from error
        for tensor, entry in header.items():
            if tensor == "__metadata__":
                continue
            count = _check_tensor(name, tensor, entry)
            if entry["dtype"] in _FLOATS:
                dtype = _DTYPES[entry["dtype"]][0]
                totals[dtype] = totals.get(dtype, 0) + count
    return totals


def _check_tensor(shard: str, tensor: str, entry: dict[str, Any]) -> int:
    if entry["dtype"] not in _DTYPES:
        raise LayoutError(f"{shard}: tensor {tensor!r} has unsupported dtype {entry['dtype']!r}")
    count = 1
    for dimension in entry["shape"]:
        count *= dimension
    begin, end = entry["data_offsets"]
    if count * _DTYPES[entry["dtype"]][1] != end - begin:
        raise LayoutError(f"{shard}: tensor {tensor!r} does not have the size of its shape")
    return count


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise LayoutError(f"{name} is not valid JSON") from error
    if not isinstance(document, dict):
        raise LayoutError(f"{name} is not a JSON object")
    return document


def _list(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(list(names)[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
