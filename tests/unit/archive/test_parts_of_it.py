"""The small pieces: checksums, progress, bodies, results."""

import io
import json
import threading
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.archive.bodies import BufferBody, FileHash
from together_operator.archive.checksums import AbandonedError, FileChecksums, MismatchError
from together_operator.archive.destinations.s3_body import (
    FramedBody,
    SourceFailed,
    decode_crc,
    encode_crc,
)
from together_operator.archive.errors import TemporaryFailure
from together_operator.archive.formats.gzip import HEADER, compress_chunk, end_of_member
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result, write_termination_message


@given(st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=6), st.randoms())
def test_ranges_in_any_order_add_up_to_the_crc_of_the_file(
    data: bytes, cuts: list[int], random: "object"
) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    ranges = list(pairwise(edges))
    random.shuffle(ranges)  # type: ignore[attr-defined]
    checksums = FileChecksums([len(data)])
    for start, stop in ranges:
        checksums.add(0, start, stop - start, zlib.crc32(data[start:stop]))
        checksums.add(0, start, stop - start, zlib.crc32(data[start:stop]))
    assert checksums.wait(0) == zlib.crc32(data)


def test_a_crc_that_disagrees_with_the_stores_is_noticed() -> None:
    checksums = FileChecksums([1])
    checksums.expect(0, 1)
    assert checksums.wait(0) == 1
    with pytest.raises(MismatchError):
        checksums.add(0, 0, 1, 2)


def test_who_waits_for_a_crc_is_woken_when_the_run_is_abandoned() -> None:
    checksums = FileChecksums([1])
    threading.Timer(0.01, checksums.abandon).start()
    with pytest.raises(AbandonedError):
        checksums.wait(0)


@given(st.binary(max_size=5000), st.binary(max_size=5000))
def test_chunks_of_a_gzip_member_decompress_as_one(one: bytes, other: bytes) -> None:
    member = HEADER + compress_chunk(one) + compress_chunk(other)
    member += end_of_member(zlib.crc32(one + other), len(one + other))
    assert zlib.decompress(member, 31) == one + other


@pytest.mark.parametrize("size", [1, 2, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_framed_body_is_what_aws_chunked_says(size: int) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    half = size // 2
    body = FramedBody(BufferBody([data[:half], data[half:size]]))
    sent = b"".join(iter(body.read, b""))
    assert len(sent) == body.size
    rest, decoded = io.BytesIO(sent), b""
    while length := int(rest.readline(), 16):
        decoded += rest.read(length)
        assert rest.readline() == b"\r\n"
    assert decoded == data[:size]
    crc = encode_crc(zlib.crc32(decoded))
    assert rest.read() == f"x-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    body.seek(0)
    assert b"".join(iter(body.read, b"")) == sent


def test_a_source_that_fails_within_a_body_ends_the_request_at_once() -> None:
    class Broken:
        size = 10
        crc = None

        def blocks(self) -> Iterator[memoryview]:
            yield memoryview(b"x")
            raise TemporaryFailure("gone")

    body = FramedBody(Broken())
    with pytest.raises(SourceFailed) as caught:
        b"".join(iter(body.read, b""))
    assert isinstance(caught.value.args[0], TemporaryFailure)


def test_checksums_are_written_as_s3_writes_them() -> None:
    assert encode_crc(zlib.crc32(b"123456789")) == "y/Q5Jg=="
    assert decode_crc("y/Q5Jg==") == 0xCBF43926
    assert decode_crc("y/Q5Jg==-3") is None
    assert decode_crc(None) is None


def test_promised_hashes() -> None:
    blob = FileHash("git:b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0", 5)  # `git hash-object` of hello
    blob.update(memoryview(b"hello"))
    assert blob.matches()
    wrong = FileHash("sha256:00", 0)
    assert not wrong.matches()
    assert not FileHash.is_promised("etag:x")


def test_progress_never_falls_and_speed_leaves_out_what_was_there() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    progress.start("Archiving", 1000, 400)
    assert (progress.snapshot().done_bytes, progress.snapshot().eta_seconds) == (400, None)
    progress.moving(200)
    now[0] = 2.0
    shown = progress.snapshot()
    assert (shown.done_bytes, shown.bytes_per_second, shown.eta_seconds) == (600, 100, 4)
    progress.moving(-200)  # the try was given up
    assert progress.snapshot().done_bytes == 600
    progress.moving(100)
    progress.sent_part(100)
    assert progress.snapshot().done_bytes == 600
    assert progress.sent == 100


def test_what_is_only_read_counts_as_speed_and_brings_the_end_no_nearer() -> None:
    now = [0.0]
    progress = Progress(lambda: now[0])
    progress.start("Archiving", 1000, 400)
    progress.read_only(300)
    now[0] = 3.0
    shown = progress.snapshot()
    assert (shown.done_bytes, shown.bytes_per_second, shown.eta_seconds) == (400, 100, None)
    progress.moving(300)
    shown = progress.snapshot()
    assert (shown.done_bytes, shown.bytes_per_second, shown.eta_seconds) == (700, 200, 3)
    now[0] = 60.0
    progress.snapshot()
    now[0] = 80.0
    assert progress.snapshot().bytes_per_second == 0


def result(uri: str) -> Result:
    return Result(uri, "zip", 1, "sha256:0", 1, None, 1, 0, 1.0, resumed=False)


def test_a_termination_message_fits_where_kubernetes_cuts_it(tmp_path: Path) -> None:
    path = tmp_path / "message"
    environ = {"TERMINATION_MESSAGE_PATH": str(path)}
    write_termination_message(environ, result("s3://b/" + "k" * 5000).document())
    left = json.loads(path.read_text())
    assert left["digest"] == "sha256:0"
    assert path.stat().st_size <= 4096
