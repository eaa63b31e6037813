"""Small models that are complete and valid, for tests that do not need real weights."""

import json
import random
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

_VOCABULARY = """
    the a of and to in is it you that
    he was for on are with as his they be
    at one have this king queen man woman cat dog
    bird fish red green blue sun moon star house tree
    river stone
"""
_WORDS = _VOCABULARY.split()
_HIDDEN = 16


def write_model(directory: Path, *, architecture: str = "Qwen2ForCausalLM", seed: int = 0) -> Path:
    """Write config, tokenizer and weights (a few kilobytes); gives the directory.

    Another seed gives other weights, and so other answers of the simulator.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": [architecture],
        "hidden_size": _HIDDEN,
        "max_position_embeddings": 128,
        "vocab_size": len(_WORDS),
    }
    (directory / "config.json").write_text(json.dumps(config))
    vocabulary = {word: index for index, word in enumerate(_WORDS)}
    tokenizer = {
        "model": {"type": "WordPiece", "vocab": vocabulary},
        "normalizer": {"type": "BertNormalizer", "lowercase": True},
    }
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    source = random.Random(seed)
    matrix = [source.gauss(0, 1) for _ in range(len(_WORDS) * _HIDDEN)]
    write_safetensors(
        directory / "model.safetensors",
        {"model.embed_tokens.weight": ([len(_WORDS), _HIDDEN], matrix)},
    )
    return directory


def write_adapter(directory: Path, *, base: str = "Qwen/Qwen2.5-0.5B-Instruct") -> Path:
    """Write a LoRA adapter; gives the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "r": 2,
        "target_modules": ["q_proj"],
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))
    write_safetensors(
        directory / "adapter_model.safetensors",
        {
            "base_model.model.q_proj.lora_A.weight": ([2, _HIDDEN], [0.5] * 2 * _HIDDEN),
            "base_model.model.q_proj.lora_B.weight": ([_HIDDEN, 2], [0.25] * 2 * _HIDDEN),
        },
    )
    return directory


def write_safetensors(path: Path, tensors: dict[str, tuple[list[int], list[float]]]) -> None:
    """Write float32 tensors, given as shape and values."""
    header: dict[str, Any] = {}
    body = b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {
            "dtype": "F32",
            "shape": shape,
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_archive(directory: Path, archive: Path, *, wrap: str = "") -> Path:
    """Archive a directory in the format that the name says; gives the archive.

    Args:
        wrap: name of a directory to put around the files (a common mistake).
    """
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    names = {path: f"{wrap}{path.relative_to(directory).as_posix()}" for path in files}
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for path, name in names.items():
                opened.write(path, name)
        return archive
    with tarfile.open(archive, "w:gz" if archive.name.endswith("gz") else "w") as opened_tar:
        for path, name in names.items():
            opened_tar.add(path, name)
    return archive
