"""The real all-MiniLM-L6-v2: archived, extracted with other people's tools, loaded, the same."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from tests.contract.archive.conftest import BUCKET, FixtureStore
from tests.support.simulators.hub import minilm_directory
from together_operator.archive.check import inspect_source
from together_operator.archive.selection import select
from together_operator.archive.sources.directory import DirectorySource


@pytest.mark.parametrize("archive_format", ["zip", "tar", "tar.gz"])
def test_extracted_weights_load_and_are_equal(
    store: FixtureStore, tmp_path: Path, archive_format: str
) -> None:
    model = minilm_directory()
    store.archive(str(model), f"s3://{BUCKET}/m.{archive_format}", archive_format)
    archive = tmp_path / f"m.{archive_format}"
    archive.write_bytes(store.fixture.content(BUCKET, archive.name))
    out = tmp_path / "out"
    out.mkdir()
    extract = ["unzip", "-q"] if archive_format == "zip" else ["tar", "-xf"]
    where = ["-d", str(out)] if archive_format == "zip" else ["-C", str(out)]
    subprocess.run([*extract, str(archive), *where], check=True)

    loaded, original = load_file(out / "model.safetensors"), load_file(model / "model.safetensors")
    assert loaded.keys() == original.keys()
    for name, tensor in original.items():
        np.testing.assert_array_equal(loaded[name], tensor)
    text = "Bring model weights to Together AI."
    tokens = [Tokenizer.from_file(str(p / "tokenizer.json")).encode(text).ids for p in (out, model)]
    assert tokens[0] == tokens[1]
    assert json.loads((out / "config.json").read_text())["architectures"] == ["BertModel"]


def test_the_real_model_is_acceptable() -> None:
    source = DirectorySource(minilm_directory())
    assert inspect_source(source, select(source.entries()).kept) == []
