"""The blocking S3 calls of the operator, and the place where botocore's errors are translated."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidConfigError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from pydantic import SecretStr

from together_operator.adapters.s3_clients import Clients, Identity
from together_operator.api.v1alpha1 import S3Location
from together_operator.archive.network import AddressRefused
from together_operator.archive.s3_guard import StrangeAnswer
from together_operator.domain import errors
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.conditions import Reason
from together_operator.domain.s3_refusals import Refusal, refusal_of, shown_code
from together_operator.domain.source import SourceFacts
from together_operator.ports import Credentials

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

MAX_URL_SECONDS = 7 * 24 * 3600
"""SigV4's own limit for a presigned URL."""

_NO_IDENTITY = (
    CredentialRetrievalError,
    InvalidConfigError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
_ERRORS: dict[Refusal, type[errors.RemoteError]] = {
    Refusal.SLOW_DOWN: errors.RateLimited,
    Refusal.UNAVAILABLE: errors.Unavailable,
    Refusal.DAMAGED: errors.Unavailable,
    Refusal.NO_BUCKET: errors.NotFound,
    Refusal.NOT_FOUND: errors.NotFound,
    Refusal.UNAUTHORIZED: errors.Unauthorized,
    Refusal.FORBIDDEN: errors.Forbidden,
}


class S3Calls:
    """Looks and signatures, one after the other in whichever thread calls.

    Args:
        now: the wall clock, in UTC.
        addresses: where an endpoint that an object names may lead.
    """

    def __init__(self, now: Callable[[], datetime], addresses: AddressPolicy) -> None:
        self._now = now
        self._clients = Clients(addresses)

    def head(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """Size and ETag of one object."""
        bucket, key = _bucket_and_key(uri)
        with translated(uri):
            identity = self._clients.identity(location, credentials)
            client = self._clients.client(identity, location, bucket)
            size, etag = _look(client, bucket, key)
        return SourceFacts(revision=etag.strip('"'), size_bytes=size)

    def list_prefix(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """Number of files, bytes and digest of a prefix."""
        bucket, prefix = _bucket_and_key(uri)
        if prefix and not prefix.endswith("/"):
            prefix += "/"
        with translated(uri):
            identity = self._clients.identity(location, credentials)
            client = self._clients.client(identity, location, bucket)
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            found = _files(item for page in pages for item in page.get("Contents", []))
        if not found:
            raise errors.NotFound(f"s3://{bucket}/{prefix} has no files")
        listing = sorted((i["Key"][len(prefix) :], i["Size"], i.get("ETag", "")) for i in found)
        return SourceFacts(
            revision=hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:32],
            files=len(found),
            size_bytes=sum(item["Size"] for item in found),
        )

    def delete_archives(
        self,
        location: S3Location,
        folder: str,
        credentials: Credentials,
        *,
        keep_whole: bool = False,
    ) -> None:
        """Delete what carries the name of an archive of ours, directly in the folder."""
        bucket, prefix = _bucket_and_key(folder)
        with translated(folder):
            identity = self._clients.identity(location, credentials)
            client = self._clients.client(identity, location, bucket)
            found = _archives(client, bucket, prefix)
            for key in _going(found, keep_whole=keep_whole):
                with _gone_is_fine():
                    client.delete_object(Bucket=bucket, Key=key)
            for key, upload in _unfinished(client, bucket, prefix, found):
                with _gone_is_fine():
                    client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            left = _going(_archives(client, bucket, prefix), keep_whole=keep_whole)
            unfinished = _unfinished(client, bucket, prefix, found)
        if left or unfinished:
            raise errors.Unavailable(f"{folder}: something that was deleted is still there")

    def presign(
        self, location: S3Location, uri: str, credentials: Credentials, seconds: int
    ) -> SecretStr:
        """A GET URL that stays valid for `seconds`."""
        if not 0 < seconds <= MAX_URL_SECONDS:
            raise ValueError(f"a presigned URL is valid for 1 to {MAX_URL_SECONDS} seconds")
        bucket, key = _bucket_and_key(uri)
        with translated(uri):
            identity = self._lasting_identity(location, credentials, seconds)
            client = self._clients.client(identity, location, bucket)
            url = client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds
            )
        return SecretStr(url)

    def _lasting_identity(
        self, location: S3Location, credentials: Credentials, seconds: int
    ) -> Identity:
        """An identity that outlives a URL of `seconds`: a URL dies with the session behind it."""
        needed = self._now() + timedelta(seconds=seconds)
        identity = self._clients.identity(location, credentials)
        ends = identity.ends()
        if credentials is None and ends is not None and ends < needed:
            identity = self._clients.renewed_ambient(seconds)
            ends = identity.ends()
        if ends is not None and ends < needed:
            raise errors.InputError(
                Reason.CREDENTIALS_TOO_SHORT,
                f"The S3 credentials that sign the URL end at {ends:%Y-%m-%d %H:%M:%S} UTC, and "
                f"Together needs the URL for {seconds // 60} minutes from now: give the role "
                "longer sessions, or name a Secret with lasting keys in credentialsSecretRef.",
            )
        return identity


def _look(client: S3Client, bucket: str, key: str) -> tuple[int, str]:
    """Size and ETag. An answer to HEAD has no body, so GET is asked why HEAD was refused."""
    try:
        head = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _status(error) not in {400, 403, 404}:
            raise
        first = client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        first["Body"].close()
        return int(first["ContentRange"].rpartition("/")[2]), first.get("ETag", "")
    return head["ContentLength"], head.get("ETag", "")


_OUR_ARCHIVE = re.compile(
    r"[A-Za-z0-9._-]+-[0-9a-f]{8}-[0-9a-f]{16}[.](?:zip|tar|tar[.]gz)"
    r"(?:[.]upload|[.]probe-[0-9a-f]{8})?"
)
"""The key below its folder that the worker gives an archive (see `archive.run.derived_name`), or
what lies beside it while it is made (see `archive.destinations.s3_notes`).
"""


_SUFFIXES = (".zip", ".tar", ".tar.gz")


def _archives(client: S3Client, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return [key for key in keys if _is_ours(key, prefix)]


def _going(keys: list[str], *, keep_whole: bool) -> list[str]:
    """All of them, or only what lies beside archives that are not whole yet."""
    return [key for key in keys if not (keep_whole and key.endswith(_SUFFIXES))]


def _unfinished(
    client: S3Client, bucket: str, prefix: str, archives: list[str]
) -> list[tuple[str, str]]:
    """Key and id of multipart uploads below a prefix.

    MinIO takes the prefix for a whole key, so the keys of archives that were there are asked for.
    """
    found: dict[tuple[str, str], None] = {}
    for asked in dict.fromkeys([prefix, *(key.removesuffix(".upload") for key in archives)]):
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=asked)
        found |= {
            (u["Key"], u["UploadId"]): None for page in pages for u in page.get("Uploads", [])
        }
    return [upload for upload in found if _is_ours(upload[0], prefix)]


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """For a deletion, after which it is seen what is left: somebody else was faster."""
    try:
        yield
    except ClientError as error:
        if _status(error) != 404:
            raise


def _is_ours(key: str, prefix: str) -> bool:
    """A store that ignores the prefix must not make us delete somebody else's."""
    return key.startswith(prefix) and _OUR_ARCHIVE.fullmatch(key[len(prefix) :]) is not None


MAX_FILES = 100_000
"""Of a prefix, in memory: a model has some hundred, and a store could list without an end."""


def _files(items: Iterator[ObjectTypeDef]) -> list[ObjectTypeDef]:
    found: list[ObjectTypeDef] = []
    for item in items:
        if _is_file(item):
            found.append(item)
        if len(found) > MAX_FILES:
            raise errors.Rejected(f"there are more than {MAX_FILES} files: name a model's prefix")
    return found


def _is_file(item: ObjectTypeDef) -> bool:
    """False for a marker, with which consoles pretend that there is a directory."""
    return not (item["Key"].endswith("/") and item["Size"] == 0)


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Errors of botocore become ours, without what it says: that holds URLs and remote bodies."""
    try:
        yield
    except AddressRefused as error:
        raise errors.InputError(Reason.ADDRESS_REFUSED, f"{uri}: {error}") from None
    except StrangeAnswer:
        raise errors.Unavailable(f"{uri}: the endpoint does not answer as S3 does") from None
    except ClientError as error:
        raise _refusal(error, uri) from None
    except _NO_IDENTITY as error:
        message = f"{uri}: the operator has no usable AWS identity ({type(error).__name__})"
        raise errors.Unauthorized(message) from None
    except ParamValidationError:
        raise errors.Rejected(f"{uri} is not a valid bucket and key") from None
    except ResponseParserError:
        raise errors.Unavailable(f"{uri}: the endpoint does not answer as S3 does") from None
    except (BotoConnectionError, HTTPClientError) as error:
        message = f"{uri}: the endpoint can't be reached ({type(error).__name__})"
        raise errors.Unavailable(message) from None
    except BotoCoreError as error:
        raise errors.Unavailable(f"{uri}: {type(error).__name__}") from None
    except ValueError:
        raise errors.Rejected(f"{uri}: the endpoint's address is not a valid one") from None


def _refusal(error: ClientError, uri: str) -> errors.RemoteError:
    """By the store's error code; never by its message, which is a remote body."""
    said, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
    message = f"{uri}: {shown_code(said, f'HTTP status {status}')}"
    refusal = refusal_of(said, status)
    if refusal is Refusal.ELSEWHERE:
        message = f"{message}; the bucket is in another region than the one that is given"
    return _ERRORS.get(refusal, errors.Rejected)(message, status=status)


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
