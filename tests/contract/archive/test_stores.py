"""Whatever the source and the store: the same bytes, and they are the right ones."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, FixtureStore, Store
from together_operator.archive import s3_wiring
from together_operator.archive.errors import DestinationUnwritable, PermissionRefused
from together_operator.archive.locations import S3Location
from together_operator.archive.progress import Progress
from together_operator.archive.run import Workers, archive, prepare
from together_operator.archive.sources.opening import StoreOptions

FORMATS = ["zip", "tar", "tar.gz"]


def contents(data: bytes, archive_format: str) -> dict[str, bytes]:
    if archive_format == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            assert opened.testzip() is None
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(data)) as opened_tar:
        return {
            member.name: opened_tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in opened_tar
        }


@pytest.fixture(params=["fixture", "moto"])
def any_store(request: pytest.FixtureRequest) -> Store:
    name = "store" if request.param == "fixture" else "moto_store"
    store: Store = request.getfixturevalue(name)
    return store


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_directory_and_a_prefix_give_the_same_right_archive(
    any_store: Store, files: Mapping[str, bytes], directory: Path, archive_format: str
) -> None:
    any_store.put(files)
    for number, source in enumerate((str(directory), f"s3://{BUCKET}/source/")):
        destination = f"s3://{BUCKET}/out-{number}.{archive_format}"
        result = any_store.archive(source, destination, archive_format)
        assert result.uri == destination
        assert not result.resumed
    first, second = (any_store.get(f"out-{n}.{archive_format}") for n in range(2))
    assert first == second
    assert contents(first, archive_format) == files
    assert result.size_bytes == len(first)
    assert any_store.uploads() == []


def test_the_store_copies_what_is_large_and_says_the_same_bytes(
    full_store: FixtureStore, directory: Path
) -> None:
    copied = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/copied.zip")
    streamed = full_store.archive(str(directory), f"s3://{BUCKET}/streamed.zip")
    assert copied.copied_bytes > 0.5 * copied.size_bytes
    assert copied.copied_bytes + copied.sent_bytes == copied.size_bytes
    assert streamed.copied_bytes == 0
    assert streamed.crc32 == copied.crc32
    assert full_store.get("copied.zip") == full_store.get("streamed.zip")


def test_a_bucket_with_versions_is_copied_from_the_version_that_was_listed(
    moto_store: Store, files: Mapping[str, bytes]
) -> None:
    moto_store.client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    moto_store.put(dict.fromkeys(files, b"older"))
    moto_store.put(files)
    result = moto_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/out.tar", "tar")
    assert result.copied_bytes
    assert contents(moto_store.get("out.tar"), "tar") == files


def test_an_archive_that_nobody_could_download_is_not_called_done(
    store: FixtureStore, directory: Path
) -> None:
    store.fixture.fail("GetObject", "access_denied", times=10)  # only the proof reads here
    with pytest.raises(PermissionRefused, match="these credentials need s3:GetObject"):
        store.archive(str(directory))


def test_another_endpoint_is_streamed_from(
    full_store: FixtureStore, moto_store: Store, files: Mapping[str, bytes]
) -> None:
    options = StoreOptions(
        endpoint_url=moto_store.url, source_endpoint_url=full_store.url, region="us-east-1"
    )
    environ = {
        **moto_store.environ,
        **{"SOURCE_" + name: value for name, value in full_store.environ.items()},
    }
    target = S3Location(BUCKET, "out.zip")
    source = s3_wiring.open_prefix(S3Location(BUCKET, "source/"), target, options, environ)
    prepared = prepare(source, "zip", include=["*"], check=False)
    destination = s3_wiring.open_destination(target, source, prepared, options, environ)
    result = archive(prepared, source, destination, Progress(), Workers(4, 4, 2))
    assert result.copied_bytes == 0
    assert contents(moto_store.get("out.zip"), "zip") == files


def test_an_archive_that_is_there_is_not_made_again(full_store: FixtureStore) -> None:
    first = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/archives/")
    again = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/archives/")
    assert (again.resumed, again.sent_bytes, again.copied_bytes) == (True, 0, 0)
    assert (again.uri, again.digest, again.size_bytes) == (
        first.uri,
        first.digest,
        first.size_bytes,
    )
    assert full_store.keys("archives/") == [first.uri.removeprefix(f"s3://{BUCKET}/")]


def test_a_changed_source_is_archived_under_another_key(full_store: FixtureStore) -> None:
    first = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/archives/")
    full_store.put({"config.json": b'{"new": 1}'})
    second = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/archives/")
    assert first.uri != second.uri
    assert first.digest != second.digest


def test_an_archive_below_its_own_source_does_not_contain_itself(
    full_store: FixtureStore, files: Mapping[str, bytes]
) -> None:
    for _ in range(2):
        result = full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/source/")
    key = result.uri.removeprefix(f"s3://{BUCKET}/")
    assert contents(full_store.get(key), "zip") == files
    full_store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/source/mine.zip")
    named = contents(full_store.get("source/mine.zip"), "zip")
    assert set(named) == {*files, key.removeprefix("source/")}


@pytest.mark.parametrize(
    "name",
    [
        "a b+c%20d#e?f&g=h;i'j.txt",
        "caf\u00e9/\u6a21\u578b.json",
        "cafe\u0301",
        "n" * 250,
        "-x",
        "~",
    ],
)
def test_keys_of_any_spelling_are_read_and_copied(any_store: Store, name: str) -> None:
    files = {name: b"x" * (17 << 20), "config.json": b"{}"}
    any_store.put(files)
    any_store.archive(f"s3://{BUCKET}/source/")
    assert contents(any_store.get("out.zip"), "zip") == files


def test_more_than_a_thousand_objects_are_all_there(store: FixtureStore) -> None:
    files = {f"{number:05d}": str(number).encode() for number in range(2_100)}
    for name, data in files.items():
        store.fixture.storage.put_bytes(BUCKET, "source/" + name, data)
    store.archive(f"s3://{BUCKET}/source/", f"s3://{BUCKET}/out.tar", "tar")
    assert contents(store.get("out.tar"), "tar") == files


def test_more_than_a_thousand_parts_are_listed_and_completed(store: FixtureStore) -> None:
    block = store.fixture.storage.put_bytes(BUCKET, "block", bytes(64 << 20)).content
    huge = block.joined([block] * 2_240)  # 140 GiB that share 64 MiB
    store.fixture.storage.put_content(BUCKET, "source/huge", huge)
    result = store.archive(f"s3://{BUCKET}/source/")
    stored = store.fixture.storage.buckets[BUCKET].objects["out.zip"]
    assert stored.content.size == result.size_bytes
    assert int(stored.etag.strip('"').rpartition("-")[2]) > 1000
    assert result.sent_bytes < 8 << 20
    assert result.crc32 == f"{store.fixture.storage.crcs.crc(stored.content):08x}"


def test_sizes_around_the_minimum_part(store: FixtureStore, tmp_path: Path) -> None:
    minimum = 5 << 20
    for sizes in ((1,), (minimum - 1,), (minimum,), (minimum + 1, 0), (minimum, 9 << 20, 1)):
        files = {f"f{n}": bytes([n + 1]) * size for n, size in enumerate(sizes)}
        root = tmp_path / "-".join(map(str, sizes))
        root.mkdir()
        for name, data in files.items():
            (root / name).write_bytes(data)
        for form in FORMATS:
            store.archive(str(root), f"s3://{BUCKET}/{root.name}.{form}", form)
            assert contents(store.get(f"{root.name}.{form}"), form) == files


def test_no_such_bucket_is_a_matter_of_the_destination(
    store: FixtureStore, directory: Path
) -> None:
    with pytest.raises(DestinationUnwritable, match="NoSuchBucket; check the bucket's name"):
        store.archive(str(directory), "s3://other-bucket/out.zip")


def test_a_wrong_secret_is_a_matter_of_permission(store: FixtureStore, directory: Path) -> None:
    store.environ = {**store.environ, "AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(PermissionRefused) as caught:
        store.archive(str(directory))
    assert "check the credentials" in str(caught.value)
    assert "a message with a secret" not in str(caught.value)
    assert "wrong" not in str(caught.value)
