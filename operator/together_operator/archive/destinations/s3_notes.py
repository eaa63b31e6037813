"""Small objects beside an archive, for stores that complete an upload only of all its parts.

Markers (see `markers`) can't be left in such an upload, so what they would say is an object
`<key>.upload` until the archive is whole.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from together_operator.archive.errors import DestinationUnwritable, PermissionRefused
from together_operator.archive.s3 import call, error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SUFFIX = ".upload"
_LONGEST = 4096
_FIELDS = ("plan", "layout", "uploadId")


def probe_key(key: str) -> str:
    """Where the store is tried out: one key an archive, so that at most one can stay behind."""
    return f"{key}.probe-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def archive_key(key: str) -> str:
    """The archive that `key` is a note or a probe of; else `key`."""
    bare = key.removesuffix(_SUFFIX)
    stem, found, _ = key.rpartition(".probe-")
    return stem if found and probe_key(stem) == key else bare


@dataclass(frozen=True, slots=True)
class Note:
    """An unfinished upload: the digest of its plan and the name of its layout."""

    digest: str
    layout: str
    upload_id: str


class Notes:
    """Those of one bucket. Without the permission for them, every run starts from nothing."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def read(self, key: str) -> Note | None:
        """What is noted for the archive `key`; None also where it can't be read."""
        try:
            return _parse(self._get(key))
        except (ClientError, BotoCoreError):
            return None

    def write(self, key: str, note: Note) -> None:
        """Replaces nothing but a note."""
        try:
            free = _parse(self._get(key)) is not None
        except ClientError as error:
            free = error_code(error) in ("NoSuchKey", "404")
        except BotoCoreError:
            free = False
        if not free:
            return
        values = (note.digest, note.layout, note.upload_id)
        with contextlib.suppress(ClientError, BotoCoreError):
            self._client.put_object(
                Bucket=self._bucket,
                Key=key + _SUFFIX,
                ContentType="application/json",
                Body=json.dumps(dict(zip(_FIELDS, values, strict=True))).encode(),
            )

    def remove(self, key: str, upload_id: str) -> None:
        """Another upload's note stays."""
        note = self.read(key)
        if note is not None and note.upload_id == upload_id:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.delete_object(Bucket=self._bucket, Key=key + _SUFFIX)

    def find(self, key: str, prefix: str | None) -> Iterator[tuple[str, Note]]:
        """Archive's key and note: of `key`, and of all that begin with `prefix`."""
        keys = {key} | (self._noted(prefix) if prefix else set())
        for noted in sorted(keys):
            note = self.read(noted)
            if note is not None:
                yield noted, note

    def _noted(self, prefix: str) -> set[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix
        )
        with contextlib.suppress(PermissionRefused, DestinationUnwritable):
            return {
                item["Key"].removesuffix(_SUFFIX)
                for page in call(lambda: list(pages), f"listing s3://{self._bucket}/{prefix}")
                for item in page.get("Contents", [])
                if item["Key"].endswith(_SUFFIX)
            }
        return set()

    def _get(self, key: str) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=key + _SUFFIX)
        with contextlib.closing(answer["Body"]) as body:
            return body.read(_LONGEST + 1)


def _parse(document: bytes) -> Note | None:
    """None for what this program did not write."""
    try:
        content = json.loads(document)
    except ValueError:
        return None
    if not isinstance(content, dict) or set(content) != set(_FIELDS):
        return None
    values = [content[name] for name in _FIELDS]
    return Note(*values) if all(isinstance(value, str) for value in values) else None
