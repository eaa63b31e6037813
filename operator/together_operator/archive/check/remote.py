"""An archive at S3 or behind a URL, read by range."""

import time
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import httpx

from together_operator.archive.check.archive_file import RangeFile
from together_operator.archive.errors import (
    InvalidUsage,
    PermissionRefused,
    SourceUnacceptable,
    TemporaryFailure,
)
from together_operator.archive.locations import S3Location, parse_source
from together_operator.archive.network import only, policy_of
from together_operator.archive.sources.opening import StoreOptions
from together_operator.domain.addresses import AddressPolicy

_MAX_SECONDS = 120.0  # for one range, which a server could also send byte by byte


def open_remote(
    text: str, stores: StoreOptions, environ: Mapping[str, str]
) -> tuple[str, RangeFile]:
    """The archive's name and its bytes. A URL may be a signed one and is never quoted."""
    if text.startswith("s3://"):
        location = parse_source(text)
        assert isinstance(location, S3Location)
        return _open_object(location, stores, environ)
    return unquote(urlsplit(text).path.rpartition("/")[2]), _open_url(text, policy_of(environ))


def _open_object(
    location: S3Location, stores: StoreOptions, environ: Mapping[str, str]
) -> tuple[str, RangeFile]:
    from together_operator.archive import s3_wiring

    directory, _, name = location.key.rpartition("/")
    prefix = S3Location(location.bucket, directory + "/" if directory else "")
    source = s3_wiring.open_prefix(prefix, None, stores, environ)
    entry = source.entry(name)

    def read(offset: int, length: int) -> bytes:
        out = bytearray(length)
        position, view = 0, memoryview(out)
        with source.open(entry, offset, length) as reader:
            while count := reader.readinto(view[position:]):
                position += count
        return bytes(out)

    return name, RangeFile(read, entry.size)


def _open_url(url: str, policy: AddressPolicy | None) -> RangeFile:
    # A redirect is not followed: Together need not follow it either, and it could lead anywhere.
    client = httpx.Client(follow_redirects=False, timeout=60)

    def get(start: int, stop: int) -> tuple[bytes, str]:
        ranged = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        try:
            with only(policy, url, "the URL"), client.stream("GET", url, headers=ranged) as answer:
                _check(answer)
                data = _body(answer, stop - start)
        except httpx.InvalidURL:
            raise InvalidUsage("the URL is not valid") from None
        except httpx.HTTPError as error:
            raise TemporaryFailure(f"reading the URL failed ({type(error).__name__})") from None
        return data, answer.headers.get("content-range", "")

    total = get(0, 1)[1].rpartition("/")[2]
    if not total.isdecimal():
        raise SourceUnacceptable("the URL does not say its size; it must be readable by range")
    return RangeFile(lambda offset, length: get(offset, offset + length)[0], int(total))


def _check(answer: httpx.Response) -> None:
    """Before anything of the body is read."""
    if answer.status_code in (401, 403):
        raise PermissionRefused("the URL is refused (403); sign it anew")
    if answer.status_code != 206:
        raise SourceUnacceptable(
            f"the URL answers {answer.status_code}; it must be readable by range, unredirected"
        )


def _body(answer: httpx.Response, length: int) -> bytes:
    """No more than was asked for, whatever is sent."""
    ends, data = time.monotonic() + _MAX_SECONDS, bytearray()
    for part in answer.iter_raw():
        data += part
        if len(data) > length:
            raise SourceUnacceptable("the URL sends more than the range it was asked for")
        if time.monotonic() > ends:
            raise TemporaryFailure("reading the URL takes too long")
    return bytes(data)
