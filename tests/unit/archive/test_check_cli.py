"""`together-operator check`, as people and scripts use it: a good model and ten kinds of bad."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.simulators.tiny_models import write_adapter, write_model
from together_operator.check_cli import check_command


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", architecture="Qwen2ForCausalLM")


def check(*arguments: str) -> Result:
    return CliRunner().invoke(check_command, [str(argument) for argument in arguments])


def truncate(model: Path) -> Path:
    """As a download that broke off leaves it."""
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return model


def wrap(model: Path) -> Path:
    outer = model.parent / "outer"
    outer.mkdir()
    model.rename(outer / "model")
    return outer


def lose_config(model: Path) -> Path:
    (model / "config.json").unlink()
    return model


def lose_tokenizer(model: Path) -> Path:
    (model / "tokenizer.json").unlink()
    return model


def classify(model: Path) -> Path:
    config = {"architectures": ["BertForSequenceClassification"]}
    (model / "config.json").write_text(json.dumps(config))
    return model


def lose_shard(model: Path) -> Path:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    return model


def pickle(model: Path) -> Path:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    return model


def point(model: Path) -> Path:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n"
    (model / "model.safetensors").write_text(text)
    return model


def lie(model: Path) -> Path:
    header = {"w": {"dtype": "BF16", "shape": [9], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(8)
    (model / "model.safetensors").write_bytes(data)
    return model


def halve_adapter(model: Path) -> Path:
    adapter = write_adapter(model.parent / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    return adapter


def outgrow(model: Path) -> Path:
    """Two terabytes, sparse."""
    size = 2 << 40
    header = {"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with (model / "model.safetensors").open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        out.truncate(8 + len(text) + size)
    return model


def zip_a_zip(model: Path) -> Path:
    with zipfile.ZipFile(model.parent / "outer.zip", "w") as archive:
        archive.writestr("model.zip", b"PK")
    return model.parent / "outer.zip"


BAD: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "weights truncated": (truncate, "safetensors/truncated", "copy or download it again"),
    "everything in a directory": (wrap, "structure/wrapped", "make 'model' the source"),
    "no config.json": (lose_config, "config/missing", "that `save_pretrained` wrote"),
    "no tokenizer": (lose_tokenizer, "tokenizer/missing", "`tokenizer.save_pretrained`"),
    "a classifier": (classify, "config/architecture", "only such models can be imported"),
    "a shard missing": (lose_shard, "index/missing-shard", "upload all shards"),
    "PyTorch weights only": (pickle, "weights/format", "safe_serialization=True"),
    "a Git LFS pointer": (point, "safetensors/lfs-pointer", "`git lfs pull`"),
    "a header that lies": (lie, "safetensors/tensor-size", "save the model again"),
    "an adapter without weights": (halve_adapter, "adapter/incomplete", "`save_pretrained` wrote"),
    "larger than the largest node": (outgrow, "size/too-large", "quantize it"),
    "an archive in an archive": (zip_a_zip, "archive/nested", "pack the model's files themselves"),
}


def test_a_good_model_is_acceptable(model: Path) -> None:
    done = check(str(model))
    assert (done.exit_code, done.output) == (0, "acceptable: nothing found\n")
    assert json.loads(check(str(model), "--output", "json").output) == {
        "acceptable": True,
        "findings": [],
    }


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_a_bad_model_is_told_with_problem_and_remedy(
    model: Path, case: tuple[Callable[[Path], Path], str, str]
) -> None:
    spoil, rule, remedy = case
    source = spoil(model)
    told = check(str(source))
    assert told.exit_code == 65
    line = next(line for line in told.output.splitlines() if f"[{rule}]" in line)
    assert line.startswith("error: ")
    assert remedy in line
    document = json.loads(check(str(source), "--output", "json").output)
    assert document["acceptable"] is False
    found = next(finding for finding in document["findings"] if finding["rule"] == rule)
    assert line == f"error: {found['problem']}; {found['remedy']} [{rule}]"


def test_a_source_that_cannot_be_read_is_a_finding_too(tmp_path: Path) -> None:
    document = json.loads(check(str(tmp_path / "nothing"), "--output", "json").output)
    assert [finding["rule"] for finding in document["findings"]] == ["source/unreadable"]
