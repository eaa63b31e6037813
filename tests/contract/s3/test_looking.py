"""Looking at sources: what a look tells, and how it fails."""

import asyncio
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from tests.contract.s3.conftest import BUCKET, HERE, SECRET, keys
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.together import Fault
from together_operator.adapters.s3 import S3Archives
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain import errors
from together_operator.domain.source import SourceFacts

ARCHIVE = "weights/model v1+%2F#ü.zip"
URI = f"s3://{BUCKET}/{ARCHIVE}"
Values = Mapping[str, SecretStr]


def put(store: S3Simulator, key: str, content: bytes = b"content") -> str:
    """Store an object; its ETag without quotes."""
    return store.client().put_object(Bucket=BUCKET, Key=key, Body=content)["ETag"].strip('"')


# One object.


async def test_head_tells_size_and_etag(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    etag = put(store, ARCHIVE, b"0123456789")
    found = await archives.head(location, URI, credentials)
    assert found == SourceFacts(revision=etag, files=None, size_bytes=10)


async def test_a_replaced_object_has_another_revision(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, ARCHIVE, b"before")
    before = await archives.head(location, URI, credentials)
    put(store, ARCHIVE, b"after")
    assert (await archives.head(location, URI, credentials)).revision != before.revision


async def test_values_of_a_secret_may_end_in_a_newline(
    archives: S3Archives, store: S3Simulator, location: S3Location
) -> None:
    put(store, ARCHIVE)
    padded = keys(store.access_key_id + "\n", " " + store.secret_access_key + "\r\n")
    assert (await archives.head(location, URI, padded)).size_bytes == 7


async def test_without_credentials_the_ambient_identity_is_used(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    aws_environment: pytest.MonkeyPatch,
) -> None:
    put(store, ARCHIVE)
    aws_environment.setenv("AWS_ACCESS_KEY_ID", store.access_key_id)
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", store.secret_access_key)
    assert (await archives.head(location, URI, None)).size_bytes == 7


async def test_the_endpoint_of_the_environment_is_the_default(
    archives: S3Archives,
    store: S3Simulator,
    credentials: Values,
    aws_environment: pytest.MonkeyPatch,
) -> None:
    put(store, ARCHIVE)
    aws_environment.setenv("AWS_ENDPOINT_URL", store.url)
    assert (await archives.head(S3Location(), URI, credentials)).size_bytes == 7


# A prefix.


async def test_a_prefix_tells_files_bytes_and_a_digest(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, "run/config.json", b"{}")
    put(store, "run/nested/model.safetensors", b"12345")
    put(store, "running/other", b"not below the prefix")
    found = await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)
    assert (found.files, found.size_bytes) == (2, 7)
    assert len(found.revision) == 32


async def test_a_prefix_is_a_folder_with_or_without_its_slash(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, "run/config.json")
    put(store, "runner/config.json")
    with_slash = await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)
    assert await archives.list_prefix(location, f"s3://{BUCKET}/run", credentials) == with_slash


async def test_the_digest_is_about_contents_not_about_where_they_are(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    for folder in ("one/", "two/"):
        put(store, folder + "a", b"A")
        put(store, folder + "b", b"B")
    one = await archives.list_prefix(location, f"s3://{BUCKET}/one/", credentials)
    assert await archives.list_prefix(location, f"s3://{BUCKET}/two/", credentials) == one


@pytest.mark.parametrize(
    ("key", "content"),
    [
        pytest.param("run/a", b"replaced", id="another content"),
        pytest.param("run/b", b"", id="one more file"),
    ],
)
async def test_a_change_below_a_prefix_changes_the_digest(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    key: str,
    content: bytes,
) -> None:
    put(store, "run/a", b"original")
    before = await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)
    put(store, key, content)
    after = await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)
    assert after.revision != before.revision


async def test_markers_of_directories_are_no_files(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, "run/config.json")
    before = await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)
    put(store, "run/", b"")
    put(store, "run/nested/", b"")
    assert await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials) == before


async def test_all_pages_of_a_listing_are_read(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    aws_environment: pytest.MonkeyPatch,
) -> None:
    aws_environment.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    for number in range(10):
        put(store, f"many/{number:04}", b"x")
    store.calls.clear()
    found = await archives.list_prefix(location, f"s3://{BUCKET}/many/", credentials)
    assert (found.files, found.size_bytes) == (10, 10)
    assert store.calls == {f"GET /{BUCKET}": 4}


async def test_a_bucket_as_a_whole_is_a_prefix(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, "config.json")
    assert (await archives.list_prefix(location, f"s3://{BUCKET}", credentials)).files == 1


@pytest.mark.parametrize("marker", [None, "empty/"], ids=["nothing", "only a marker"])
async def test_an_empty_prefix_is_not_found(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    marker: str | None,
) -> None:
    if marker is not None:
        put(store, marker, b"")
    with pytest.raises(errors.NotFound, match=f"s3://{BUCKET}/empty/ has no files"):
        await archives.list_prefix(location, f"s3://{BUCKET}/empty/", credentials)


# Failures: each is one of ours, names the object, and holds no secret and nothing of the answer.


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        pytest.param(f"s3://{BUCKET}/missing.zip", "NoSuchKey", id="object"),
        pytest.param("s3://no-such-bucket/model.zip", "NoSuchBucket", id="bucket"),
    ],
)
async def test_what_is_missing_is_not_found_and_named(
    archives: S3Archives, location: S3Location, credentials: Values, uri: str, code: str
) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await archives.head(location, uri, credentials)
    assert str(caught.value) == f"{uri}: {code}"


async def test_a_missing_bucket_of_a_prefix_is_not_found(
    archives: S3Archives, location: S3Location, credentials: Values
) -> None:
    with pytest.raises(errors.NotFound, match="NoSuchBucket"):
        await archives.list_prefix(location, "s3://no-such-bucket/run/", credentials)


async def test_an_unknown_access_key_is_unauthorized(
    archives: S3Archives, location: S3Location
) -> None:
    with pytest.raises(errors.Unauthorized) as caught:
        await archives.head(location, URI, keys("AKIAUNKNOWN", "top-secret-value"))
    assert str(caught.value) == f"{URI}: InvalidAccessKeyId"


async def test_a_wrong_secret_key_is_forbidden(
    archives: S3Archives, store: S3Simulator, location: S3Location
) -> None:
    with pytest.raises(errors.Forbidden) as caught:
        await archives.head(location, URI, keys(store.access_key_id, "top-secret-value"))
    assert str(caught.value) == f"{URI}: SignatureDoesNotMatch"


async def test_a_wrong_region_is_told(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    store.create_bucket("europe", "eu-west-1")
    with pytest.raises(errors.Rejected, match="in another region than the one that is given"):
        await archives.head(location, "s3://europe/model.zip", credentials)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(503, errors.RateLimited, id="SlowDown"),
        pytest.param(500, errors.Unavailable, id="InternalError"),
    ],
)
async def test_a_busy_store_is_tried_again_later(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    status: int,
    expected: type[errors.RemoteError],
) -> None:
    store.gate.faults.rules.append(Fault(effect="status", status=status, count=None))
    with pytest.raises(expected):
        await archives.list_prefix(location, f"s3://{BUCKET}/run/", credentials)


async def test_one_error_of_the_store_is_not_even_noticed(
    archives: S3Archives, store: S3Simulator, location: S3Location, credentials: Values
) -> None:
    put(store, ARCHIVE)
    store.gate.faults.rules.append(Fault(effect="status", status=500, count=1))
    assert (await archives.head(location, URI, credentials)).size_bytes == 7


async def test_an_endpoint_that_nobody_serves_is_unavailable(
    archives: S3Archives, location: S3Location, credentials: Values
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nobody = location.model_copy(
            update={"endpoint_url": f"http://127.0.0.1:{taken.getsockname()[1]}"}
        )
        with pytest.raises(errors.Unavailable, match="can't be reached"):
            await archives.head(nobody, URI, credentials)


async def test_an_endpoint_that_is_no_address_is_rejected(
    archives: S3Archives, location: S3Location, credentials: Values
) -> None:
    wrong = location.model_copy(update={"endpoint_url": "http://"})
    with pytest.raises(errors.Rejected, match="not a valid"):
        await archives.head(wrong, URI, credentials)


async def test_no_identity_at_all_is_unauthorized(
    archives: S3Archives, location: S3Location
) -> None:
    with pytest.raises(errors.Unauthorized, match="no usable AWS identity"):
        await archives.head(location, URI, None)


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        pytest.param(
            {"AWS_ACCESS_KEY_ID": None}, "AWS_ACCESS_KEY_ID", "no such key", id="no access key"
        ),
        pytest.param(
            {"AWS_SECRET_ACCESS_KEY": None},
            "AWS_SECRET_ACCESS_KEY",
            "no such key",
            id="no secret key",
        ),
        pytest.param(
            {"AWS_SECRET_ACCESS_KEY": " \n"}, "AWS_SECRET_ACCESS_KEY", "is empty", id="empty"
        ),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "a b"}, "AWS_ACCESS_KEY_ID", "characters", id="space within"
        ),
        pytest.param(
            {"AWS_SESSION_TOKEN": "a\nb"}, "AWS_SESSION_TOKEN", "characters", id="two lines"
        ),
    ],
)
async def test_a_secret_without_what_is_needed_is_named(
    archives: S3Archives,
    store: S3Simulator,
    location: S3Location,
    credentials: Values,
    change: dict[str, str | None],
    key: str,
    problem: str,
) -> None:
    values = dict(credentials)
    for name, value in change.items():
        values.pop(name, None)
        if value is not None:
            values[name] = SecretStr(value)
    with pytest.raises(errors.SecretUnavailable) as caught:
        await archives.head(location, URI, values)
    assert (caught.value.name, caught.value.key) == (SECRET, key)
    assert problem in str(caught.value)
    assert not store.calls.keys() - {f"PUT /{BUCKET}"}, "nothing was sent"


async def test_many_looks_at_once_share_a_client(
    store: S3Simulator, location: S3Location, credentials: Values, threads: ThreadPoolExecutor
) -> None:
    put(store, ARCHIVE)
    archives = S3Archives(threads, HERE)
    found = await asyncio.gather(*(archives.head(location, URI, credentials) for _ in range(20)))
    assert {facts.size_bytes for facts in found} == {7}
