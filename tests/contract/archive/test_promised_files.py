"""A repository whose hub promises the hash of each file, into S3."""

import random
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, MIB, FixtureStore
from tests.support.s3_fixture import Quirks
from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import HubSimulator

FILES = {
    "config.json": b"{}",
    "one.safetensors": random.Random(1).randbytes(37 * MIB + 11),
    "two.safetensors": random.Random(2).randbytes(18 * MIB + 5),
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubSimulator]:
    """Serves `org/repo`, whose large files are cut in all the ways there are."""
    root = tmp_path / "repository"
    root.mkdir()
    for name, data in FILES.items():
        (root / name).write_bytes(data)
    served = HubSimulator()
    served.add_repository("org/repo", root)
    with InThread(served):
        yield served


@pytest.mark.parametrize("archive_format", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("quirks", [Quirks(), Quirks(equal_parts=True)], ids=["any", "equal"])
def test_it_goes_to_a_store_whatever_parts_that_takes(
    store: FixtureStore, hub: HubSimulator, archive_format: str
) -> None:
    store.environ = {**store.environ, "HF_ENDPOINT": hub.url}
    key = f"out.{archive_format}"
    result = store.archive("hf://org/repo", f"s3://{BUCKET}/{key}", archive_format)
    assert result.size_bytes == len(store.fixture.content(BUCKET, key))
    assert store.uploads() == []
    if archive_format == "zip":
        with zipfile.ZipFile(BytesIO(store.fixture.content(BUCKET, key))) as opened:
            assert {name: opened.read(name) for name in opened.namelist()} == FILES
