"""A whole model: configuration, architecture, weights, index, tokenizer, size."""

import posixpath
import re
from collections.abc import Iterator, Mapping

from together_operator.archive.check.finding import Finding, Listing, UnreadableJsonError
from together_operator.archive.check.safetensors import safetensors_findings

# Eight B200 with 180 GiB each, the largest node that Together lists; callers who have read the
# instance list pass what it says.
LARGEST_NODE_BYTES = 8 * 180 << 30

_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors\Z")
_TEXT = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_EMBEDDING = ("Model", "ForMaskedLM", "Embedding")
_NOT_TEXT = ("Whisper", "Speech", "Image", "Vision", "Audio", "Diffusion", "Segmentation")
_TOKENIZERS = (
    {"tokenizer.json"},
    {"tokenizer.model"},
    {"vocab.json", "merges.txt"},
    {"vocab.txt"},
    {"spiece.model"},
    {"sentencepiece.bpe.model"},
    {"tekken.json"},
    {"tiktoken.model"},
)


def model_findings(listing: Listing, largest_node_bytes: int) -> list[Finding]:
    findings = list(_structure(listing))
    if findings:
        return findings  # the rest would only repeat that the root is not a model
    findings += _config(listing)
    tensors: dict[str, frozenset[str]] = {}
    for name in listing:
        if name.endswith(".safetensors"):
            found, tensors[name] = safetensors_findings(listing, name)
            findings += found
    findings += _weights(listing)
    findings += _shards(listing)
    findings += _indexes(listing, tensors)
    findings += _tokenizer(listing)
    findings += _size(listing, largest_node_bytes)
    return findings


def _structure(listing: Listing) -> Iterator[Finding]:
    if "model_index.json" in listing:
        yield Finding(
            "config/architecture",
            "error",
            "'model_index.json' makes this a diffusion pipeline",
            "only text generation and embedding models can be imported",
        )
        return
    if "config.json" in listing:
        return
    inside = [name for name in listing if posixpath.basename(name) == "config.json"]
    if inside:
        directory = posixpath.dirname(min(inside, key=len))
        yield Finding(
            "structure/wrapped",
            "error",
            f"'config.json' is not at the root but in {directory!r}",
            f"make {directory!r} the source",
        )
    else:
        yield Finding(
            "config/missing",
            "error",
            "there is no 'config.json' at the root",
            "name the directory that `save_pretrained` wrote",
        )


def _config(listing: Listing) -> Iterator[Finding]:
    try:
        config = listing.json("config.json")
    except UnreadableJsonError as error:
        yield Finding(
            "config/invalid", "error", f"'config.json' {error.args[0]}", "save the model again"
        )
        return
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        yield Finding(
            "config/architecture",
            "error",
            "'config.json' names no architecture",
            'add "architectures", as `save_pretrained` writes it',
        )
        return
    name = str(architectures[0])[:100]
    supported = name.endswith(_TEXT + _EMBEDDING) and not any(word in name for word in _NOT_TEXT)
    if not supported:
        yield Finding(
            "config/architecture",
            "error",
            f"architecture {name!r} is neither text generation nor embedding",
            "only such models can be imported",
        )


def _weights(listing: Listing) -> Iterator[Finding]:
    if any(name.endswith(".safetensors") for name in listing):
        return
    other = next((n for n in listing if n.endswith((".bin", ".pt", ".pth", ".gguf", ".h5"))), None)
    if other is None:
        yield Finding(
            "weights/missing",
            "error",
            "there are no weights (*.safetensors)",
            "upload them beside 'config.json'",
        )
    else:
        yield Finding(
            "weights/format",
            "error",
            f"the weights are in another format ({other!r})",
            "convert them with `save_pretrained(..., safe_serialization=True)`",
        )


def _shards(listing: Listing) -> Iterator[Finding]:
    counts: dict[tuple[str, int], set[int]] = {}
    for name in listing:
        if shard := _SHARD.match(name):
            key = shard["stem"], int(shard["count"])
            counts.setdefault(key, set()).add(int(shard["number"]))
    for (stem, count), numbers in sorted(counts.items()):
        missing = sorted(set(range(1, count + 1)) - numbers) if count <= 99_999 else []
        if missing:
            yield Finding(
                "index/missing-shard",
                "error",
                f"shard {missing[0]} of {count} is missing"
                + (f", and {len(missing) - 1} more" if len(missing) > 1 else ""),
                "upload all shards",
            )
        if count > 1 and stem + _INDEX not in listing:
            yield Finding(
                "index/absent",
                "error",
                f"there are shards but no {stem + _INDEX!r}",
                "upload the index that was saved with them",
            )


def _indexes(listing: Listing, tensors: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    for name in listing:
        if not name.endswith(_INDEX):
            continue
        try:
            weight_map = listing.json(name).get("weight_map")
        except UnreadableJsonError as error:
            yield Finding("index/invalid", "error", f"{name!r} {error.args[0]}", "save it again")
            continue
        if not isinstance(weight_map, dict):
            yield Finding(
                "index/invalid", "error", f"{name!r} has no 'weight_map'", "save the model again"
            )
            continue
        yield from _index(name, weight_map, listing, tensors)


def _index(
    name: str,
    weight_map: Mapping[str, object],
    listing: Listing,
    tensors: Mapping[str, frozenset[str]],
) -> Iterator[Finding]:
    directory = posixpath.dirname(name)
    by_file: dict[str, list[str]] = {}
    for tensor, file in weight_map.items():
        by_file.setdefault(posixpath.join(directory, str(file)), []).append(tensor)
    for file, wanted in sorted(by_file.items()):
        if file not in listing:
            yield Finding(
                "index/missing-shard",
                "error",
                f"{name!r} names {file[:200]!r}, which is not there",
                "upload all shards",
            )
            continue
        there = tensors.get(file, frozenset())
        lacking = [tensor for tensor in wanted if tensor not in there]
        if there and lacking:
            yield Finding(
                "index/missing-tensor",
                "error",
                f"{file!r} lacks tensor {lacking[0][:80]!r}, which {name!r} puts there",
                "shards and index are of different versions; upload one set",
            )


def _tokenizer(listing: Listing) -> Iterator[Finding]:
    names = set(listing)
    if not any(files <= names for files in _TOKENIZERS):
        yield Finding(
            "tokenizer/missing",
            "error",
            "there is no tokenizer (such as 'tokenizer.json') at the root",
            "save it beside the model with `tokenizer.save_pretrained`",
        )


def _size(listing: Listing, largest_node_bytes: int) -> Iterator[Finding]:
    size = sum(listing.sizes[name] for name in listing if name.endswith(".safetensors"))
    if size > largest_node_bytes:
        yield Finding(
            "size/too-large",
            "error",
            f"the weights have {size >> 30} GiB; the largest node has {largest_node_bytes >> 30}",
            "only models that fit on one node can be served; quantize it",
        )
