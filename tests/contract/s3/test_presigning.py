"""Signed URLs: they work, for as long as they have to, and are refused where they can't."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest
from moto import mock_aws
from pydantic import SecretStr

from tests.contract.s3.conftest import BUCKET, keys
from tests.support.simulators.s3 import S3Simulator
from together_operator.adapters.s3 import S3Archives
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain import errors
from together_operator.domain.conditions import Reason

KEY = "archives/model v1+%2F#ü.zip"
URI = f"s3://{BUCKET}/{KEY}"
SECONDS = 120 * 60
Values = Mapping[str, SecretStr]
ShortLived = Callable[[S3Simulator, list[datetime]], Path]


def query(url: SecretStr) -> dict[str, str]:
    """The parameters of a URL, each of which stands there once."""
    parts = parse_qs(urlsplit(url.get_secret_value()).query, strict_parsing=True)
    assert all(len(values) == 1 for values in parts.values()), parts
    return {name: values[0] for name, values in parts.items()}


async def get(url: SecretStr, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """What a URL answers."""
    async with httpx.AsyncClient() as client:
        return await client.get(url.get_secret_value(), headers=headers)


def soon(minutes: float) -> datetime:
    """A moment from now."""
    return datetime.now(UTC) + timedelta(minutes=minutes)


@pytest.fixture
def archive(store: S3Simulator) -> S3Simulator:
    """A store that has the archive."""
    store.client().put_object(Bucket=BUCKET, Key=KEY, Body=b"the archive")
    return store


async def test_the_url_downloads_the_archive(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    url = await archives.presign(location, URI, credentials, SECONDS)
    assert (await get(url)).content == b"the archive"


async def test_the_url_is_sigv4_for_the_region_and_the_time(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    said = query(await archives.presign(location, URI, credentials, SECONDS))
    assert said["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert said["X-Amz-Expires"] == "7200"
    assert said["X-Amz-Credential"].startswith(f"{archive.access_key_id}/")
    assert said["X-Amz-Credential"].endswith("/us-east-1/s3/aws4_request")


async def test_the_url_works_to_the_end_and_no_longer(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    url = await archives.presign(location, URI, credentials, SECONDS)
    archive.advance(SECONDS - 10)
    assert (await get(url, {"Range": "bytes=0-0"})).status_code == 206
    archive.advance(20)
    assert (await get(url)).status_code == 403


async def test_the_url_of_a_bucket_elsewhere_is_signed_for_there(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    archive.create_bucket("europe", "eu-west-1")
    archive.client("eu-west-1").put_object(Bucket="europe", Key="m.zip", Body=b"there")
    europe = location.model_copy(update={"region": "eu-west-1"})
    url = await archives.presign(europe, "s3://europe/m.zip", credentials, SECONDS)
    assert (await get(url)).content == b"there"


async def test_a_custom_endpoint_is_us_east_1_unless_told(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    anywhere = location.model_copy(update={"region": None})
    url = await archives.presign(anywhere, URI, credentials, SECONDS)
    assert (await get(url)).content == b"the archive"
    assert urlsplit(url.get_secret_value()).path.startswith(f"/{BUCKET}/"), "path style"


async def test_the_url_does_not_show_itself(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    url = await archives.presign(location, URI, credentials, SECONDS)
    assert "Signature" not in f"{url} {url!r}"


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
async def test_a_url_can_not_live_longer_than_a_week(
    archives: S3Archives, location: S3Location, credentials: Values, seconds: int
) -> None:
    with pytest.raises(ValueError, match="valid for 1 to 604800 seconds"):
        await archives.presign(location, URI, credentials, seconds)


async def test_a_week_is_allowed(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    url = await archives.presign(location, URI, credentials, 7 * 24 * 3600)
    assert (await get(url)).status_code == 200


async def test_a_given_session_token_is_trusted_to_last(
    archives: S3Archives, location: S3Location, credentials: Values
) -> None:
    values = {**credentials, "AWS_SESSION_TOKEN": SecretStr("token-from-somewhere")}
    said = query(await archives.presign(location, URI, values, SECONDS))
    assert said["X-Amz-Security-Token"] == "token-from-somewhere"


async def test_keys_from_another_secret_sign_with_another_client(
    archives: S3Archives, archive: S3Simulator, location: S3Location, credentials: Values
) -> None:
    archive.add_credentials("AKIAROTATED", "another-secret")
    first = query(await archives.presign(location, URI, credentials, SECONDS))
    rotated = await archives.presign(location, URI, keys("AKIAROTATED", "another-secret"), SECONDS)
    assert first["X-Amz-Credential"].startswith(archive.access_key_id)
    assert query(rotated)["X-Amz-Credential"].startswith("AKIAROTATED/")
    assert (await get(rotated)).status_code == 200


# Identities whose sessions end.


async def test_a_session_that_outlives_the_url_signs(
    archives: S3Archives, archive: S3Simulator, location: S3Location, short_lived: ShortLived
) -> None:
    asked = short_lived(archive, [soon(121)])
    url = await archives.presign(location, URI, None, SECONDS)
    assert (await get(url)).content == b"the archive"
    assert asked.read_text() == "x", "asked for once"


async def test_a_session_that_ends_before_the_url_is_renewed_first(
    archives: S3Archives, archive: S3Simulator, location: S3Location, short_lived: ShortLived
) -> None:
    asked = short_lived(archive, [soon(60), soon(180)])
    said = query(await archives.presign(location, URI, None, SECONDS))
    assert said["X-Amz-Security-Token"] == "session-1"
    assert asked.read_text() == "xx"


async def test_a_renewed_session_is_kept(
    archives: S3Archives, archive: S3Simulator, location: S3Location, short_lived: ShortLived
) -> None:
    asked = short_lived(archive, [soon(60), soon(180)])
    await archives.presign(location, URI, None, SECONDS)
    assert (await archives.head(location, URI, None)).size_bytes == 11
    await archives.presign(location, URI, None, SECONDS)
    assert asked.read_text() == "xx"


async def test_a_session_that_stays_too_short_is_refused_with_the_remedy(
    archives: S3Archives, archive: S3Simulator, location: S3Location, short_lived: ShortLived
) -> None:
    short_lived(archive, [soon(60)])
    with pytest.raises(errors.InputError) as caught:
        await archives.presign(location, URI, None, SECONDS)
    assert caught.value.reason is Reason.CREDENTIALS_TOO_SHORT
    message = str(caught.value)
    assert "for 120 minutes" in message
    assert "credentialsSecretRef" in message
    assert f"{soon(60):%Y-%m-%d %H:}" in message
    assert "session-" not in message
    assert archive.secret_access_key not in message


# AWS itself, where moto stands in for it within this process.


@pytest.fixture
def aws(aws_environment: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS, with a bucket in Ireland."""
    aws_environment.setenv("AWS_ACCESS_KEY_ID", "AKIAMOTO")
    aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "moto")
    with mock_aws(config={"core": {"mock_credentials": False}}):
        boto3.client("s3", region_name="eu-west-1").create_bucket(
            Bucket="europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield


@pytest.mark.parametrize("given", [None, "eu-west-1", "us-east-1"])
async def test_aws_is_asked_for_the_region_of_a_bucket(
    aws: None, archives: S3Archives, given: str | None
) -> None:
    url = await archives.presign(S3Location(region=given), "s3://europe/m.zip", None, SECONDS)
    parts = urlsplit(url.get_secret_value())
    assert parts.scheme == "https"
    assert parts.hostname == "europe.s3.eu-west-1.amazonaws.com"
    assert "/eu-west-1/s3/" in query(url)["X-Amz-Credential"]


async def test_a_bucket_in_virginia_has_a_regional_url_too(aws: None, archives: S3Archives) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="virginia")
    url = await archives.presign(S3Location(), "s3://virginia/m.zip", None, SECONDS)
    assert urlsplit(url.get_secret_value()).hostname == "virginia.s3.us-east-1.amazonaws.com"
    assert query(url)["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"


async def test_a_bucket_with_dots_stays_out_of_the_host_name(
    aws: None, archives: S3Archives
) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="models.example.com")
    url = await archives.presign(S3Location(), "s3://models.example.com/m.zip", None, SECONDS)
    parts = urlsplit(url.get_secret_value())
    assert (parts.hostname, parts.path) == (
        "s3.us-east-1.amazonaws.com",
        "/models.example.com/m.zip",
    )


async def test_a_bucket_that_aws_does_not_have_is_not_found(
    aws: None, archives: S3Archives
) -> None:
    with pytest.raises(errors.NotFound, match=r"s3://no-such-bucket-here/m\.zip"):
        await archives.presign(S3Location(), "s3://no-such-bucket-here/m.zip", None, SECONDS)


@pytest.fixture
def web_identity(aws: None, aws_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The role of a service account on EKS, whose sessions last an hour unless asked otherwise."""
    token = tmp_path / "token"
    token.write_text("projected-service-account-token")
    aws_environment.delenv("AWS_ACCESS_KEY_ID")
    aws_environment.delenv("AWS_SECRET_ACCESS_KEY")
    aws_environment.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/operator")
    aws_environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))


async def test_a_web_identity_is_asked_for_a_session_that_is_long_enough(
    web_identity: None, archives: S3Archives
) -> None:
    said = query(await archives.presign(S3Location(), "s3://europe/m.zip", None, SECONDS))
    assert said["X-Amz-Expires"] == "7200"
    assert said["X-Amz-Security-Token"]


async def test_the_longest_session_of_a_web_identity_may_be_too_short(
    web_identity: None, archives: S3Archives
) -> None:
    with pytest.raises(errors.InputError) as caught:
        await archives.presign(S3Location(), "s3://europe/m.zip", None, 24 * 3600)
    assert caught.value.reason is Reason.CREDENTIALS_TOO_SHORT
    assert f"end at {soon(12 * 60):%Y-%m-%d %H:}" in str(caught.value)
