"""Part bodies as boto3 sends them: read lazily, and closed by their own checksum.

A checksum in a trailer (`aws-chunked`) needs no second reading of the source. botocore can do that
itself, but only over TLS and by slicing each MiB 64 times; here whole blocks go to the socket, as
one chunk, which is what the AWS SDKs for Go and Rust send when they know the length.
Measured for 2 GB from a directory: 0.9 s against 4.9 s with boto3's defaults.
"""

import base64
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from together_operator.archive.destinations import PartBody
from together_operator.archive.errors import ArchiveError

if TYPE_CHECKING:
    from botocore.awsrequest import AWSRequest
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import HeadObjectOutputTypeDef

CRC_HEADER = "x-amz-checksum-crc32"
_TRAILER_SIZE = len(f"0\r\n{CRC_HEADER}:AAAAAA==\r\n\r\n")


class SourceFailed(BaseException):
    """The source could not deliver a part; `args[0]` is the `ArchiveError`.

    Not an `Exception`, because botocore would wrap it and try the same eight times.
    """


class BodyFile(io.RawIOBase):
    """A file over `PartBody.blocks`. Raises `SourceFailed` for an error of the source."""

    def __init__(self, body: PartBody) -> None:
        self._body = body
        self._position = 0
        self._blocks: Iterator[bytes | memoryview] | None = None

    @property
    def size(self) -> int:
        """Length of the HTTP body in bytes."""
        return self._body.size

    def _produce(self) -> Iterator[bytes | memoryview]:
        return self._body.blocks()

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        if self._blocks is None:
            self._blocks = self._produce()
        try:
            block = next(self._blocks, b"")
        except ArchiveError as error:
            raise SourceFailed(error) from None
        self._position += len(block)
        return block  # type: ignore[return-value]  # a socket sends any buffer

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """To the start (for another try) or to the end (botocore asks for the length)."""
        if whence == io.SEEK_END:
            self._position = self.size
        elif offset == 0:
            self._position, self._blocks = 0, None
        return self._position


class FramedBody(BodyFile):
    """The same in `aws-chunked` framing, with the CRC-32 behind it."""

    @property
    def decoded_size(self) -> int:
        return self._body.size

    @property
    def size(self) -> int:
        framing = len(_chunk_head(self._body.size) + b"\r\n") if self._body.size else 0
        return framing + self._body.size + _TRAILER_SIZE

    def _produce(self) -> Iterator[bytes | memoryview]:
        if self._body.size:
            yield _chunk_head(self._body.size)
            yield from self._body.blocks()
            yield b"\r\n"
        assert self._body.crc is not None
        yield f"0\r\n{CRC_HEADER}:{encode_crc(self._body.crc)}\r\n\r\n".encode()


def sign_framed_bodies(client: "S3Client") -> None:
    """Make `client` announce and sign a `FramedBody` for what it is."""
    client.meta.events.register("before-sign.s3.UploadPart", _announce)


def _announce(request: "AWSRequest", **_: Any) -> None:
    body = request.data
    if not isinstance(body, FramedBody):
        return
    request.headers["Content-Encoding"] = "aws-chunked"
    request.headers["X-Amz-Trailer"] = CRC_HEADER
    request.headers["X-Amz-Decoded-Content-Length"] = str(body.decoded_size)
    # What botocore's signer looks at to write STREAMING-UNSIGNED-PAYLOAD-TRAILER.
    request.context["checksum"] = {
        "request_algorithm": {"algorithm": "crc32", "in": "trailer", "name": CRC_HEADER}
    }


def encode_crc(crc: int) -> str:
    """S3 writes a CRC as base64 of its big-endian bytes."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def decode_crc(text: str | None) -> int | None:
    """None for no checksum, and for a composite one, which has a `-<parts>` tail."""
    if not text or "-" in text:
        return None
    return int.from_bytes(base64.b64decode(text), "big")


def whole_crc(head: "HeadObjectOutputTypeDef") -> int | None:
    """The CRC-32 of an object's content, if the store keeps that one.

    That of an upload in parts may be a checksum of the parts' checksums, and not every store
    marks it: only one that is said to be of the full object is taken for one.
    """
    if "-" in head["ETag"] and head.get("ChecksumType") != "FULL_OBJECT":
        return None
    return decode_crc(head.get("ChecksumCRC32"))


def _chunk_head(size: int) -> bytes:
    return b"%x\r\n" % size
