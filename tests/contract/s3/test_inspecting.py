"""Looking into sources: what is found is what `together-operator check` says, within bounds."""

import asyncio
import io
import json
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.contract.s3.conftest import BUCKET, HERE, keys
from tests.support.simulators.hub import MINILM, HubSimulator
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.tiny_models import write_adapter, write_archive, write_model
from tests.support.simulators.together import Fault
from together_operator.adapters import inspector_calls
from together_operator.adapters.inspector import SourceInspector
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain import errors
from together_operator.ports import BehindUrl, InRepository, InStore, Place

Values = Mapping[str, SecretStr]
ENOUGH = 80 << 30


@pytest.fixture
def inspector(hub_sim: HubSimulator, threads: ThreadPoolExecutor) -> SourceInspector:
    """The adapter."""
    return SourceInspector(hub_sim.url, threads, HERE)


async def look(
    inspector: SourceInspector, place: Place, node: int | None = ENOUGH, revision: str = "r1"
) -> list[str]:
    """What is wrong there."""
    return list(await inspector.inspect(place, revision, node))


def in_store(location: S3Location, credentials: Values, key: str) -> InStore:
    """A place in the bucket."""
    return InStore(location, f"s3://{BUCKET}/{key}", credentials)


def signed(store: S3Simulator, key: str) -> BehindUrl:
    """A place behind a URL."""
    url = store.client().generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=600
    )
    return BehindUrl(SecretStr(url))


# Good ones.


@pytest.mark.parametrize("key", ["good/", "good"])
async def test_a_good_prefix(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
    key: str,
) -> None:
    store.upload(write_model(tmp_path / "model"), BUCKET, "good/")
    assert await look(inspector, in_store(location, credentials, key)) == []


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
async def test_a_good_archive_in_the_store_and_behind_a_url(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
    ending: str,
) -> None:
    archive = write_archive(write_model(tmp_path / "model"), tmp_path / f"model.{ending}")
    store.client().upload_file(str(archive), BUCKET, f"a/model.{ending}")
    store.client().upload_file(str(archive), BUCKET, "without-an-ending")
    assert await look(inspector, in_store(location, credentials, f"a/model.{ending}")) == []
    assert await look(inspector, signed(store, f"a/model.{ending}")) == []
    assert await look(inspector, signed(store, "without-an-ending"), revision="r2") == []


async def test_a_real_repository_at_its_commit(
    inspector: SourceInspector, hub_sim: HubSimulator
) -> None:
    assert await look(inspector, InRepository(MINILM, "main", None)) == []


async def test_an_adapter(
    inspector: SourceInspector, hub_sim: HubSimulator, tmp_path: Path
) -> None:
    hub_sim.add_repository("org/lora", write_adapter(tmp_path / "lora"))
    assert await look(inspector, InRepository("org/lora", "main", None)) == []


# Bad ones.


async def test_every_problem_is_told_with_its_remedy(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path / "model", architecture="WhisperForConditionalGeneration")
    (model / "tokenizer.json").unlink()
    store.upload(model, BUCKET, "bad/")
    found = await look(inspector, in_store(location, credentials, "bad/"))
    assert len(found) == 2
    assert "neither text generation nor embedding: only such models" in found[0]
    assert "no tokenizer" in found[1]
    assert "tokenizer.save_pretrained" in found[1]


async def test_a_model_that_fits_on_no_node(
    inspector: SourceInspector, hub_sim: HubSimulator
) -> None:
    (problem,) = await look(inspector, InRepository(MINILM, "main", None), node=1 << 20)
    assert "the largest node has" in problem
    assert "quantize it" in problem


async def test_files_that_are_wrapped_into_a_directory(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
) -> None:
    wrapped = write_archive(write_model(tmp_path / "m"), tmp_path / "m.zip", wrap="m/")
    store.client().upload_file(str(wrapped), BUCKET, "m.zip")
    (problem,) = await look(inspector, in_store(location, credentials, "m.zip"))
    assert problem == (
        "all files are in 'm', not at the archive's root: pack the directory's content, not the "
        "directory"
    )
    assert await look(inspector, signed(store, "m.zip")) == [problem]


async def test_what_is_no_archive(
    inspector: SourceInspector, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    store.client().put_object(Bucket=BUCKET, Key="m.zip", Body=b"not a zip at all")
    (problem,) = await look(inspector, in_store(location, credentials, "m.zip"))
    assert "its content is not zip" in problem


async def test_a_refused_url_is_told_without_it(
    inspector: SourceInspector, store: S3Simulator
) -> None:
    place = signed(store, "m.zip")
    store.advance(3600)
    with pytest.raises(errors.Forbidden) as refused:
        await look(inspector, place)
    assert "X-Amz" not in str(refused.value)


async def test_credentials_that_may_not_read(
    inspector: SourceInspector, store: S3Simulator, location: S3Location
) -> None:
    wrong = keys(store.access_key_id, "not-the-secret")
    with pytest.raises(errors.Forbidden):
        await look(inspector, in_store(location, wrong, "good/"))


async def test_a_store_that_fails_is_no_bad_source(
    inspector: SourceInspector, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    store.gate.faults.rules.append(Fault(effect="status", status=503, count=None))
    with pytest.raises(errors.Unavailable):
        await look(inspector, in_store(location, credentials, "good/"))


# Bounds.


def bomb(size: int) -> bytes:
    """A zip of a model whose header is `size` bytes of blanks, a thousandth of that packed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"architectures": ["BertModel"]}))
        archive.writestr("tokenizer.json", "{}")
        archive.writestr("model.safetensors", size.to_bytes(8, "little") + b" " * size)
    return content.getvalue()


async def test_a_compressed_header_larger_than_any_honest_one_is_not_read(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.client().put_object(Bucket=BUCKET, Key="bomb.zip", Body=bomb(40 << 20))
    spent: list[int] = []
    spend = inspector_calls._Budget.spend

    def spy(budget: inspector_calls._Budget, length: int) -> None:
        spend(budget, length)
        spent.append(length)

    monkeypatch.setattr(inspector_calls._Budget, "spend", spy)
    assert await look(inspector, in_store(location, credentials, "bomb.zip")) == []
    assert max(spent) <= inspector_calls.MAX_READ
    assert sum(spent) <= inspector_calls.MAX_BYTES


async def test_a_look_that_takes_too_long_calls_nothing_bad(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    store.upload(model, BUCKET, "slow/")
    monkeypatch.setattr(inspector_calls, "SECONDS", 0.0)
    assert await look(inspector, in_store(location, credentials, "slow/")) == []


async def test_the_same_content_is_looked_into_once(
    inspector: SourceInspector,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    tmp_path: Path,
) -> None:
    model = write_model(tmp_path / "model")
    (model / "tokenizer.json").unlink()
    store.upload(model, BUCKET, "again/")
    place = in_store(location, credentials, "again/")
    first = await look(inspector, place)
    calls = store.calls.total()
    second, third = await asyncio.gather(look(inspector, place), look(inspector, place))
    assert first == second == third
    assert store.calls.total() == calls
    await look(inspector, place, revision="r2")
    assert store.calls.total() > calls
