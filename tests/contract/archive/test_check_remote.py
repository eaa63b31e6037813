"""`together-operator check` on what is at a store: a prefix, an archive, a presigned URL."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, FixtureStore
from tests.support.simulators.tiny_models import write_model
from together_operator.archive.errors import PermissionRefused, SourceUnacceptable
from together_operator.archive.sources.opening import StoreOptions
from together_operator.check_cli import find


@pytest.fixture
def good(store: FixtureStore, tmp_path: Path) -> FixtureStore:
    """A good model below `good/`, packed as `good.zip`, `good.tar` and `good.tar.gz`."""
    model = write_model(tmp_path / "model", architecture="Qwen2ForCausalLM")
    store.put({path.name: path.read_bytes() for path in model.iterdir()}, "good/")
    for form in ("zip", "tar", "tar.gz"):
        store.archive(str(model), f"s3://{BUCKET}/good.{form}", form)
    return store


def rules(store: FixtureStore, source: str, environ: Mapping[str, str] | None = None) -> list[str]:
    options = StoreOptions(endpoint_url=store.url, region="us-east-1")
    return [finding.rule for finding in find(source, options, environ or store.environ)]


def presigned(store: FixtureStore, key: str, seconds: int = 60) -> str:
    url: str = store.client.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=seconds
    )
    return url


@pytest.mark.parametrize("name", ["good/", "good.zip", "good.tar", "good.tar.gz"])
def test_a_good_model_is_acceptable_wherever_it_is(good: FixtureStore, name: str) -> None:
    assert rules(good, f"s3://{BUCKET}/{name}") == []
    if not name.endswith("/"):
        assert rules(good, presigned(good, name)) == []


def test_little_is_read_of_a_large_archive(store: FixtureStore, directory: Path) -> None:
    store.archive(str(directory))
    store.fixture.counters.bytes_out = 0
    rules(store, f"s3://{BUCKET}/out.zip")
    assert store.fixture.counters.bytes_out < 2 << 20


def test_what_is_wrong_is_found_through_every_door(good: FixtureStore) -> None:
    good.fixture.storage.buckets[BUCKET].objects.pop("good/tokenizer.json")
    assert rules(good, f"s3://{BUCKET}/good/") == ["tokenizer/missing"]
    whole = good.get("good.zip")
    good.put({"cut.zip": whole[: len(whole) // 2]}, "")
    assert rules(good, f"s3://{BUCKET}/cut.zip") == ["archive/format"]
    assert rules(good, presigned(good, "cut.zip")) == ["archive/format"]


def test_a_url_that_has_expired_is_a_matter_of_permission_and_never_quoted(
    good: FixtureStore,
) -> None:
    with pytest.raises(PermissionRefused, match="sign it anew") as caught:
        rules(good, presigned(good, "good.zip", seconds=-1))
    assert "Signature" not in str(caught.value)


def test_what_is_not_there_is_said(good: FixtureStore) -> None:
    with pytest.raises(SourceUnacceptable, match="is not there"):
        rules(good, f"s3://{BUCKET}/nothing.zip")
    with pytest.raises(SourceUnacceptable, match="the URL answers 404"):
        rules(good, presigned(good, "nothing.zip"))
    with pytest.raises(SourceUnacceptable, match="no file to archive"):
        rules(good, f"s3://{BUCKET}/nothing/")
