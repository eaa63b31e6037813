"""Stores that lie, lose and forget: a right archive, or an error that says what to do."""

import io
import threading
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, FixtureStore
from tests.support.s3_fixture import Quirks
from tests.support.s3_fixture.operations import S3Error
from together_operator.archive.errors import (
    ArchiveError,
    PermissionRefused,
    SourceChanged,
    TemporaryFailure,
)

SOURCE = f"s3://{BUCKET}/source/"


def assert_right(store: FixtureStore, files: Mapping[str, bytes], key: str = "out.zip") -> None:
    with zipfile.ZipFile(io.BytesIO(store.fixture.content(BUCKET, key))) as opened:
        assert opened.testzip() is None
        assert {name: opened.read(name) for name in opened.namelist()} == files
    assert store.fixture.storage.uploads == {}


@pytest.mark.parametrize(
    ("quirks", "copies"),
    [
        (Quirks(copy="empty_part"), False),
        (Quirks(copy="not_implemented"), False),
        (Quirks(copy="forbidden"), False),
        (Quirks(copy_checksums=False), False),
        (Quirks(honours_if_match=False), True),
        (Quirks(checksums="ignored"), False),
        (Quirks(checksums="refused"), False),
        (Quirks(trailers=False), False),
        (Quirks(list_uploads=False), True),
        (Quirks(equal_parts=True), True),
        (Quirks(kms_etags=True), True),
        (Quirks(every_part_named=True), True),
        (Quirks(every_part_named=True, checksums="refused"), False),
        (Quirks(every_part_named=True, list_uploads=False), True),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else _differences(value),
)
@pytest.mark.parametrize("from_directory", [False, True], ids=["prefix", "directory"])
def test_a_store_with_a_quirk_gets_a_right_archive(
    full_store: FixtureStore,
    files: Mapping[str, bytes],
    directory: Path,
    copies: bool,
    from_directory: bool,
) -> None:
    result = full_store.archive(str(directory) if from_directory else SOURCE)
    assert_right(full_store, files)
    if copies and not from_directory and not full_store.fixture.quirks.equal_parts:
        assert result.copied_bytes
    if not copies or from_directory:
        assert result.copied_bytes == 0


def _differences(quirks: Quirks) -> str:
    default = vars(Quirks())
    return ",".join(f"{k}={v}" for k, v in vars(quirks).items() if default[k] != v)


@pytest.mark.parametrize("quirks", [Quirks(copy_checksums=False)])
def test_a_store_without_copy_checksums_copies_where_it_keeps_them_for_objects(
    full_store: FixtureStore, files: Mapping[str, bytes]
) -> None:
    bucket = full_store.fixture.storage.buckets[BUCKET]
    for stored in bucket.objects.values():
        stored.crc = full_store.fixture.storage.crcs.crc(stored.content)
    result = full_store.archive(SOURCE)
    assert result.copied_bytes
    assert_right(full_store, files)


def test_a_source_whose_own_checksum_disagrees_is_never_archived(full_store: FixtureStore) -> None:
    stored = full_store.fixture.storage.buckets[BUCKET].objects["source/model-0.bin"]
    stored.crc = 12345
    with pytest.raises(TemporaryFailure, match="does not have the checksum"):
        full_store.archive(SOURCE)
    assert "out.zip" not in full_store.fixture.storage.buckets[BUCKET].objects
    assert full_store.fixture.storage.uploads == {}


@pytest.mark.parametrize("quirks", [Quirks(corrupt_put=True)])
def test_a_store_that_damages_parts_is_found_out(full_store: FixtureStore, directory: Path) -> None:
    with pytest.raises(TemporaryFailure):
        full_store.archive(str(directory))
    assert "out.zip" not in full_store.fixture.storage.buckets[BUCKET].objects


CALLS = {
    "ListObjectsV2": 2,
    "HeadObject": 4,
    "GetObject": 4,
    "ListMultipartUploads": 2,
    "CreateMultipartUpload": 3,
    "UploadPart": 4,
    "UploadPartCopy": 3,
    "ListParts": 2,
    "CompleteMultipartUpload": 2,
}
"""How often one run calls an operation, at least."""


@pytest.mark.parametrize(
    ("operation", "skip"),
    [(operation, skip) for operation, calls in CALLS.items() for skip in (0, calls - 1)],
)
@pytest.mark.parametrize("kind", ["internal_error", "slow_down", "lost_answer", "reset_request"])
def test_one_failure_anywhere_is_survived(
    full_store: FixtureStore,
    files: Mapping[str, bytes],
    fast_retries: None,
    operation: str,
    kind: str,
    skip: int,
) -> None:
    full_store.fixture.fail(operation, kind, skip=skip)  # type: ignore[arg-type]
    full_store.archive(SOURCE)
    assert full_store.fixture.faults.unused() == []
    with zipfile.ZipFile(io.BytesIO(full_store.fixture.content(BUCKET, "out.zip"))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files


@pytest.mark.parametrize("operation", ["UploadPartCopy", "CompleteMultipartUpload"])
def test_an_error_in_a_200_is_an_error(
    full_store: FixtureStore, files: Mapping[str, bytes], fast_retries: None, operation: str
) -> None:
    full_store.fixture.fail(
        operation, "error_in_200", times=2, skip=1 if "Copy" in operation else 0
    )
    full_store.archive(SOURCE)
    assert_right(full_store, files)


@pytest.mark.parametrize("archive_format", ["zip", "tar.gz"])
def test_connections_that_break_within_bodies_are_taken_up_again(
    full_store: FixtureStore, files: Mapping[str, bytes], fast_retries: None, archive_format: str
) -> None:
    full_store.fixture.quirks.copy = "not_implemented"
    full_store.fixture.fail("GetObject", "reset_response", times=4, skip=2)
    full_store.fixture.fail("UploadPart", "reset_request", times=3, skip=5)
    full_store.archive(SOURCE, f"s3://{BUCKET}/out.{archive_format}", archive_format)
    if archive_format == "zip":
        assert_right(full_store, files)
    else:
        full_store.fixture.quirks.copy = "works"
        full_store.archive(SOURCE, f"s3://{BUCKET}/quiet.tar.gz", archive_format)
        assert full_store.get("out.tar.gz") == full_store.get("quiet.tar.gz")


@pytest.mark.parametrize(
    ("operation", "kind", "code"),
    [
        ("HeadObject", "internal_error", 75),
        ("UploadPart", "slow_down", 75),
        ("UploadPart", "access_denied", 77),
        ("CreateMultipartUpload", "access_denied", 77),
        ("GetObject", "internal_error", 75),
        ("ListObjectsV2", "access_denied", 77),
        ("CompleteMultipartUpload", "internal_error", 75),
    ],
)
def test_a_lasting_failure_ends_with_its_exit_code_and_one_harmless_line(
    full_store: FixtureStore, fast_retries: None, operation: str, kind: str, code: int
) -> None:
    full_store.fixture.fail(operation, kind, times=10_000)  # type: ignore[arg-type]
    with pytest.raises(ArchiveError) as caught:
        full_store.archive(SOURCE)
    assert caught.value.exit_code == code
    text = str(caught.value)
    assert "\n" not in text
    assert "secret" not in text
    assert "Signature" not in text
    assert "out.zip" not in full_store.fixture.storage.buckets[BUCKET].objects


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_store_that_is_busy_when_the_archive_is_read_back_ends_nothing_for_good(
    full_store: FixtureStore, directory: Path, fast_retries: None, status: int
) -> None:
    def refuse(operation: str, _query: Mapping[str, str]) -> None:
        if operation == "GetObject":
            raise S3Error(status, "SlowDown")

    full_store.fixture.before = refuse
    with pytest.raises(TemporaryFailure, match=f"reading it back failed .{status}.; the store is"):
        full_store.archive(str(directory))
    full_store.fixture.before = lambda _operation, _query: None
    assert full_store.archive(str(directory)).sent_bytes == 0


@pytest.mark.parametrize("status", [400, 403])
def test_a_head_without_words_is_explained_by_the_next_request(
    full_store: FixtureStore, directory: Path, status: int
) -> None:
    def refuse(operation: str, _query: Mapping[str, str]) -> None:
        if operation in ("HeadObject", "CreateMultipartUpload"):
            raise S3Error(status, "ExpiredToken")

    full_store.fixture.before = refuse
    with pytest.raises(PermissionRefused, match="ExpiredToken; check the credentials"):
        full_store.archive(str(directory))


def replace(store: FixtureStore) -> None:
    store.fixture.storage.put_bytes(BUCKET, "source/model-0.bin", b"other" * (9 << 20))


def truncate(store: FixtureStore) -> None:
    store.fixture.storage.put_bytes(BUCKET, "source/model-0.bin", b"x")


def delete(store: FixtureStore) -> None:
    store.fixture.storage.buckets[BUCKET].objects.pop("source/model-0.bin", None)


def replace_a_small_one(store: FixtureStore) -> None:
    store.fixture.storage.put_bytes(BUCKET, "source/config.json", b"[]")


@pytest.mark.parametrize("change", [replace, truncate, delete, replace_a_small_one])
@pytest.mark.parametrize(
    "moment", ["CreateMultipartUpload", "UploadPartCopy", "UploadPart", "CompleteMultipartUpload"]
)
@pytest.mark.parametrize(
    "quirks",
    [
        Quirks(),
        Quirks(honours_if_match=False),
        Quirks(copy="not_implemented"),
        Quirks(copy="not_implemented", honours_if_match=False),
    ],
    ids=["good", "ignores If-Match", "streamed", "streamed, ignores If-Match"],
)
def test_a_source_that_changes_meanwhile_is_noticed_or_archived_as_it_was(
    full_store: FixtureStore,
    files: Mapping[str, bytes],
    change: Callable[[FixtureStore], None],
    moment: str,
) -> None:
    changed: list[str] = []

    def interfere(operation: str, query: Mapping[str, str]) -> None:
        probing = moment == "CreateMultipartUpload" and not changed
        in_time = probing or query.get("partNumber") not in ("1", "9998")
        if operation == moment and in_time and not changed:
            changed.append(operation)
            change(full_store)

    full_store.fixture.before = interfere
    error = archive_error(full_store)
    if error is not None:
        assert isinstance(error, SourceChanged)
        assert "run again" in str(error)
        assert "out.zip" not in full_store.fixture.storage.buckets[BUCKET].objects
    else:
        # Nothing was left to be read when it changed.
        assert not changed or moment in ("CompleteMultipartUpload", "UploadPartCopy")
        assert_right(full_store, files)


def archive_error(store: FixtureStore) -> ArchiveError | None:
    try:
        store.archive(SOURCE)
    except ArchiveError as error:
        return error
    return None


def test_two_workers_on_one_key_both_succeed(
    full_store: FixtureStore, files: Mapping[str, bytes]
) -> None:
    failures: list[str] = []

    def work() -> None:
        try:
            full_store.archive(SOURCE)
        except ArchiveError as error:
            failures.append(f"{error.exit_code}: {error}")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [failure for failure in failures if not failure.startswith("75: ")] == []
    assert len(failures) < 3
    with zipfile.ZipFile(io.BytesIO(full_store.fixture.content(BUCKET, "out.zip"))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == files
