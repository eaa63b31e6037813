"""S3's operations on the fixture's storage."""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from tests.support.s3_fixture.behaviour import Counters, Quirks
from tests.support.s3_fixture.storage import (
    Block,
    Bucket,
    Content,
    Storage,
    StoredObject,
    StoredPart,
    StoredUpload,
)

_CRC_HEADER = "x-amz-checksum-crc32"


class S3Error(Exception):
    def __init__(self, status: int, code: str, message: str = "remote words") -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    content: Content | None = None
    length: int = -1


class Operations:
    def __init__(self, storage: Storage, quirks: Quirks, counters: Counters) -> None:
        self._storage = storage
        self._quirks = quirks
        self._counters = counters

    def run(
        self,
        operation: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Content,
    ) -> Answer:
        methods: dict[str, Callable[..., Answer]] = {
            "CreateBucket": self._create_bucket,
            "HeadBucket": self._head_bucket,
            "ListObjectsV2": self._list_objects,
            "ListMultipartUploads": self._list_uploads,
            "PutObject": self._put_object,
            "GetObject": self._get_object,
            "HeadObject": self._head_object,
            "DeleteObject": self._delete_object,
            "CreateMultipartUpload": self._create_upload,
            "UploadPart": self._upload_part,
            "UploadPartCopy": self._copy_part,
            "ListParts": self._list_parts,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
        }
        if operation not in methods:
            raise S3Error(501, "NotImplemented")
        if operation != "CreateBucket" and bucket not in self._storage.buckets:
            raise S3Error(404, "NoSuchBucket")
        return methods[operation](bucket, key, query, headers, body)

    def _create_bucket(self, bucket: str, *_: object) -> Answer:
        with self._storage.lock:
            self._storage.buckets.setdefault(bucket, Bucket())
        return Answer()

    def _head_bucket(self, *_: object) -> Answer:
        return Answer()

    def _list_objects(self, bucket: str, _key: str, query: Mapping[str, str], *_: object) -> Answer:
        prefix = query.get("prefix", "")
        after = query.get("continuation-token", query.get("start-after", ""))
        limit = int(query.get("max-keys", 1000))
        with self._storage.lock:
            objects = dict(self._storage.buckets[bucket].objects)
        keys = sorted(k for k in objects if k.startswith(prefix) and k > after)
        page, more = keys[:limit], len(keys) > limit
        quoted = query.get("encoding-type") == "url"
        items = "".join(
            f"<Contents><Key>{_shown(key, quoted)}</Key><Size>{objects[key].content.size}</Size>"
            f"<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(objects[key].etag)}</ETag><StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        encoding = "<EncodingType>url</EncodingType>" if quoted else ""
        return Answer(
            body=f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount>{encoding}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        )

    def _list_uploads(self, bucket: str, _key: str, query: Mapping[str, str], *_: object) -> Answer:
        if not self._quirks.list_uploads:
            raise S3Error(403, "AccessDenied")
        prefix = query.get("prefix", "")
        exact = self._quirks.exact_prefix and prefix
        with self._storage.lock:
            found = sorted(
                (upload.key, upload_id, upload.initiated)
                for upload_id, upload in self._storage.uploads.items()
                if upload.bucket == bucket
                and (upload.key == prefix if exact else upload.key.startswith(prefix))
            )
        quoted = query.get("encoding-type") == "url"
        items = "".join(
            f"<Upload><Key>{_shown(key, quoted)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{initiated:%Y-%m-%dT%H:%M:%S}.000Z</Initiated></Upload>"
            for key, upload_id, initiated in found
        )
        encoding = "<EncodingType>url</EncodingType>" if quoted else ""
        return Answer(
            body=f"<ListMultipartUploadsResult>{encoding}<IsTruncated>false</IsTruncated>{items}"
            "</ListMultipartUploadsResult>"
        )

    def _object(self, bucket: str, key: str, headers: Mapping[str, str]) -> StoredObject:
        with self._storage.lock:
            stored = self._storage.buckets[bucket].objects.get(key)
        if stored is None:
            raise S3Error(404, "NoSuchKey")
        wanted = headers.get("if-match")
        if wanted and self._quirks.honours_if_match and wanted != stored.etag:
            raise S3Error(412, "PreconditionFailed")
        return stored

    def _object_headers(self, stored: StoredObject, headers: Mapping[str, str]) -> dict[str, str]:
        out = {"ETag": stored.etag, "Accept-Ranges": "bytes"}
        out["Last-Modified"] = "Thu, 01 Jan 2026 00:00:00 GMT"
        out |= {f"x-amz-meta-{name}": value for name, value in stored.metadata.items()}
        if headers.get("x-amz-checksum-mode", "").upper() == "ENABLED" and stored.crc is not None:
            out[_CRC_HEADER] = _encode(stored.crc)
            out["x-amz-checksum-type"] = "FULL_OBJECT"
        return out

    def _put_object(
        self,
        bucket: str,
        key: str,
        _query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Content,
    ) -> Answer:
        stored = self._storage.put_content(bucket, key, body, _metadata(headers))
        return Answer(headers={"ETag": stored.etag})

    def _get_object(
        self,
        bucket: str,
        key: str,
        _query: Mapping[str, str],
        headers: Mapping[str, str],
        _body: Content,
    ) -> Answer:
        stored = self._object(bucket, key, headers)
        out, size = self._object_headers(stored, headers), stored.content.size
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", ""))
        if wanted is None:
            return Answer(headers=out, content=stored.content)
        first, last = wanted.groups()
        if not first:
            start, stop = max(0, size - int(last)), size
        else:
            start, stop = int(first), min(size, int(last) + 1 if last else size)
        if start >= size:
            raise S3Error(416, "InvalidRange")
        out.pop(_CRC_HEADER, None)  # it is that of the whole
        out["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Answer(206, out, content=stored.content.slice(start, stop))

    def _head_object(
        self,
        bucket: str,
        key: str,
        _query: Mapping[str, str],
        headers: Mapping[str, str],
        _body: Content,
    ) -> Answer:
        stored = self._object(bucket, key, headers)
        return Answer(headers=self._object_headers(stored, headers), length=stored.content.size)

    def _delete_object(self, bucket: str, key: str, *_: object) -> Answer:
        with self._storage.lock:
            self._storage.buckets[bucket].objects.pop(key, None)
        return Answer(204)

    def _create_upload(
        self,
        bucket: str,
        key: str,
        _query: Mapping[str, str],
        headers: Mapping[str, str],
        _body: Content,
    ) -> Answer:
        algorithm = headers.get("x-amz-checksum-algorithm")
        if algorithm and self._quirks.checksums == "refused":
            raise S3Error(501, "NotImplemented")
        if self._quirks.checksums == "ignored":
            algorithm = None
        if algorithm not in (None, "CRC32"):
            raise S3Error(400, "InvalidRequest", "the fixture knows CRC32 only")
        upload_id = self._storage.upload_id()
        kind = headers.get("x-amz-checksum-type", "COMPOSITE")
        with self._storage.lock:
            self._storage.uploads[upload_id] = StoredUpload(
                bucket, key, _metadata(headers), algorithm, kind
            )
        return Answer(
            body="<InitiateMultipartUploadResult>"
            f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><UploadId>{upload_id}</UploadId>"
            "</InitiateMultipartUploadResult>"
        )

    def _upload(self, query: Mapping[str, str]) -> StoredUpload:
        with self._storage.lock:
            upload = self._storage.uploads.get(query["uploadId"])
        if upload is None:
            raise S3Error(404, "NoSuchUpload")
        return upload

    def _upload_part(
        self,
        _bucket: str,
        _key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Content,
    ) -> Answer:
        upload = self._upload(query)
        if self._quirks.corrupt_put and body.size:
            view = next(body.views())
            view[0] ^= 1
        given = headers.get(_CRC_HEADER)
        if upload.algorithm and given is None:
            raise S3Error(400, "InvalidRequest", "expected checksum Type: crc32, actual: null")
        crc = (
            self._storage.crcs.crc(body) if given or self._quirks.checksums == "returned" else None
        )
        if given and self._quirks.checksums == "returned" and given != _encode(crc or 0):
            raise S3Error(400, "BadDigest")
        if self._quirks.forget_parts and crc is not None and body.size:
            block = Block.forgotten(self._storage.arena, body.size)
            self._storage.crcs.put(block, 0, body.size, crc)
            body = Content(((block, 0, body.size),))
        part = self._store_part(upload, int(query["partNumber"]), body, crc)
        out = {"ETag": part.etag}
        if upload.algorithm and crc is not None:
            out[_CRC_HEADER] = _encode(crc)
        return Answer(headers=out)

    def _store_part(
        self, upload: StoredUpload, number: int, content: Content, crc: int | None
    ) -> StoredPart:
        if not 1 <= number <= 10_000:
            raise S3Error(400, "InvalidArgument")
        etag = self._storage.etag(number, content.size, crc, unique=self._quirks.kms_etags)
        part = StoredPart(content, etag, crc if upload.algorithm else None)
        with self._storage.lock:
            upload.parts[number] = part
        return part

    def _copy_part(
        self,
        _bucket: str,
        _key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        _body: Content,
    ) -> Answer:
        if self._quirks.copy == "not_implemented":
            raise S3Error(501, "NotImplemented")
        if self._quirks.copy == "forbidden":
            raise S3Error(403, "AccessDenied")
        upload = self._upload(query)
        path = unquote(headers["x-amz-copy-source"].partition("?")[0]).lstrip("/")
        bucket, _, key = path.partition("/")
        with self._storage.lock:
            source = self._storage.buckets.get(bucket, Bucket()).objects.get(key)
        if source is None:
            raise S3Error(404, "NoSuchKey")
        wanted = headers.get("x-amz-copy-source-if-match")
        if wanted and self._quirks.honours_if_match and wanted != source.etag:
            raise S3Error(412, "PreconditionFailed")
        content = source.content
        if "x-amz-copy-source-range" in headers:
            first, last = headers["x-amz-copy-source-range"].removeprefix("bytes=").split("-")
            if int(last) >= content.size:
                raise S3Error(400, "InvalidArgument")
            content = content.slice(int(first), int(last) + 1)
        if self._quirks.copy == "empty_part":
            content = Content(())
        crc = self._storage.crcs.crc(content) if upload.algorithm else None
        part = self._store_part(upload, int(query["partNumber"]), content, crc)
        with self._storage.lock:
            self._counters.bytes_copied += content.size
        checksum = ""
        if crc is not None and self._quirks.copy_checksums:
            checksum = f"<ChecksumCRC32>{_encode(crc)}</ChecksumCRC32>"
        return Answer(
            body=f"<CopyPartResult><ETag>{escape(part.etag)}</ETag>{checksum}"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></CopyPartResult>"
        )

    def _list_parts(self, _bucket: str, _key: str, query: Mapping[str, str], *_: object) -> Answer:
        upload = self._upload(query)
        after, limit = int(query.get("part-number-marker") or 0), 1000
        with self._storage.lock:
            parts = dict(upload.parts)
        numbers = sorted(number for number in parts if number > after)
        page, more = numbers[:limit], len(numbers) > limit
        items = ""
        for number in page:
            part = parts[number]
            checksum = ""
            if part.crc is not None and self._quirks.copy_checksums:
                checksum = f"<ChecksumCRC32>{_encode(part.crc)}</ChecksumCRC32>"
            items += (
                f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(part.etag)}</ETag>"
                f"<Size>{part.content.size}</Size>{checksum}</Part>"
            )
        marker = f"<NextPartNumberMarker>{page[-1]}</NextPartNumberMarker>" if more else ""
        return Answer(
            body=f"<ListPartsResult><IsTruncated>{str(more).lower()}</IsTruncated>{marker}{items}"
            "</ListPartsResult>"
        )

    def _complete(
        self,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Content,
    ) -> Answer:
        upload = self._upload(query)
        wanted = _parse_complete(bytes(body))
        with self._storage.lock:
            parts = [upload.parts.get(number) for number, _ in wanted]
        if [number for number, _ in wanted] != sorted({number for number, _ in wanted}):
            raise S3Error(400, "InvalidPartOrder")
        chosen = [part for part in parts if part is not None]
        if (
            not chosen
            or len(chosen) < len(parts)
            or any(
                part.etag.strip('"') != etag.strip('"')
                for part, (_, etag) in zip(chosen, wanted, strict=True)
            )
        ):
            raise S3Error(400, "InvalidPart")
        if self._quirks.every_part_named and len(chosen) < len(upload.parts):
            raise S3Error(400, "InvalidPart")
        if any(part.content.size < self._quirks.minimum_part for part in chosen[:-1]):
            raise S3Error(400, "EntityTooSmall")
        if self._quirks.equal_parts and len({part.content.size for part in chosen[:-1]}) > 1:
            raise S3Error(400, "InvalidPart", "All non-trailing parts must have the same length.")
        content = Content.joined([part.content for part in chosen])
        full = None
        if upload.algorithm and upload.checksum_type == "FULL_OBJECT":
            full = self._storage.crcs.crc(content)
            if headers.get(_CRC_HEADER, _encode(full)) != _encode(full):
                raise S3Error(400, "BadDigest")
        etag = self._storage.etag(*(part.etag for part in chosen)).strip('"')
        stored = StoredObject(content, f'"{etag}-{len(chosen)}"', upload.metadata, full)
        with self._storage.lock:
            self._storage.buckets[bucket].objects[key] = stored
            self._storage.uploads.pop(query["uploadId"], None)
        return Answer(
            body="<CompleteMultipartUploadResult>"
            f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key><ETag>{escape(stored.etag)}</ETag>"
            "</CompleteMultipartUploadResult>"
        )

    def _abort(self, _bucket: str, _key: str, query: Mapping[str, str], *_: object) -> Answer:
        self._upload(query)
        with self._storage.lock:
            self._storage.uploads.pop(query["uploadId"], None)
        return Answer(204)


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    prefix = "x-amz-meta-"
    return {
        name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)
    }


def _parse_complete(document: bytes) -> list[tuple[int, str]]:
    root = ET.fromstring(document)  # noqa: S314 (what our own client sent)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    return [
        (int(part.findtext(f"{space}PartNumber") or 0), part.findtext(f"{space}ETag") or "")
        for part in root.iter(f"{space}Part")
    ]


def _encode(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _shown(key: str, quoted: bool) -> str:
    if quoted:
        return quote(key)
    return escape(key)
