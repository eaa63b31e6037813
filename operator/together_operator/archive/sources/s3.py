"""An S3 prefix: listed with ETags, read by range under If-Match."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from urllib3 import HTTPResponse

from together_operator.archive.destinations.s3_abilities import CopySource
from together_operator.archive.destinations.s3_body import whole_crc
from together_operator.archive.errors import SourceChanged, SourceUnacceptable, TemporaryFailure
from together_operator.archive.locations import S3Location
from together_operator.archive.s3 import call, error_code, translate
from together_operator.archive.sources import Entry, RangeReader

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RANGE_TRIES = 5  # in a row without a byte


class S3Source:
    """Objects below a prefix that ends with `/` (or the whole bucket).

    `leave_out` says which keys are not the model's: the archive itself, when it goes below the
    prefix that it is made from.
    """

    def __init__(
        self,
        client: "S3Client",
        location: S3Location,
        leave_out: Callable[[str], bool] = lambda _key: False,
    ) -> None:
        self.client = client
        self._location = location
        self._leave_out = leave_out
        self._copy_sources: dict[str, Future[CopySource]] = {}
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return str(self._location)

    @property
    def bucket(self) -> str:
        return self._location.bucket

    @property
    def revision(self) -> str | None:
        return None

    def copy_source(self, entry: Entry) -> CopySource:
        """Where a store that can copy finds `entry`: one HEAD per entry, remembered."""
        with self._lock:
            known = self._copy_sources.get(entry.name)
            mine: Future[CopySource] = Future()
            self._copy_sources.setdefault(entry.name, mine)
        if known is not None:
            return known.result()
        try:
            mine.set_result(self._look_at(entry))
        except BaseException as error:
            with self._lock:
                del self._copy_sources[entry.name]
            mine.set_exception(error)
            raise
        return mine.result()

    def _look_at(self, entry: Entry) -> CopySource:
        etag = _etag(entry)
        head = call(
            lambda: self.client.head_object(
                Bucket=self.bucket, Key=self.key(entry), IfMatch=etag, ChecksumMode="ENABLED"
            ),
            f"looking at {entry.name!r}",
            source=True,
        )
        if head["ETag"] != etag or head["ContentLength"] != entry.size:
            raise changed(entry)
        version = head.get("VersionId")
        return CopySource(
            self.bucket,
            self.key(entry),
            etag,
            None if version in (None, "null") else version,
            whole_crc(head),
        )

    def key(self, entry: Entry) -> str:
        return self._location.key + entry.name

    def entries(self) -> Sequence[Entry]:
        return list(self._list())

    def entry(self, name: str) -> Entry:
        """One object by name, without listing. Raises `SourceUnacceptable` when it isn't there."""
        try:
            head = self.client.head_object(Bucket=self.bucket, Key=self._location.key + name)
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error_code(error) in {"404", "NoSuchKey"}:
                raise SourceUnacceptable(f"{name!r} is not there; check the key") from None
            raise translate(error, f"looking at {name!r}", source=True) from None
        return Entry(name, head["ContentLength"], f"etag:{head['ETag']}")

    def _list(self) -> Iterator[Entry]:
        doing = f"listing {self.uri}"
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self._location.bucket, Prefix=self._location.key
        )
        try:
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"]
                    name = key[len(self._location.key) :]
                    if not name or self._leave_out(key):
                        continue
                    if item.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE"):
                        raise SourceUnacceptable(
                            f"{name!r} is in {item['StorageClass']}; restore it first"
                        )
                    yield Entry(name, item["Size"], f"etag:{item['ETag']}")
        except (ClientError, BotoCoreError) as error:
            raise translate(error, doing, source=True) from None

    @contextmanager
    def open(self, entry: Entry, offset: int, length: int) -> Iterator[RangeReader]:
        reader = _S3Range(self, entry, offset, length)
        try:
            yield reader
        finally:
            reader.close()

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        now = {entry.name: entry for entry in self._list()}
        for entry in entries:
            if now.get(entry.name) != entry:
                raise changed(entry)


class _S3Range:
    """A GET that goes on where it broke off, as long as the object is the same one."""

    def __init__(self, source: S3Source, entry: Entry, offset: int, length: int) -> None:
        self._source = source
        self._entry = entry
        self._offset = offset
        self._left = length
        self._tries = _RANGE_TRIES
        self._response: HTTPResponse | None = self._get() if length else None

    def _get(self) -> HTTPResponse:
        entry = self._entry
        etag = _etag(entry)
        response = call(
            lambda: self._source.client.get_object(
                Bucket=self._source.bucket,
                Key=self._source.key(entry),
                IfMatch=etag,
                Range=f"bytes={self._offset}-{self._offset + self._left - 1}",
            ),
            f"reading {entry.name!r}",
            source=True,
        )
        # Some stores ignore If-Match; the answer says what was really read.
        if response["ETag"] != etag or response["ContentLength"] != self._left:
            response["Body"].close()
            raise changed(entry)
        # StreamingBody hides urllib3's response, whose connection can be given back.
        raw: HTTPResponse = response["Body"]._raw_stream  # type: ignore[attr-defined]  # noqa: SLF001
        return raw

    def readinto(self, buffer: memoryview) -> int:
        while self._left:
            if self._response is None:
                self._response = self._get()
            try:
                # urllib3's own readinto reads into new memory and copies.
                count = self._response._fp.readinto(buffer[: self._left])  # type: ignore[union-attr]  # noqa: SLF001
            except (HTTPException, OSError):
                count = 0
            if count:
                self._tries = _RANGE_TRIES
                self._offset += count
                self._left -= count
                return count
            self._tries -= 1
            if not self._tries:
                raise TemporaryFailure(
                    f"reading {self._entry.name!r}: the connection kept breaking; run again"
                )
            self.close()
        return 0

    def close(self) -> None:
        if self._response is not None:
            if self._left:
                self._response.close()
            self._response.release_conn()
            self._response = None


def _etag(entry: Entry) -> str:
    return entry.identity.removeprefix("etag:")


def changed(entry: Entry) -> SourceChanged:
    return SourceChanged(
        f"{entry.name!r} changed while it was archived; run again once it is still"
    )
