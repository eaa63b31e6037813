"""An S3 object, by one multipart upload that a later run can go on with."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from botocore.exceptions import BotoCoreError, ClientError

from together_operator.archive.destinations import (
    EqualPartsNeededError,
    PartBody,
    PresentPart,
)
from together_operator.archive.destinations.markers import (
    MARKER_NUMBERS,
    MarkerBody,
    belongs_to,
    is_abandoned,
    is_ours,
    marker_sizes,
)
from together_operator.archive.destinations.s3_abilities import (
    Abilities,
    CopySource,
    create_parameters,
    probe,
    takes_unnamed_parts,
)
from together_operator.archive.destinations.s3_body import (
    BodyFile,
    FramedBody,
    SourceFailed,
    decode_crc,
    encode_crc,
    sign_framed_bodies,
    whole_crc,
)
from together_operator.archive.destinations.s3_listing import UPLOAD_GONE, Uploads
from together_operator.archive.destinations.s3_notes import Note, Notes
from together_operator.archive.errors import (
    TemporaryFailure,
)
from together_operator.archive.layout import MIN_PART, LayoutKind, Part, lay_out, layout_name
from together_operator.archive.locations import S3Location
from together_operator.archive.plan import FileRange, Plan
from together_operator.archive.s3 import call, error_code, error_status, read_first_byte
from together_operator.archive.sources import Entry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

_DIGEST_KEY = "together-operator-plan"
_PROOF_SECONDS = 300
_WORDLESS = (301, 400, 403, 404)


class S3Object:
    """`stale_prefix` is what the keys of other plans of the same source begin with, or None.
    `copy_source` says where the store itself finds an entry, when it is the source's store too.
    """

    def __init__(
        self,
        client: "S3Client",
        location: S3Location,
        *,
        stale_prefix: str | None = None,
        copy_source: Callable[[Entry], CopySource] | None = None,
        signing_client: "Callable[[], S3Client] | None" = None,
    ) -> None:
        self.client = client
        self.location = location
        self.copy_source = copy_source
        self.uploads = Uploads(client, location, stale_prefix)
        self.notes = Notes(client, location.bucket)
        self._stale_prefix = stale_prefix
        self._signing_client = signing_client
        sign_framed_bodies(client)

    @property
    def uri(self) -> str:
        return str(self.location)

    @property
    def place(self) -> dict[str, Any]:
        return {"Bucket": self.location.bucket, "Key": self.location.key}

    def find_finished(self, plan: Plan) -> int | None:
        head = call(self._head, f"looking for {self.uri}")
        if head is None:
            return None
        size: int = head["ContentLength"]
        right_size = plan.compression or size == plan.size
        right_plan = head.get("Metadata", {}).get(_DIGEST_KEY) == plan.digest
        if not (right_size and right_plan):
            return None
        if not takes_unnamed_parts(self.client):
            self.forget(plan)
        return size

    def _head(self) -> "HeadObjectOutputTypeDef | None":
        """None also where it isn't said why not: a policy without ListBucket answers 403 for what
        is not there. An answer to HEAD has no words; the next request finds out what is wrong.
        """
        try:
            return self.client.head_object(**self.place)
        except ClientError as error:
            if error_status(error) in _WORDLESS:
                return None
            raise

    def forget(self, plan: Plan) -> None:
        """End the upload that is noted for an archive which is there."""
        note = self.notes.read(self.location.key)
        if note is not None and note.digest == plan.digest:
            self.abort(self.location.key, note.upload_id)

    def begin(self, plan: Plan, *, equal_parts: bool = False) -> "S3Upload":
        abilities = probe(self.client, self.location, self._copy_source_for_probe(plan))
        kinds: list[LayoutKind] = ["compressed"] if plan.compression else ["stream", "equal"]
        if abilities.copy:
            kinds.insert(0, "copy")
        if equal_parts or abilities.equal_parts:
            kinds = ["compressed"] if plan.compression else ["equal"]
        found = self._find_unfinished(plan, kinds, abilities)
        if found is not None:
            return S3Upload(self, plan, abilities, *found)
        created = call(
            lambda: self.client.create_multipart_upload(
                **self.place,
                ContentType="application/octet-stream",
                Metadata={_DIGEST_KEY: plan.digest},
                **create_parameters(checksums=abilities.checksums),
            ),
            f"writing {self.uri}",
        )
        upload = S3Upload(self, plan, abilities, kinds[0], created["UploadId"], {})
        if abilities.every_part_named:
            self.notes.write(
                self.location.key, Note(plan.digest, layout_name(kinds[0]), created["UploadId"])
            )
        else:
            upload.mark()
        return upload

    def _copy_source_for_probe(self, plan: Plan) -> CopySource | None:
        largest = max(plan.entries, key=lambda entry: entry.size)
        if self.copy_source is None or plan.compression or largest.size < 2 * MIN_PART:
            return None
        return self.copy_source(largest)

    def part_client(self, abilities: Abilities) -> "S3Client":
        """Bodies that carry neither checksum nor TLS are signed with their SHA-256 instead."""
        if abilities.checksums or self.client.meta.endpoint_url.startswith("https:"):
            return self.client
        return self._signing_client() if self._signing_client else self.client

    def _find_unfinished(
        self, plan: Plan, kinds: Sequence[LayoutKind], abilities: Abilities
    ) -> tuple[LayoutKind, str, Mapping[int, PresentPart]] | None:
        """The upload of this plan with the most bytes; those of other plans are aborted, and so
        are those with markers where these can't be left out.
        """
        found: list[tuple[int, LayoutKind, str, Mapping[int, PresentPart]]] = []
        for key, upload_id, age in self.uploads.find():
            parts = self.uploads.parts(key, upload_id) or {}
            sizes = {number: part.size for number, part in parts.items()}
            matching = [
                kind
                for kind in get_args(LayoutKind)
                if key == self.location.key
                and not abilities.every_part_named
                and belongs_to(sizes, plan.digest, layout_name(kind))
            ]
            if matching and matching[0] in kinds:
                found.append((sum(sizes.values()), matching[0], upload_id, parts))
            elif not matching and (is_ours(sizes) or is_abandoned(sizes, age)):
                self.abort(key, upload_id)
        if abilities.every_part_named:
            return self._find_noted(plan, kinds)
        return max(found, key=lambda item: item[0])[1:] if found else None

    def _find_noted(
        self, plan: Plan, kinds: Sequence[LayoutKind]
    ) -> tuple[LayoutKind, str, Mapping[int, PresentPart]] | None:
        found = None
        layouts = {layout_name(kind): kind for kind in kinds}
        for key, note in self.notes.find(self.location.key, self._stale_prefix):
            kind = layouts.get(note.layout) if note.digest == plan.digest else None
            parts = self.uploads.parts(key, note.upload_id)
            if key == self.location.key and kind is not None and parts is not None:
                found = kind, note.upload_id, parts
            else:
                self.abort(key, note.upload_id)
        return found

    def abort(self, key: str, upload_id: str) -> None:
        """End the upload, and forget what is noted of it once it is gone."""
        try:
            self.client.abort_multipart_upload(
                Bucket=self.location.bucket, Key=key, UploadId=upload_id
            )
        except ClientError as error:
            if error_code(error) not in UPLOAD_GONE:
                return
        except BotoCoreError:
            return
        if not takes_unnamed_parts(self.client):
            self.notes.remove(key, upload_id)


class S3Upload:
    layout: Sequence[Part]
    present: Mapping[int, PresentPart]

    def __init__(
        self,
        target: S3Object,
        plan: Plan,
        abilities: Abilities,
        kind: LayoutKind,
        upload_id: str,
        listed: Mapping[int, PresentPart],
    ) -> None:
        self._target = target
        self._plan = plan
        self._abilities = abilities
        self._upload_id = upload_id
        self._client = target.part_client(abilities)
        self._kind = kind
        self.layout = lay_out(plan, kind)
        sizes = {part.number: part.size for part in self.layout}
        self.present = {
            number: part
            for number, part in listed.items()
            if number not in MARKER_NUMBERS
            and (kind == "compressed" or sizes.get(number) == part.size)
        }

    def mark(self) -> None:
        for number, size in marker_sizes(self._plan.digest, layout_name(self._kind)).items():
            self._send(number, MarkerBody(size))

    @property
    def copies(self) -> bool:
        return self._abilities.copy and self._target.copy_source is not None

    def can_copy(self, index: int) -> bool:
        if not self.copies:
            return False
        if self._abilities.copy_checksums or not self._plan.format.needs_crc:
            return True
        return self.known_crc(index) is not None

    def known_crc(self, index: int) -> int | None:
        assert self._target.copy_source is not None
        return self._target.copy_source(self._plan.entries[index]).crc

    def put(self, part: Part, body: PartBody) -> None:
        self._send(part.number, body)

    def copy(self, part: Part, bulk: FileRange) -> int | None:
        assert self._target.copy_source is not None
        source = self._target.copy_source(self._plan.entries[bulk.index])
        result = call(
            lambda: self._target.client.upload_part_copy(
                **self._target.place,
                **source.parameters(),
                UploadId=self._upload_id,
                PartNumber=part.number,
                CopySourceRange=f"bytes={bulk.offset}-{bulk.offset + bulk.length - 1}",
            ),
            f"copying {self._plan.entries[bulk.index].name!r}",
            source=True,
        ).get("CopyPartResult", {})
        if not result.get("ETag"):
            raise TemporaryFailure(
                f"{self._target.uri}: the store did not confirm the copy of part {part.number}; "
                "run again"
            )
        return decode_crc(result.get("ChecksumCRC32"))

    def _send(self, number: int, body: PartBody) -> None:
        stream = FramedBody(body) if self._abilities.checksums else BodyFile(body)
        try:
            call(
                lambda: self._client.upload_part(
                    **self._target.place,
                    UploadId=self._upload_id,
                    PartNumber=number,
                    ContentLength=stream.size,
                    Body=stream,  # type: ignore[arg-type]  # a RawIOBase is read as any file
                ),
                f"sending part {number} of {self._target.uri}",
            )
        except SourceFailed as failure:
            raise failure.args[0] from None

    def complete(self, parts: Sequence[Part], crc: int | None) -> None:
        target = self._target
        stored = target.uploads.parts(target.location.key, self._upload_id) or {}
        size = sum(part.size for part in parts)
        if not stored and target.find_finished(self._plan) == size:
            return self._prove(size, crc)  # another worker with the same plan was first
        for part in parts:
            there = stored.get(part.number)
            if there is None or there.size != part.size:
                raise TemporaryFailure(
                    f"{target.uri}: the store does not have part {part.number} as it was sent; "
                    "run again to send it anew"
                )
        self._complete([(part.number, stored[part.number].etag) for part in parts], size, crc)
        self._prove(size, crc)
        if self._abilities.every_part_named:
            target.forget(self._plan)
        return None

    def _complete(self, parts: Sequence[tuple[int, str]], size: int, crc: int | None) -> None:
        target = self._target
        parameters: dict[str, Any] = {}
        if self._abilities.checksums:
            parameters["MpuObjectSize"] = size
            if crc is not None:
                parameters |= {"ChecksumCRC32": encode_crc(crc), "ChecksumType": "FULL_OBJECT"}
        try:
            target.client.complete_multipart_upload(
                **target.place,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": [{"PartNumber": n, "ETag": etag} for n, etag in parts]},
                **parameters,
            )
        except (ClientError, BotoCoreError) as error:
            # The answer to an earlier try may have been lost; what counts is what is there.
            if target.find_finished(self._plan) == size:
                return
            code = error_code(error) if isinstance(error, ClientError) else type(error).__name__
            if code in {"BadDigest", "InvalidPart", "InvalidRequest"}:
                self.abort()
            if code == "InvalidPart" and self._kind in ("stream", "copy"):
                raise EqualPartsNeededError(
                    f"{target.uri}: the store takes parts of one size only; run again"
                ) from None
            raise TemporaryFailure(
                f"{target.uri}: the store did not accept the whole ({code}); run again"
            ) from None

    def _prove(self, size: int, crc: int | None) -> None:
        target = self._target
        head = call(
            lambda: target.client.head_object(**target.place, ChecksumMode="ENABLED"),
            f"verifying {target.uri}",
        )
        full = whole_crc(head)
        right = (
            head["ContentLength"] == size
            and head.get("Metadata", {}).get(_DIGEST_KEY) == self._plan.digest
            and (full is None or crc is None or full == crc)
        )
        if not right:
            call(lambda: target.client.delete_object(**target.place), f"removing {target.uri}")
            raise TemporaryFailure(
                f"{target.uri}: what the store made of the parts is not the archive; removed, "
                "run again"
            )
        url = call(
            lambda: target.client.generate_presigned_url(
                "get_object", Params=target.place, ExpiresIn=_PROOF_SECONDS
            ),
            f"signing a URL of {target.uri}",
        )
        read_first_byte(url, target.uri)

    def abort(self) -> None:
        self._target.abort(self._target.location.key, self._upload_id)

    def close(self) -> None:
        pass
