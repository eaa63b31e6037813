"""What a store can really do, found out with tiny multipart uploads that are then aborted.

Documentation and status codes are no guide: some stores answer 200 to a copy and store an empty
part, some keep the framing of a trailing checksum as content.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from together_operator.archive.checksums import crc32
from together_operator.archive.destinations.s3_body import FramedBody, decode_crc, encode_crc
from together_operator.archive.destinations.s3_notes import probe_key
from together_operator.archive.errors import TemporaryFailure
from together_operator.archive.locations import S3Location
from together_operator.archive.s3 import call, error_code, error_status, translate

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

_CONTENT = b"What can you do?"
_R2 = ".r2.cloudflarestorage.com"
# Known to do as S3 does: to complete an upload without the parts that are not named, and to list
# uploads by prefix.
_KNOWN_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", _R2, "storage.googleapis.com")


@dataclass(frozen=True, slots=True)
class CopySource:
    """An object that may be copied from; `crc` is its CRC-32 where the store has it."""

    bucket: str
    key: str
    etag: str
    version: str | None = None
    crc: int | None = None

    def parameters(self) -> dict[str, Any]:
        source = {"Bucket": self.bucket, "Key": self.key}
        if self.version is not None:
            source["VersionId"] = self.version
        return {"CopySource": source, "CopySourceIfMatch": self.etag}


@dataclass(frozen=True, slots=True)
class Abilities:
    """`checksums`: parts may end with a CRC-32 that the store checks and lists. `copy`: ranges of
    the source can be copied by the store; `copy_checksums`: it then says their CRC-32.
    `equal_parts`: all parts but the last must have one size. `every_part_named`: an upload is
    completed only of all its parts, as by Ceph.
    """

    checksums: bool
    copy: bool
    copy_checksums: bool
    equal_parts: bool = False
    every_part_named: bool = False


def create_parameters(*, checksums: bool) -> dict[str, Any]:
    return {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"} if checksums else {}


def probe(client: "S3Client", location: S3Location, source: CopySource | None) -> Abilities:
    """Raises `PermissionRefused` or `DestinationUnwritable` when nothing can be written at all."""
    equal_parts = _host(client).endswith(_R2)
    found = _probe(client, location, source, checksums=True)
    if found is None or not found.checksums:
        found = _probe(client, location, source, checksums=False)
    if found is None:
        raise TemporaryFailure(f"{location}: the store refuses a multipart upload; run again")
    return Abilities(
        found.checksums,
        found.copy and not equal_parts,
        found.copy_checksums,
        equal_parts,
        every_part_named=not takes_unnamed_parts(client)
        and _refuses_unnamed_parts(client, location),
    )


def takes_unnamed_parts(client: "S3Client") -> bool:
    """Whether the store is known to, without asking it."""
    return _host(client).endswith(_KNOWN_HOSTS)


def lists_by_prefix(client: "S3Client") -> bool:
    """Whether the store is known to list uploads by a prefix of their keys.

    MinIO takes the prefix for a whole key, on purpose: it lists uploads of one object only.
    """
    return _host(client).endswith(_KNOWN_HOSTS)


def _host(client: "S3Client") -> str:
    return urlsplit(client.meta.endpoint_url).hostname or ""


def _refuses_unnamed_parts(client: "S3Client", location: S3Location) -> bool:
    """False also when that can't be found out.

    Two of three parts are named, and the first is too small to be followed by another: a store
    that doesn't miss the third one says just that, and no object comes to be. At a key of its own,
    should the store have no minimum.
    """
    place: dict[str, Any] = {"Bucket": location.bucket, "Key": probe_key(location.key)}
    failures = (ClientError, BotoCoreError)
    with contextlib.suppress(*failures):
        place["UploadId"] = client.create_multipart_upload(**place)["UploadId"]
        with _aborted(client, place):
            tags = [
                client.upload_part(**place, PartNumber=number, Body=_CONTENT)["ETag"]
                for number in (1, 2, 10_000)
            ]
            code = _complete(client, place, tags[:2])
        if code not in ("EntityTooSmall", "InvalidPart"):
            client.delete_object(Bucket=place["Bucket"], Key=place["Key"])
        return code == "InvalidPart"
    return False


def _complete(client: "S3Client", place: Mapping[str, Any], tags: Sequence[str]) -> str:
    """The code of the error that the store answers with, if it does."""
    parts: list[CompletedPartTypeDef] = [
        {"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, start=1)
    ]
    try:
        client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    except ClientError as error:
        return error_code(error)
    except BotoCoreError:
        return "no answer"
    return ""


def _probe(
    client: "S3Client", location: S3Location, source: CopySource | None, *, checksums: bool
) -> Abilities | None:
    """None when the store refuses to begin an upload with checksums."""
    place: dict[str, Any] = {"Bucket": location.bucket, "Key": location.key}
    try:
        created = client.create_multipart_upload(**place, **create_parameters(checksums=checksums))
    except ClientError as error:
        if checksums and error_status(error) in (400, 501):
            return None
        raise translate(error, f"writing {location}", source=False) from None
    place["UploadId"] = created["UploadId"]
    with _aborted(client, place):
        sent = _send(client, place) if checksums else False
        copied = _copy(client, place, source)
        listed = call(lambda: client.list_parts(**place), f"listing parts of {location}")
        sizes = {part["PartNumber"]: part["Size"] for part in listed.get("Parts", [])}
        copy = copied is not None and sizes.get(2) == 1
        return Abilities(
            checksums=sent and sizes.get(1) == len(_CONTENT),
            copy=copy,
            copy_checksums=copy and decode_crc((copied or {}).get("ChecksumCRC32")) is not None,
        )


def _send(client: "S3Client", place: Mapping[str, Any]) -> bool:
    body = FramedBody(_Content())
    try:
        answer = client.upload_part(
            **place,
            PartNumber=1,
            ContentLength=body.size,
            Body=body,  # type: ignore[arg-type]  # a RawIOBase is read as any file
        )
    except (ClientError, HTTPClientError) as error:
        if isinstance(error, ClientError) and error_code(error) == "BadDigest":
            raise _damaged() from None
        return False
    echoed = answer.get("ChecksumCRC32")
    if echoed not in (None, encode_crc(crc32(_CONTENT))):
        raise _damaged()
    return echoed is not None


def _damaged() -> TemporaryFailure:
    return TemporaryFailure("what is sent arrives damaged at the store; check what lies between")


def _copy(
    client: "S3Client", place: Mapping[str, Any], source: CopySource | None
) -> Mapping[str, Any] | None:
    if source is None:
        return None
    try:
        answer = client.upload_part_copy(
            **place, **source.parameters(), PartNumber=2, CopySourceRange="bytes=0-0"
        )
    except (ClientError, HTTPClientError):
        return None
    result: Mapping[str, Any] = answer.get("CopyPartResult", {})
    return result if result.get("ETag") else None


@contextlib.contextmanager
def _aborted(client: "S3Client", place: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(**place)


class _Content:
    size = len(_CONTENT)
    crc = crc32(_CONTENT)

    def blocks(self) -> Iterator[memoryview]:
        yield memoryview(_CONTENT)
