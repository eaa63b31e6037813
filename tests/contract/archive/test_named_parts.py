"""Stores that complete an upload only of all its parts, as Ceph does."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, MIB, FixtureStore
from tests.support.s3_fixture import Quirks, S3Fixture
from together_operator.archive.destinations.s3_notes import archive_key, probe_key
from together_operator.archive.errors import TemporaryFailure

SOURCE = f"s3://{BUCKET}/source/"
NOTE = "out.zip.upload"
every_part_named = pytest.mark.parametrize("quirks", [Quirks(every_part_named=True)], ids=[""])


@every_part_named
@pytest.mark.parametrize(
    ("from_directory", "archive_format"),
    [(True, "zip"), (True, "tar"), (True, "tar.gz"), (False, "zip"), (False, "tar")],
    ids=["stream-zip", "stream-tar", "tar.gz", "copy-zip", "copy-tar"],
)
def test_the_archive_is_as_on_any_store_and_sent_once(
    full_store: FixtureStore, directory: Path, from_directory: bool, archive_format: str
) -> None:
    store, key = full_store, f"out.{archive_format}"
    source = str(directory) if from_directory else SOURCE
    before = set(store.keys())
    store.fixture.counters.bytes_in = 0
    result = store.archive(source, f"s3://{BUCKET}/{key}", archive_format)
    assert result.sent_bytes + result.copied_bytes == result.size_bytes
    assert store.fixture.counters.bytes_in < result.sent_bytes + MIB
    assert bool(result.copied_bytes) is not from_directory
    assert set(store.keys()) == {*before, key}
    assert store.uploads() == []

    with S3Fixture(arena_bytes=1 << 30) as fixture:
        good = FixtureStore(fixture)
        for name, stored in store.fixture.storage.buckets[BUCKET].objects.items():
            if name.startswith("source/"):
                fixture.storage.put_bytes(BUCKET, name, bytes(stored.content))
        good.archive(source, f"s3://{BUCKET}/{key}", archive_format)
        assert fixture.content(BUCKET, key) == store.fixture.content(BUCKET, key)


def interrupted(store: FixtureStore) -> Mapping[str, str]:
    """A run that fails at its end; returns the note that it leaves."""
    store.fixture.fail("CompleteMultipartUpload", "access_denied", skip=1)
    with pytest.raises(TemporaryFailure, match="did not accept"):
        store.archive(SOURCE)
    note: Mapping[str, str] = json.loads(store.get(NOTE))
    assert [note["uploadId"]] == store.uploads()
    return note


@every_part_named
def test_an_upload_of_the_same_plan_is_gone_on_with(full_store: FixtureStore) -> None:
    interrupted(full_store)
    result = full_store.archive(SOURCE)
    assert (result.resumed, result.sent_bytes, result.copied_bytes) == (True, 0, 0)
    assert NOTE not in set(full_store.keys())
    assert full_store.uploads() == []


@every_part_named
@pytest.mark.parametrize("field", ["plan", "layout", "uploadId"])
def test_a_note_of_something_else_is_not_gone_by(full_store: FixtureStore, field: str) -> None:
    note = interrupted(full_store)
    full_store.put({NOTE: json.dumps({**note, field: "other"}).encode()}, prefix="")
    result = full_store.archive(SOURCE)
    assert not result.resumed
    assert NOTE not in set(full_store.keys())
    assert full_store.uploads() == ([note["uploadId"]] if field == "uploadId" else [])


@every_part_named
@pytest.mark.parametrize("content", [b"mine", b"[]", b'{"uploadId": "1"}', b'"' + b"x" * 5000])
def test_an_object_of_somebody_else_at_the_notes_key_stays(
    full_store: FixtureStore, content: bytes
) -> None:
    full_store.put({NOTE: content}, prefix="")
    full_store.archive(SOURCE)
    assert full_store.get(NOTE) == content
    assert full_store.get("out.zip")


@every_part_named
@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "DeleteObject"])
def test_an_archive_is_made_where_notes_are_forbidden(
    full_store: FixtureStore, directory: Path, operation: str
) -> None:
    full_store.fixture.fail(operation, "access_denied", times=1)
    full_store.archive(str(directory))
    assert full_store.get("out.zip")
    assert full_store.uploads() == []


@every_part_named
def test_what_a_killed_run_left_beside_its_finished_archive_goes(full_store: FixtureStore) -> None:
    full_store.fixture.fail("DeleteObject", "access_denied", times=1)
    full_store.archive(SOURCE)
    assert NOTE in set(full_store.keys())
    assert full_store.archive(SOURCE).resumed
    assert NOTE not in set(full_store.keys())


@every_part_named
def test_an_upload_with_markers_is_given_up(full_store: FixtureStore) -> None:
    """As an earlier version leaves it."""
    full_store.fixture.quirks.every_part_named = False
    full_store.fixture.fail("CompleteMultipartUpload", "access_denied", skip=1)
    with pytest.raises(TemporaryFailure, match="did not accept"):
        full_store.archive(SOURCE)
    full_store.fixture.quirks.every_part_named = True
    assert not full_store.archive(SOURCE).resumed
    assert full_store.uploads() == []


@every_part_named
def test_a_source_around_its_archive_contains_no_notes(full_store: FixtureStore) -> None:
    full_store.put({"zzz.zip.upload": b"no note"})
    first = full_store.archive(SOURCE, f"{SOURCE}out.zip")
    full_store.fixture.storage.buckets[BUCKET].objects.pop("source/out.zip")
    for key in ("out.zip.upload", probe_key("source/out.zip").removeprefix("source/")):
        full_store.put({key: b"left over"})
    again = full_store.archive(SOURCE, f"{SOURCE}out.zip")
    assert again.digest == first.digest


@pytest.mark.parametrize("quirks", [Quirks(minimum_part=0)], ids=[""])
def test_a_store_without_a_minimum_is_left_clean(full_store: FixtureStore) -> None:
    before = set(full_store.keys())
    full_store.archive(SOURCE)
    assert set(full_store.keys()) == {*before, "out.zip"}


def test_notes_and_probes_are_known_by_their_keys() -> None:
    assert archive_key("a/b.zip.upload") == "a/b.zip"
    assert archive_key(probe_key("a/b.zip")) == "a/b.zip"
    assert archive_key("a/b.probe-1.zip") == "a/b.probe-1.zip"
    assert archive_key("b.zip.probe-00000000") == "b.zip.probe-00000000"
