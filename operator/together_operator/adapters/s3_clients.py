"""boto3 clients: for which identity, in which region, at which endpoint. Safe in many threads."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError
from pydantic import SecretStr

from together_operator.api.v1alpha1 import S3Location
from together_operator.archive.s3_guard import guard
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.errors import SecretUnavailable
from together_operator.domain.text import is_printable
from together_operator.ports import Credentials

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DEFAULT_REGION = "us-east-1"
MAX_CLIENTS = 64
"""A client holds a connection pool and about 2 MB."""

MAX_SESSION_SECONDS = 12 * 3600
"""What STS gives at most to a web identity."""

_REQUIRED = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

V = TypeVar("V")


@dataclass(frozen=True)
class Identity:
    """Who signs.

    Args:
        digest: tells identities apart, without telling what they are.
        fixed_end: when the session ends, for one that does not know it itself.
    """

    digest: str
    session: boto3.Session
    fixed_end: datetime | None = None

    def ends(self) -> datetime | None:
        """When the credentials end; None if they don't, or if nobody can tell (a given token)."""
        if self.fixed_end is not None:
            return self.fixed_end
        credentials = self.session.get_credentials()
        if credentials is None:
            raise NoCredentialsError
        credentials.get_frozen_credentials()  # refreshes; some kinds know their end only then
        ends = getattr(credentials, "_expiry_time", None)
        return ends if isinstance(ends, datetime) else None


class Clients:
    """Makes clients and keeps the latest of them.

    Args:
        addresses: where an endpoint that an object names may lead. Those of the operator's own
            configuration are trusted.
    """

    def __init__(self, addresses: AddressPolicy) -> None:
        self._addresses = addresses
        # One lock: making a client is not thread-safe in boto3, using one is.
        self._lock = threading.Lock()
        self._identities: _Latest[Identity] = _Latest()
        self._clients: _Latest[S3Client] = _Latest()
        self._regions: _Latest[str] = _Latest()
        self._ambient: Identity | None = None

    def identity(self, location: S3Location, credentials: Credentials) -> Identity:
        """The identity of a Secret's values; None is the process's own (boto3's default chain).

        Raises:
            SecretUnavailable: one of the two required values is missing, empty or malformed.
        """
        if credentials is None:
            with self._lock:
                if self._ambient is None:
                    self._ambient = Identity("ambient", boto3.Session())
                return self._ambient
        reference = location.credentials_secret_ref
        values = _values(reference.name if reference is not None else "", credentials)
        digest = hashlib.sha256("\0".join(values.values()).encode()).hexdigest()

        def make() -> Identity:
            return Identity(
                digest,
                boto3.Session(
                    aws_access_key_id=values["AWS_ACCESS_KEY_ID"],
                    aws_secret_access_key=values["AWS_SECRET_ACCESS_KEY"],
                    aws_session_token=values.get("AWS_SESSION_TOKEN"),
                ),
            )

        with self._lock:
            return self._identities.get((digest,), make)

    def renewed_ambient(self, seconds: int) -> Identity:
        """The process's own identity, asked for anew and for at least `seconds` where it may.

        The role of a web identity (EKS service accounts) gets sessions of one hour unless a
        longer one is asked for. The rest of boto3's chain decides by itself.
        """
        longer = _web_identity(seconds)
        with self._lock:
            fresh = longer or Identity("ambient", boto3.Session())
            if longer is None:
                self._ambient = fresh
            self._clients.drop(fresh.digest)
            return fresh

    def client(self, identity: Identity, location: S3Location, bucket: str) -> S3Client:
        """A client for a bucket, in the bucket's own region."""
        return self._client(identity, self._region(identity, location, bucket), location, bucket)

    def _client(
        self, identity: Identity, region: str, location: S3Location, bucket: str
    ) -> S3Client:
        endpoint = location.endpoint_url or configured_endpoint()
        # "auto" would presign for the global host, which redirects and so breaks the signature.
        # A bucket with a dot fits no certificate as a host name.
        style: Literal["path", "virtual"] = "path" if endpoint or "." in bucket else "virtual"

        def make() -> S3Client:
            made: S3Client = identity.session.client(
                "s3", region_name=region, endpoint_url=endpoint, config=_config(style)
            )
            if location.endpoint_url:
                guard(made, self._addresses, f"endpointURL {location.endpoint_url}")
            return made

        whose = "object" if location.endpoint_url else "operator"
        with self._lock:
            return self._clients.get((identity.digest, region, endpoint or "", style, whose), make)

    def _region(self, identity: Identity, location: S3Location, bucket: str) -> str:
        """The region that requests and URLs have to be signed for.

        AWS is asked, whatever was given: it redirects a request that is signed for another
        region, but nobody redirects a presigned URL.
        """
        given = location.region or _configured_region(identity) or DEFAULT_REGION
        if location.endpoint_url or configured_endpoint():
            return given
        key = (identity.digest, bucket)
        with self._lock:
            known = self._regions.find(key)
        if known is not None:
            return known
        asked = _ask_region(self._client(identity, given, location, bucket), bucket)
        if asked is None:
            return given
        with self._lock:
            return self._regions.get(key, lambda: asked)


class _Latest(Generic[V]):
    """The `MAX_CLIENTS` values that were used last."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def find(self, key: tuple[str, ...]) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def get(self, key: tuple[str, ...], make: Callable[[], V]) -> V:
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        # An evicted client may be in use by another thread: it is left to the garbage collector.
        while len(self._values) > MAX_CLIENTS:
            self._values.popitem(last=False)
        return self._values[key]

    def drop(self, first: str) -> None:
        for key in [key for key in self._values if key[0] == first]:
            del self._values[key]


def configured_endpoint() -> str | None:
    """The endpoint that the AWS environment variables name, as the archive worker reads them."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _configured_region(identity: Identity) -> str | None:
    # boto3 itself knows AWS_DEFAULT_REGION only.
    return os.environ.get("AWS_REGION") or identity.session.region_name


def _config(style: Literal["path", "virtual"]) -> Config:
    return Config(
        # Without it boto3 presigns with SigV2 in us-east-1.
        signature_version="s3v4",
        s3={
            "addressing_style": style,
            "us_east_1_regional_endpoint": "regional",
        },
        # The default costs 2-3 times the CPU and breaks some stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=5,
        read_timeout=20,
    )


def _values(secret: str, credentials: Mapping[str, SecretStr]) -> dict[str, str]:
    """The values that count, without the line ends that files bring along."""
    found: dict[str, str] = {}
    for key in (*_REQUIRED, "AWS_SESSION_TOKEN"):
        held = credentials.get(key)
        value = held.get_secret_value().strip() if held is not None else ""
        if not value and key not in _REQUIRED:
            continue
        if not value:
            problem = "the Secret has no such key" if held is None else "the value is empty"
            raise SecretUnavailable(secret, key, problem)
        if not is_printable(value):
            raise SecretUnavailable(secret, key, "the value has characters that no key has")
        found[key] = value
    return found


def _ask_region(client: S3Client, bucket: str) -> str | None:
    """HeadBucket tells the region even to those who may not list the bucket."""
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        details = error.response.get("ResponseMetadata", {})
        told = details.get("HTTPHeaders", {}).get("x-amz-bucket-region")
        if told:
            return str(told)
        if details.get("HTTPStatusCode") == 404:
            raise
        return _location(client, bucket)
    return answer.get("BucketRegion") or _location(client, bucket)


def _location(client: S3Client, bucket: str) -> str | None:
    try:
        told = client.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    except ClientError:
        return None
    # Names from before there were regions.
    return {None: DEFAULT_REGION, "EU": "eu-west-1"}.get(told, told)


def _web_identity(seconds: int) -> Identity | None:
    """A session of the role that the environment names, if STS gives one for `seconds`."""
    role = os.environ.get("AWS_ROLE_ARN")
    token_file = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not role or not token_file:
        return None
    sts = boto3.client(
        "sts",
        region_name=os.environ.get("AWS_REGION") or DEFAULT_REGION,
        config=Config(signature_version=UNSIGNED, connect_timeout=5, read_timeout=20),
    )
    try:
        answer = sts.assume_role_with_web_identity(
            RoleArn=role,
            RoleSessionName=os.environ.get("AWS_ROLE_SESSION_NAME") or "together-operator",
            WebIdentityToken=Path(token_file).read_text(),
            DurationSeconds=min(max(seconds + 900, 3600), MAX_SESSION_SECONDS),
        )
    except (ClientError, OSError):
        return None  # the role allows no session of that length: the usual one is looked at
    given = answer["Credentials"]
    session = boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    return Identity(f"role {role}", session, given["Expiration"])
