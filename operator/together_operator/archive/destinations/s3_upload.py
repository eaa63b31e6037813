"""An S3 object, by one multipart upload that a later run can go on with."""

import base64
import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import httpx
from botocore.exceptions import ClientError

from together_operator.archive.destinations import PartBody, PresentPart
from together_operator.archive.destinations.markers import (
    MARKER_NUMBERS,
    belongs_to,
    is_ours,
    marker_sizes,
)
from together_operator.archive.errors import (
    ArchiveError,
    DestinationUnwritable,
    PermissionRefused,
    TemporaryFailure,
)
from together_operator.archive.layout import STREAM_PART, Part, divide
from together_operator.archive.locations import S3Location
from together_operator.archive.plan import Plan
from together_operator.archive.s3 import call, error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DIGEST_KEY = "together-operator-plan"
_PROOF_SECONDS = 300


class S3Object:
    """`stale_prefix` is what the keys of other plans of the same source begin with, or None."""

    def __init__(
        self, client: "S3Client", location: S3Location, stale_prefix: str | None = None
    ) -> None:
        self.client = client
        self.location = location
        self._stale_prefix = stale_prefix

    @property
    def uri(self) -> str:
        return str(self.location)

    def find_finished(self, plan: Plan) -> bool:
        try:
            head = self.client.head_object(Bucket=self.location.bucket, Key=self.location.key)
        except ClientError as error:
            if error_code(error) in {"404", "NoSuchKey", "403"}:
                return False  # 403 is what a policy without ListBucket answers for "not there"
            raise
        return (
            head["ContentLength"] == plan.size
            and head.get("Metadata", {}).get(_DIGEST_KEY) == plan.digest
        )

    def begin(self, plan: Plan) -> "S3Upload":
        found = self._find_unfinished(plan)
        if found is not None:
            return S3Upload(self, plan, *found)
        created = call(
            lambda: self.client.create_multipart_upload(
                Bucket=self.location.bucket,
                Key=self.location.key,
                ContentType="application/octet-stream",
                Metadata={_DIGEST_KEY: plan.digest},
            ),
            f"writing {self.uri}",
        )
        upload = S3Upload(self, plan, created["UploadId"], {})
        upload.mark()
        return upload

    def _find_unfinished(self, plan: Plan) -> tuple[str, Mapping[int, PresentPart]] | None:
        """The upload of this plan with the most bytes; those of other plans are aborted."""
        best: tuple[int, str, Mapping[int, PresentPart]] | None = None
        for key, upload_id in self._uploads():
            parts = self.list_parts(key, upload_id)
            sizes = {number: part.size for number, part in parts.items()}
            if key == self.location.key and belongs_to(sizes, plan.digest):
                total = sum(sizes.values())
                if best is None or total > best[0]:
                    best = (total, upload_id, parts)
            elif is_ours(sizes):
                self.abort(key, upload_id)
        return best[1:] if best else None

    def _uploads(self) -> Iterator[tuple[str, str]]:
        prefix = self._stale_prefix or self.location.key
        pages = self.client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.location.bucket, Prefix=prefix
        )
        with contextlib.suppress(PermissionRefused):  # then every run starts from nothing
            for page in call(lambda: list(pages), f"listing uploads of {self.uri}"):
                for upload in page.get("Uploads", []):
                    if self._stale_prefix or upload["Key"] == self.location.key:
                        yield upload["Key"], upload["UploadId"]

    def list_parts(self, key: str, upload_id: str) -> Mapping[int, PresentPart]:
        pages = self.client.get_paginator("list_parts").paginate(
            Bucket=self.location.bucket, Key=key, UploadId=upload_id
        )
        try:
            return {
                part["PartNumber"]: PresentPart(
                    part["Size"], _decode_crc(part.get("ChecksumCRC32")), part["ETag"]
                )
                for page in pages
                for part in page.get("Parts", [])
            }
        except ClientError as error:
            if error_code(error) == "NoSuchUpload":
                return {}
            raise

    def abort(self, key: str, upload_id: str) -> None:
        with contextlib.suppress(ClientError):
            self.client.abort_multipart_upload(
                Bucket=self.location.bucket, Key=key, UploadId=upload_id
            )


class S3Upload:
    layout: Sequence[Part]
    present: Mapping[int, PresentPart]

    def __init__(
        self,
        target: S3Object,
        plan: Plan,
        upload_id: str,
        present: Mapping[int, PresentPart],
    ) -> None:
        self._target = target
        self._plan = plan
        self._upload_id = upload_id
        self.layout = divide(plan, STREAM_PART)
        sizes = {part.number: part.size for part in self.layout}
        self.present = {
            number: part
            for number, part in present.items()
            if sizes.get(number) == part.size and number not in MARKER_NUMBERS
        }

    def mark(self) -> None:
        for number, size in marker_sizes(self._plan.digest).items():
            self._send(number, io.BytesIO(bytes(size)), size)

    def put(self, part: Part, body: PartBody) -> None:
        self._send(part.number, _BodyFile(body), part.size)

    def _send(self, number: int, body: io.RawIOBase | io.BytesIO, size: int) -> None:
        location = self._target.location
        try:
            call(
                lambda: self._target.client.upload_part(
                    Bucket=location.bucket,
                    Key=location.key,
                    UploadId=self._upload_id,
                    PartNumber=number,
                    ContentLength=size,
                    Body=body,
                ),
                f"sending part {number} of {self._target.uri}",
            )
        except ArchiveError:
            if isinstance(body, _BodyFile) and body.error is not None:
                raise body.error from None
            raise

    def complete(self, crc: int | None) -> None:
        target = self._target
        parts = target.list_parts(target.location.key, self._upload_id)
        for part in self.layout:
            stored = parts.get(part.number)
            if stored is None or stored.size != part.size:
                raise TemporaryFailure(
                    f"{target.uri}: the store lost part {part.number}; run again to send it anew"
                )
        try:
            target.client.complete_multipart_upload(
                Bucket=target.location.bucket,
                Key=target.location.key,
                UploadId=self._upload_id,
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": part.number, "ETag": parts[part.number].etag}
                        for part in self.layout
                    ]
                },
            )
        except ClientError as error:
            # The answer to an earlier try may have been lost; what counts is what is there.
            if not target.find_finished(self._plan):
                raise DestinationUnwritable(
                    f"{target.uri}: completing the upload failed: {error_code(error)}"
                ) from None
        self._prove()

    def _prove(self) -> None:
        target = self._target
        if not target.find_finished(self._plan):
            raise TemporaryFailure(f"{target.uri}: what the store holds is not the plan; run again")
        parameters = {"Bucket": target.location.bucket, "Key": target.location.key}
        url = target.client.generate_presigned_url(
            "get_object", Params=parameters, ExpiresIn=_PROOF_SECONDS
        )
        try:
            answer = httpx.get(url, headers={"Range": "bytes=0-0"})
        except httpx.HTTPError as error:
            raise TemporaryFailure(
                f"{target.uri}: reading it back failed ({type(error).__name__}); run again"
            ) from None
        if answer.status_code != 206 or len(answer.content) != 1:
            raise PermissionRefused(
                f"{target.uri}: a presigned URL answers {answer.status_code}; "
                "these credentials need s3:GetObject on it"
            )

    def abort(self) -> None:
        self._target.abort(self._target.location.key, self._upload_id)

    def close(self) -> None:
        pass


class _BodyFile(io.RawIOBase):
    """A part's body as boto3 wants it; remembers an error of its own, which urllib3 would wrap."""

    def __init__(self, body: PartBody) -> None:
        self._body = body
        self._position = 0
        self._blocks: Iterator[memoryview] | None = None
        self.error: ArchiveError | None = None

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 (whole blocks; urllib3 sends any size)
        self._blocks = self._blocks or self._body.blocks()
        try:
            block = next(self._blocks, None)
        except ArchiveError as error:
            self.error = error
            raise
        if block is None:
            return b""
        self._position += len(block)
        return block  # type: ignore[return-value]  # any buffer does

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            self._position = self._body.size + offset
        elif offset == 0:
            self._position, self._blocks = 0, None
        return self._position


def _decode_crc(text: str | None) -> int | None:
    """S3 writes a CRC as base64 of its big-endian bytes; a composite one has a `-<parts>` tail."""
    if not text or "-" in text:
        return None
    return int.from_bytes(base64.b64decode(text), "big")
