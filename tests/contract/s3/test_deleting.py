"""Deleting archives: ours in our folder, whole and unfinished ones, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import SecretStr

from tests.contract.archive.conftest import FixtureStore
from tests.contract.s3.conftest import BUCKET, keys
from tests.support.s3_fixture import Quirks, S3Fixture
from tests.support.simulators.s3 import S3Simulator
from together_operator.adapters.s3 import S3Archives
from together_operator.api.v1alpha1 import S3Location
from together_operator.archive.destinations.s3_notes import probe_key
from together_operator.domain import errors

Values = Mapping[str, SecretStr]
FOLDER = "archives/team/model-0123456789/"
OURS = [
    f"{FOLDER}weights-01234567-0123456789abcdef.zip",
    f"{FOLDER}v1.0_x-89abcdef-fedcba9876543210.tar",
    f"{FOLDER}model-01234567-0123456789abcdef.tar.gz",
    f"{FOLDER}model-01234567-0123456789abcdef.tar.gz.upload",
    probe_key(f"{FOLDER}model-01234567-0123456789abcdef.tar.gz"),
]
OTHERS = [
    "archives/team/model-9876543210/weights-01234567-0123456789abcdef.zip",
    "archives/team/model-0123456789-weights-01234567-0123456789abcdef.zip",
    f"{FOLDER}weights.zip",
    f"{FOLDER}nested/weights-01234567-0123456789abcdef.zip",
    f"{FOLDER}weights-01234567-0123456789abcdef.zip.backup",
    f"{FOLDER}weights-01234567-0123456789abcdeg.zip",
    f"{FOLDER}weights.zip.upload",
]


def fill(store: S3Simulator) -> None:
    """Put archives of ours and of others there, and an unfinished upload of each."""
    for key in OURS + OTHERS:
        store.client().put_object(Bucket=BUCKET, Key=key, Body=b"archive")
    for key in (OURS[0], OTHERS[0]):
        store.client().create_multipart_upload(Bucket=BUCKET, Key=key)


async def test_only_archives_of_ours_in_the_folder_go(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    fill(store)

    await archives.delete_archives(location, f"s3://{BUCKET}/{FOLDER}", credentials)

    assert store.keys(BUCKET) == sorted(OTHERS)
    assert store.unfinished_uploads(BUCKET) == [OTHERS[0]]


async def test_an_upload_at_the_key_of_an_archive_goes_where_no_prefix_is_understood(
    archives: S3Archives,
) -> None:
    """MinIO lists the uploads of one key only."""
    with S3Fixture(Quirks(exact_prefix=True), arena_bytes=1 << 30) as fixture:
        store = FixtureStore(fixture)
        store.put({OURS[0]: b"archive", f"{OURS[1]}.upload": b"note"}, prefix="")
        for key in OURS[:2]:
            store.client.create_multipart_upload(Bucket=BUCKET, Key=key)
        location = S3Location(region="us-east-1", endpoint_url=store.url)
        credentials = {name: SecretStr(value) for name, value in store.environ.items()}
        await archives.delete_archives(location, f"s3://{BUCKET}/{FOLDER}", credentials)
        assert (store.keys(), store.uploads()) == ([], [])


async def test_where_archives_are_kept_only_unfinished_ones_go(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    fill(store)

    folder = f"s3://{BUCKET}/{FOLDER}"
    await archives.delete_archives(location, folder, credentials, keep_whole=True)

    assert store.keys(BUCKET) == sorted(OTHERS + OURS[:3])
    assert store.unfinished_uploads(BUCKET) == [OTHERS[0]]


async def test_an_empty_folder_is_fine_and_so_is_doing_it_twice(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    for _ in range(2):
        await archives.delete_archives(location, f"s3://{BUCKET}/{FOLDER}", credentials)


async def test_credentials_that_may_not_look_are_told(
    archives: S3Archives, store: S3Simulator, location: S3Location
) -> None:
    wrong = keys(store.access_key_id, "not-the-secret")
    with pytest.raises(errors.Forbidden):
        await archives.delete_archives(location, f"s3://{BUCKET}/{FOLDER}", wrong)


async def test_a_bucket_that_is_gone_is_told(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    with pytest.raises(errors.NotFound):
        await archives.delete_archives(location, f"s3://no-such-bucket/{FOLDER}", credentials)


async def test_what_somebody_else_has_ended_meanwhile_is_fine(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list is of a moment before; an upload that is gone must not pass for a lost bucket."""
    from together_operator.adapters import s3_calls

    for key in OURS[:2]:
        store.client().create_multipart_upload(Bucket=BUCKET, Key=key)
    listed, looks = s3_calls._unfinished, []

    def with_one_that_ends(*place: Any) -> list[tuple[str, str]]:
        found = listed(*place)
        looks.append(found)
        if len(looks) == 1:
            key, upload = found[0]
            store.client().abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)
        return found

    monkeypatch.setattr(s3_calls, "_unfinished", with_one_that_ends)
    await archives.delete_archives(location, f"s3://{BUCKET}/{FOLDER}", credentials)

    assert [len(found) for found in looks] == [2, 0]
    assert store.unfinished_uploads(BUCKET) == []


def test_the_names_are_those_that_the_worker_gives() -> None:
    from together_operator.adapters.s3_calls import _OUR_ARCHIVE
    from together_operator.archive.run import FORMATS, derived_name

    class Somewhere:
        uri = "s3://bucket/weird näme/"
        revision = None

    for archive_format in FORMATS:
        name, _ = derived_name(Somewhere(), "0123456789abcdef" * 4, archive_format)  # type: ignore[arg-type]
        assert _OUR_ARCHIVE.fullmatch(name), name
