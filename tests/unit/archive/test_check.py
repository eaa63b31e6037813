"""Good models pass; each kind of bad one is named, with its remedy."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.archive.check import Finding, Listing, inspect_files, refuse_unacceptable
from together_operator.archive.check.archive_file import RangeFile, archive_findings
from together_operator.archive.errors import SourceUnacceptable

Files = dict[str, bytes]


def safetensors(*names: str, elements: int = 4) -> bytes:
    header, offset = {}, 0
    for name in names:
        stop = offset + 2 * elements
        header[name] = {"dtype": "BF16", "shape": [elements], "data_offsets": [offset, stop]}
        offset = stop
    return with_header(header, bytes(offset))


def with_header(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def config(architecture: str) -> bytes:
    return json.dumps({"architectures": [architecture]}).encode()


def good_model() -> Files:
    shards = {f"model-0000{n}-of-00002.safetensors": safetensors(f"w{n}") for n in (1, 2)}
    index = {"weight_map": {f"w{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    return {
        "config.json": config("LlamaForCausalLM"),
        "tokenizer.json": b"{}",
        "model.safetensors.index.json": json.dumps(index).encode(),
        **shards,
    }


def good_adapter() -> Files:
    settings = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    return {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": safetensors("lora_A"),
    }


def check(files: Files) -> list[Finding]:
    def read(name: str, offset: int, length: int) -> bytes:
        return files[name][offset : offset + length]

    return inspect_files(Listing({name: len(data) for name, data in files.items()}, read))


def test_a_good_model_and_a_good_adapter_have_no_findings() -> None:
    assert check(good_model()) == []
    assert check(good_adapter()) == []


@pytest.mark.parametrize(
    "architecture", ["Qwen2ForCausalLM", "GPT2LMHeadModel", "BertModel", "XLMRobertaModel"]
)
def test_text_generation_and_embedding_models_are_acceptable(architecture: str) -> None:
    assert check(good_model() | {"config.json": config(architecture)}) == []


def wrapped(files: Files) -> Files:
    return {"model/" + name: data for name, data in files.items()}


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {other: data for other, data in files.items() if other != name}


def replaced(name: str, data: bytes) -> Callable[[Files], Files]:
    return lambda files: {**files, name: data}


SHARD = "model-00001-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
TENSOR = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}
BAD_MODELS = {
    "wrapped": (wrapped, "structure/wrapped", "make 'model' the source"),
    "no config": (without("config.json"), "config/missing", "save_pretrained"),
    "config is no JSON": (replaced("config.json", b"{"), "config/invalid", "save"),
    "config is a list": (replaced("config.json", b"[]"), "config/invalid", "save"),
    "config nested absurdly": (replaced("config.json", b"[" * 99_999), "config/invalid", "save"),
    "no architecture": (replaced("config.json", b"{}"), "config/architecture", "architectures"),
    "a classifier": (
        replaced("config.json", config("BertForSequenceClassification")),
        "config/architecture",
        "only such models",
    ),
    "a speech model": (
        replaced("config.json", config("WhisperForConditionalGeneration")),
        "config/architecture",
        "only such models",
    ),
    "a diffusion pipeline": (
        replaced("model_index.json", b"{}"),
        "config/architecture",
        "only text generation",
    ),
    "a shard missing": (without(SHARD), "index/missing-shard", "upload all shards"),
    "no index": (without(INDEX), "index/absent", "upload the index"),
    "index is no JSON": (replaced(INDEX, b"x"), "index/invalid", "save"),
    "index without map": (replaced(INDEX, b"{}"), "index/invalid", "save"),
    "shard of another version": (
        replaced(SHARD, safetensors("other")),
        "index/missing-tensor",
        "one set",
    ),
    "truncated": (replaced(SHARD, safetensors("w1")[:-1]), "safetensors/truncated", "again"),
    "truncated in its header": (
        replaced(SHARD, safetensors("w1")[:20]),
        "safetensors/truncated",
        "again",
    ),
    "empty": (replaced(SHARD, b""), "safetensors/truncated", "again"),
    "bytes behind": (replaced(SHARD, safetensors("w1") + b"x"), "safetensors/trailing", "again"),
    "a gap": (
        replaced(SHARD, with_header({"w1": {**TENSOR, "data_offsets": [1, 9]}}, bytes(9))),
        "safetensors/coverage",
        "save",
    ),
    "a lying shape": (
        replaced(SHARD, with_header({"w1": {**TENSOR, "shape": [5]}}, bytes(8))),
        "safetensors/tensor-size",
        "save",
    ),
    "a header of wrong types": (
        replaced(SHARD, with_header({"w1": {**TENSOR, "data_offsets": "x"}}, bytes(8))),
        "safetensors/header",
        "save",
    ),
    "an absurd header length": (
        replaced(SHARD, b"\xff" * 16),
        "safetensors/header",
        "download",
    ),
    "a Git LFS pointer": (
        replaced(SHARD, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "safetensors/lfs-pointer",
        "git lfs pull",
    ),
    "no tokenizer": (without("tokenizer.json"), "tokenizer/missing", "tokenizer.save_pretrained"),
    "PyTorch weights only": (
        lambda _: {
            "config.json": config("LlamaForCausalLM"),
            "tokenizer.json": b"{}",
            "pytorch_model.bin": b"x",
        },
        "weights/format",
        "safe_serialization",
    ),
    "no weights": (
        lambda _: {"config.json": config("LlamaForCausalLM"), "tokenizer.json": b"{}"},
        "weights/missing",
        "upload them",
    ),
}


@pytest.mark.parametrize("case", BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_bad_model_is_named_with_its_remedy(
    case: tuple[Callable[[Files], Files], str, str],
) -> None:
    spoil, rule, remedy = case
    found = [finding for finding in check(spoil(good_model())) if finding.rule == rule]
    assert found, check(spoil(good_model()))
    assert found[0].severity == "error"
    assert remedy in found[0].remedy
    assert (found[0].problem + found[0].remedy).isprintable()
    with pytest.raises(SourceUnacceptable):
        refuse_unacceptable(found)


BAD_ADAPTERS = {
    "no weights": (without("adapter_model.safetensors"), "adapter/incomplete"),
    "no config": (without("adapter_config.json"), "adapter/incomplete"),
    "not LoRA": (replaced("adapter_config.json", b'{"peft_type": "IA3"}'), "adapter/type"),
    "config is no JSON": (replaced("adapter_config.json", b"x"), "adapter/config"),
    "truncated": (
        replaced("adapter_model.safetensors", safetensors("a")[:-1]),
        "safetensors/truncated",
    ),
}


@pytest.mark.parametrize("case", BAD_ADAPTERS.values(), ids=BAD_ADAPTERS)
def test_a_bad_adapter_is_named(case: tuple[Callable[[Files], Files], str]) -> None:
    spoil, rule = case
    assert rule in {finding.rule for finding in check(spoil(good_adapter()))}


def test_an_adapter_without_a_base_is_only_warned_about() -> None:
    found = check(replaced("adapter_config.json", b'{"peft_type": "LORA"}')(good_adapter()))
    assert [(finding.rule, finding.severity) for finding in found] == [("adapter/base", "warning")]
    refuse_unacceptable(found)


def test_a_model_larger_than_the_largest_node_is_refused_without_reading_its_weights() -> None:
    size = 2 << 40
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    start = with_header(header, b"")
    files = {"config.json": config("LlamaForCausalLM"), "tokenizer.json": b"{}"}
    most_read = 0

    def read(name: str, offset: int, length: int) -> bytes:
        nonlocal most_read
        most_read = max(most_read, length)
        return files.get(name, start.ljust(length, b"\0"))[offset : offset + length]

    sizes = {name: len(data) for name, data in files.items()}
    found = inspect_files(Listing({**sizes, "model.safetensors": len(start) + size}, read))
    assert [finding.rule for finding in found] == ["size/too-large"]
    assert most_read <= 64 << 10


@given(st.binary(max_size=200))
def test_no_bytes_whatsoever_break_the_check_of_weights(data: bytes) -> None:
    for finding in check(good_model() | {SHARD: data}):
        assert finding.problem


@given(st.dictionaries(st.text(max_size=5), st.binary(max_size=30), max_size=5))
def test_no_listing_whatsoever_breaks_the_check(files: Files) -> None:
    check(files)


def make_archive(files: Files, form: str, prefix: str = "") -> bytes:
    out = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(prefix + name, data)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if form == "tar.gz" else "w") as opened:
            for name, data in files.items():
                info = tarfile.TarInfo(prefix + name)
                info.size = len(data)
                opened.addfile(info, io.BytesIO(data))
    return out.getvalue()


def check_archive(data: bytes, name: str) -> list[str]:
    file = RangeFile(lambda offset, length: data[offset : offset + length], len(data))
    return [finding.rule for finding in archive_findings(name, file, inspect_files)]


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_archives_are_looked_into(form: str) -> None:
    good = make_archive(good_model(), form)
    assert check_archive(good, f"a.{form}") == []
    assert (
        check_archive(make_archive(good_model(), form, "./" if form != "zip" else ""), f"a.{form}")
        == []
    )
    assert check_archive(make_archive(good_model(), form, "m/"), f"a.{form}") == [
        "structure/wrapped"
    ]
    assert check_archive(make_archive({"x.zip": b"PK"}, form), f"a.{form}") == ["archive/nested"]
    assert check_archive(make_archive({}, form), f"a.{form}") == ["structure/empty"]
    assert check_archive(make_archive({"../x": b"1"}, form), f"a.{form}") == ["archive/unsafe-name"]
    assert check_archive(good[: len(good) // 2], f"a.{form}") == ["archive/format"]
    assert check_archive(good, "a.7z") == ["archive/format"]
    assert check_archive(b"other", f"a.{form}") == ["archive/format"]
    lacking = {name: data for name, data in good_model().items() if name != "tokenizer.json"}
    assert check_archive(make_archive(lacking, form), f"a.{form}") == ["tokenizer/missing"]


def test_links_in_a_tar_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as opened:
        info = tarfile.TarInfo("config.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(info)
    assert check_archive(out.getvalue(), "a.tar") == ["archive/format"]


def test_only_the_start_of_a_compressed_tar_is_decompressed_and_that_is_said() -> None:
    bomb = gzip.compress(make_archive({"config.json": bytes(200 << 20)}, "tar"))
    assert check_archive(bomb, "a.tar.gz") == ["archive/partial"]


@pytest.mark.parametrize(
    ("first", "suspected"),
    [
        ({"onnx/config.json": b"{}", "onnx/model.onnx": bytes(33 << 20)}, ["structure/wrapped"]),
        ({"weights.tar.gz": bytes(33 << 20)}, []),
    ],
    ids=["in a directory", "named like an archive"],
)
def test_the_start_of_a_compressed_tar_says_nothing_of_what_stands_behind(
    first: Files, suspected: list[str]
) -> None:
    data = gzip.compress(make_archive(first | good_model(), "tar"), 1)
    file = RangeFile(lambda offset, length: data[offset : offset + length], len(data))
    found = archive_findings("a.tar.gz", file, inspect_files)
    assert [finding.rule for finding in found] == [*suspected, "archive/partial"]
    assert {finding.severity for finding in found} == {"warning"}


def test_a_name_that_leads_out_of_a_compressed_tar_is_found_in_its_start() -> None:
    files = {"../x": b"", "model.onnx": bytes(33 << 20)}
    data = gzip.compress(make_archive(files, "tar"), 1)
    assert check_archive(data, "a.tar.gz") == ["archive/unsafe-name", "archive/partial"]


@pytest.mark.parametrize("behind", [b"", bytes(512), gzip.compress(b"")], ids=["", "0s", "empty"])
@pytest.mark.parametrize("size", [1, 1000, 5000])
def test_a_gzip_of_several_members_is_one_archive(size: int, behind: bytes) -> None:
    """As bgzip and `cat a.gz b.gz` make it."""
    raw = make_archive(good_model(), "tar")
    cuts = [*range(0, min(len(raw), 200 * size), size), len(raw)]
    members = [gzip.compress(raw[start:stop], 1) for start, stop in pairwise(cuts)]
    assert check_archive(b"".join(members) + behind, "a.tar.gz") == []
    assert check_archive(b"".join(members[:1]), "a.tar.gz") == ["archive/format"]
    assert check_archive(b"".join(members)[:-1], "a.tar.gz") == ["archive/format"]


def test_a_zip_that_claims_an_absurd_directory_is_refused() -> None:
    data = bytearray(make_archive(good_model(), "zip"))
    data[-10:-6] = struct.pack("<I", 0xFFFFFFF0)
    assert check_archive(bytes(data), "a.zip") == ["archive/format"]
