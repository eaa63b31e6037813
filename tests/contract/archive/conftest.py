"""Stores for the archiver: our fixture, which can behave badly, and moto, which is not ours."""

import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.support.s3_fixture import Quirks, S3Fixture
from tests.support.simulators.s3 import S3Simulator
from together_operator.archive import s3_wiring
from together_operator.archive.locations import S3Location, parse_destination
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result
from together_operator.archive.run import Workers, archive, prepare
from together_operator.archive.sources.opening import StoreOptions, open_source

MIB = 1 << 20
BUCKET = "models"


def sample_files() -> dict[str, bytes]:
    """Small files, some of several parts, and one that the minimum of 5 MiB cuts awkwardly."""
    files = {"config.json": b"{}", "tokenizer.json": b"[]" * 300, "sub/empty": b"", "sub/one": b"1"}
    for number, size in enumerate((27 * MIB + 17, 13 * MIB - 1, 5 * MIB + 3)):
        files[f"model-{number}.bin"] = random.Random(number).randbytes(size)
    return files


@dataclass
class Store:
    """A running S3 server with one bucket."""

    url: str
    environ: Mapping[str, str]

    @property
    def client(self):  # type: ignore[no-untyped-def]  # boto3-stubs knows it by the call only
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def put(self, files: Mapping[str, bytes], prefix: str = "source/") -> None:
        client = self.client
        for name, data in files.items():
            client.put_object(Bucket=BUCKET, Key=prefix + name, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def uploads(self) -> list[str]:
        listed = self.client.list_multipart_uploads(Bucket=BUCKET)
        return [upload["UploadId"] for upload in listed.get("Uploads", [])]

    def archive(
        self,
        source: str,
        destination: str = f"s3://{BUCKET}/out.zip",
        archive_format: str = "zip",
        *,
        workers: int = 4,
        stop: threading.Event | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """As the command does, in this process and without the checks of a model's structure."""
        options = StoreOptions(endpoint_url=self.url, region="us-east-1")
        target = parse_destination(destination)
        assert isinstance(target, S3Location)
        opened = open_source(source, target, options, self.environ)
        prepared = prepare(opened, archive_format, include=["*"], check=False)
        return archive(
            prepared,
            opened,
            s3_wiring.open_destination(target, opened, prepared, options, self.environ),
            progress or Progress(),
            Workers(workers, workers, 2, stop or threading.Event()),
        )


class FixtureStore(Store):
    def __init__(self, fixture: S3Fixture) -> None:
        super().__init__(fixture.url, fixture.environ)
        self.fixture = fixture
        self.client.create_bucket(Bucket=BUCKET)


@pytest.fixture(scope="session")
def files() -> Mapping[str, bytes]:
    return sample_files()


@pytest.fixture
def quirks() -> Quirks:
    """Overridden by parametrization where a test wants a bad store."""
    return Quirks()


@pytest.fixture
def store(quirks: Quirks) -> Iterator[FixtureStore]:
    """A fresh fixture."""
    with S3Fixture(quirks, arena_bytes=8 << 30) as fixture:
        yield FixtureStore(fixture)


@pytest.fixture
def full_store(store: FixtureStore, files: Mapping[str, bytes]) -> FixtureStore:
    """The sample model is below `source/`."""
    for name, data in files.items():
        store.fixture.storage.put_bytes(BUCKET, "source/" + name, data)
    return store


@pytest.fixture
def moto_store(s3_sim: S3Simulator) -> Store:
    store = Store(s3_sim.url, s3_sim.environment)
    store.client.create_bucket(Bucket=BUCKET)
    return store


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory, files: Mapping[str, bytes]) -> Path:
    """The sample model as a directory."""
    root = tmp_path_factory.mktemp("model")
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return root


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's standard retries, without the waiting between them."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
