"""The simulated S3: what the gate in front of moto refuses, and that it lets the rest pass."""

from pathlib import Path

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.together import Fault

BUCKET = "models"
KEY = "a b/ü+%41#1.bin"


@pytest.fixture
def bucket(s3_sim: S3Simulator) -> S3Simulator:
    s3_sim.create_bucket(BUCKET)
    s3_sim.client().put_object(Bucket=BUCKET, Key=KEY, Body=b"0123456789")
    return s3_sim


def presign(server: S3Simulator, *, expires: int = 6000, bucket: str = BUCKET) -> str:
    params = {"Bucket": bucket, "Key": KEY}
    return server.client().generate_presigned_url("get_object", params, ExpiresIn=expires)


def test_a_presigned_url_gives_the_object_and_ranges_of_it(bucket: S3Simulator) -> None:
    url = presign(bucket)
    assert httpx.get(url).content == b"0123456789"
    part = httpx.get(url, headers={"Range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"23")


def test_a_presigned_url_expires(bucket: S3Simulator) -> None:
    url = presign(bucket, expires=6000)
    bucket.advance(5990)
    assert httpx.get(url).status_code == 200
    bucket.advance(20)
    answer = httpx.get(url)
    assert answer.status_code == 403
    assert "Request has expired" in answer.text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("X-Amz-Expires=6000", "X-Amz-Expires=60000"), "SignatureDoesNotMatch"),
        ((".bin?", ".bi?"), "SignatureDoesNotMatch"),
        (("AKIASIMULATOR", "AKIAOTHER"), "InvalidAccessKeyId"),
        (("X-Amz-Expires=6000", "X-Amz-Expires=700000"), "AuthorizationQueryParametersError"),
    ],
)
def test_a_tampered_url_is_refused(bucket: S3Simulator, change: tuple[str, str], code: str) -> None:
    url = presign(bucket, expires=6000)
    assert change[0] in url
    answer = httpx.get(url.replace(*change))
    assert answer.status_code in (400, 403)
    assert code in answer.text


def test_no_signature_is_no_access(bucket: S3Simulator) -> None:
    assert httpx.get(f"{bucket.url}/{BUCKET}/x").status_code == 403


def test_a_signature_for_another_region_is_refused(s3_sim: S3Simulator) -> None:
    s3_sim.create_bucket("europe", "eu-west-1")
    answer = httpx.get(presign(s3_sim, bucket="europe"))
    assert answer.status_code == 400
    assert "expecting 'eu-west-1'" in answer.text


def test_the_old_signature_version_is_refused(bucket: S3Simulator) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=bucket.url,
        region_name=bucket.region,
        aws_access_key_id=bucket.access_key_id,
        aws_secret_access_key=bucket.secret_access_key,
        config=Config(signature_version="s3"),
    )
    url = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": KEY})
    answer = httpx.get(url)
    assert answer.status_code == 400
    assert "AWS4-HMAC-SHA256" in answer.text


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [
        ("AKIASIMULATOR", "wrong", "SignatureDoesNotMatch"),
        ("AKIAUNKNOWN", "wrong", "InvalidAccessKeyId"),
    ],
)
def test_wrong_credentials_are_refused(
    bucket: S3Simulator, key: str, secret: str, code: str
) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=bucket.url,
        region_name=bucket.region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    with pytest.raises(ClientError) as caught:
        client.list_objects_v2(Bucket=BUCKET)
    assert caught.value.response["Error"]["Code"] == code


def test_urls_of_removed_credentials_are_dead(bucket: S3Simulator) -> None:
    url = presign(bucket)
    bucket.remove_credentials(bucket.access_key_id)
    assert httpx.get(url).status_code == 403


def test_directories_are_uploaded_and_listed(s3_sim: S3Simulator, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_text("x")
    (tmp_path / "y").write_text("y")
    s3_sim.create_bucket(BUCKET)
    s3_sim.upload(tmp_path, BUCKET, "prefix/")
    assert s3_sim.keys(BUCKET, "prefix/") == ["prefix/sub/x", "prefix/y"]


def test_unfinished_uploads_are_seen(bucket: S3Simulator) -> None:
    bucket.client().create_multipart_upload(Bucket=BUCKET, Key="half")
    assert bucket.unfinished_uploads(BUCKET) == ["half"]


def test_reset_forgets_everything(bucket: S3Simulator) -> None:
    bucket.reset()
    assert bucket.client().list_buckets()["Buckets"] == []


def test_faults_answer_as_s3_does(bucket: S3Simulator) -> None:
    bucket.gate.faults.rules.append(Fault(effect="status", status=503, message="slow down"))
    answer = httpx.get(presign(bucket))
    assert answer.status_code == 503
    assert "<Code>SlowDown</Code>" in answer.text
    assert httpx.get(presign(bucket)).status_code == 200
