"""Multipart uploads that are there, and their parts, as the store lists them."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from together_operator.archive.destinations import PresentPart
from together_operator.archive.destinations.s3_abilities import lists_by_prefix
from together_operator.archive.destinations.s3_body import decode_crc
from together_operator.archive.destinations.s3_notes import probe_key
from together_operator.archive.errors import DestinationUnwritable, PermissionRefused
from together_operator.archive.locations import S3Location
from together_operator.archive.s3 import call, error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

UPLOAD_GONE = ("NoSuchUpload", "NoSuchKey")  # the latter from Ceph, to ListParts


class Uploads:
    """Those that may belong to the archive `location`, or to an older plan of its source: their
    keys begin with `stale_prefix`.
    """

    def __init__(self, client: "S3Client", location: S3Location, stale_prefix: str | None) -> None:
        self._client = client
        self._location = location
        self._stale_prefix = stale_prefix

    def find(self) -> Iterator[tuple[str, str, float]]:
        """Key, id and age in seconds, by the store's own clock."""
        own_keys = (self._location.key, probe_key(self._location.key))
        prefixes = {self._stale_prefix or self._location.key: None}
        if not lists_by_prefix(self._client):
            prefixes |= dict.fromkeys(own_keys)
        seen: set[str] = set()
        for prefix in prefixes:
            for key, upload_id, age in self._list(prefix):
                if (self._stale_prefix or key in own_keys) and upload_id not in seen:
                    seen.add(upload_id)
                    yield key, upload_id, age

    def _list(self, prefix: str) -> Iterator[tuple[str, str, float]]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._location.bucket, Prefix=prefix
        )
        # Without the permission to list, every run starts from nothing.
        with contextlib.suppress(PermissionRefused, DestinationUnwritable):
            for page in call(lambda: list(pages), f"listing uploads of {self._location}"):
                now = _date(page["ResponseMetadata"]["HTTPHeaders"].get("date"))
                for upload in page.get("Uploads", []):
                    begun = upload.get("Initiated")
                    age = (now - begun).total_seconds() if now and begun else 0.0
                    yield upload["Key"], upload["UploadId"], age

    def parts(self, key: str, upload_id: str) -> Mapping[int, PresentPart] | None:
        """None when the upload is not there any more."""
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self._location.bucket, Key=key, UploadId=upload_id
        )

        def collect() -> Mapping[int, PresentPart] | None:
            try:
                return {
                    part["PartNumber"]: PresentPart(
                        part["Size"], decode_crc(part.get("ChecksumCRC32")), part["ETag"]
                    )
                    for page in pages
                    for part in page.get("Parts", [])
                }
            except ClientError as error:
                if error_code(error) in UPLOAD_GONE:
                    return None
                raise

        return call(collect, f"listing parts of {self._location}")


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
