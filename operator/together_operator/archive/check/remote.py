"""An archive at S3 or behind a URL, read by range."""

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
from together_operator.archive.sources.opening import StoreOptions


def open_remote(
    text: str, stores: StoreOptions, environ: Mapping[str, str]
) -> tuple[str, RangeFile]:
    """The archive's name and its bytes. A URL may be a signed one and is never quoted."""
    if text.startswith("s3://"):
        location = parse_source(text)
        assert isinstance(location, S3Location)
        return _open_object(location, stores, environ)
    return unquote(urlsplit(text).path.rpartition("/")[2]), _open_url(text)


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


def _open_url(url: str) -> RangeFile:
    client = httpx.Client(follow_redirects=False, timeout=60)

    def get(start: int, stop: int) -> httpx.Response:
        try:
            answer = client.get(url, headers={"Range": f"bytes={start}-{stop - 1}"})
        except httpx.InvalidURL:
            raise InvalidUsage("the URL is not valid") from None
        except httpx.HTTPError as error:
            raise TemporaryFailure(f"reading the URL failed ({type(error).__name__})") from None
        if answer.status_code in (401, 403):
            raise PermissionRefused("the URL is refused (403); sign it anew")
        if answer.status_code != 206:
            raise SourceUnacceptable(
                f"the URL answers {answer.status_code}; it must be readable by range, unredirected"
            )
        return answer

    first = get(0, 1)
    total = first.headers.get("content-range", "").rpartition("/")[2]
    if not total.isdecimal():
        raise SourceUnacceptable("the URL does not say its size; it must be readable by range")
    return RangeFile(lambda offset, length: get(offset, offset + length).content, int(total))
