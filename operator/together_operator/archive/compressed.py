"""A compressed archive: chunks are read and compressed on all cores, sent in parts as they come.

Its size is not known in advance, so it is cut every 16 MiB. A run that goes on after another
compresses again from the start, which gives the same bytes, and sends only what is not there yet.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from together_operator.archive.bodies import BufferBody, FileHash
from together_operator.archive.checksums import combine_crc32, crc32
from together_operator.archive.destinations import Upload
from together_operator.archive.errors import CorruptedError, SourceUnacceptable, StoppedError
from together_operator.archive.formats.gzip import CHUNK, HEADER, compress_chunk, end_of_member
from together_operator.archive.layout import MAX_PARTS, STREAM_PART, Part
from together_operator.archive.plan import FileRange, Plan, render
from together_operator.archive.progress import Progress
from together_operator.archive.sources import Source

_SENDERS = 2


class CompressedTransfer:
    """One run; see `transfer.Transfer` for what `stop` does and what is raised."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        upload: Upload,
        progress: Progress,
        *,
        concurrency: int,
        stop: threading.Event,
    ) -> None:
        self._plan = plan
        self._source = source
        self._upload = upload
        self._progress = progress
        self._concurrency = concurrency
        self._stop = stop
        self._hash: tuple[int, FileHash] | None = None
        # Parts grow with the archive, as if nothing could be compressed.
        self._part_size = max(STREAM_PART, -(-plan.size // 9_000))

    def run(self) -> tuple[Sequence[Part], int]:
        """The parts as they were sent, and the CRC-32 of the compressed archive."""
        self._progress.start("Archiving", self._plan.size)
        parts: list[Part] = []
        crc = 0
        with ThreadPoolExecutor(_SENDERS, thread_name_prefix="send") as pool:
            sending: deque[Future[None]] = deque()
            for buffers in self._cut(self._compressed()):
                body = BufferBody(buffers)
                start = parts[-1].stop if parts else 0
                parts.append(Part(len(parts) + 1, start, start + body.size, None))
                if len(parts) > MAX_PARTS:
                    raise SourceUnacceptable("the archive needs more parts than S3 takes")
                crc = combine_crc32(crc, body.crc, body.size)
                while len(sending) >= _SENDERS:
                    sending.popleft().result()
                sending.append(pool.submit(self._send, parts[-1], body))
            for future in sending:
                future.result()
        return parts, crc

    def _send(self, part: Part, body: BufferBody) -> None:
        present = self._upload.present.get(part.number)
        if present is not None and present.size == part.size and present.crc in (None, body.crc):
            return
        self._upload.put(part, body)
        self._progress.sent_compressed(part.size)

    def _cut(self, stream: Iterator[bytes]) -> Iterator[list[memoryview]]:
        buffers: list[memoryview] = []
        room = self._part_size
        for data in stream:
            rest = memoryview(data)
            while rest:
                buffers.append(rest[:room])
                rest, room = rest[room:], room - len(buffers[-1])
                if not room:
                    yield buffers
                    buffers, room = [], self._part_size
        if buffers:
            yield buffers

    def _compressed(self) -> Iterator[bytes]:
        yield HEADER
        total = 0
        hashing = any(FileHash.is_promised(entry.identity) for entry in self._plan.entries)
        starts = iter(range(0, self._plan.size, CHUNK))
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="compress") as pool:
            ahead: deque[tuple[int, Future[tuple[bytes, int, bytearray | None]]]] = deque()
            while True:
                while len(ahead) < self._concurrency + 1 and (start := next(starts, -1)) >= 0:
                    ahead.append((start, pool.submit(self._compress, start, hashing)))
                if not ahead:
                    break
                if self._stop.is_set():
                    pool.shutdown(cancel_futures=True)
                    raise StoppedError("stopped on request; run again to go on from here")
                start, future = ahead.popleft()
                data, crc, raw = future.result()
                stop = min(start + CHUNK, self._plan.size)
                total = combine_crc32(total, crc, stop - start)
                if raw is not None:
                    self._verify(start, stop, memoryview(raw))
                self._progress.processed(stop - start)
                yield data
        yield end_of_member(total, self._plan.size)

    def _compress(self, start: int, keep_raw: bool) -> tuple[bytes, int, bytearray | None]:
        """Compressed chunk, CRC-32 before compression, and its file bytes if they are wanted."""
        stop = min(start + CHUNK, self._plan.size)
        files = bytearray(
            sum(p.length for p in self._plan.pieces(start, stop) if isinstance(p, FileRange))
        )
        position = 0
        for piece in self._plan.pieces(start, stop):
            if isinstance(piece, FileRange):
                view = memoryview(files)[position : position + piece.length]
                self._read_exactly(piece, view)
                position += piece.length
        buffers = render(self._plan, start, stop, crcs=lambda _index: 0, files=files)
        chunk = buffers[0] if len(buffers) == 1 else b"".join(buffers)
        return compress_chunk(chunk), crc32(chunk), files if keep_raw else None

    def _read_exactly(self, piece: FileRange, into: memoryview) -> None:
        entry = self._plan.entries[piece.index]
        with self._source.open(entry, piece.offset, piece.length) as reader:
            position = 0
            while count := reader.readinto(into[position:]):
                position += count

    def _verify(self, start: int, stop: int, raw: memoryview) -> None:
        """Feed the promised hashes, chunk after chunk in order."""
        for piece in self._plan.pieces(start, stop):
            if not isinstance(piece, FileRange):
                continue
            data, raw = raw[: piece.length], raw[piece.length :]
            entry = self._plan.entries[piece.index]
            if not FileHash.is_promised(entry.identity):
                continue
            if piece.offset == 0:
                self._hash = piece.index, FileHash(entry.identity, entry.size)
            assert self._hash is not None
            self._hash[1].update(data)
            if piece.offset + piece.length == entry.size and not self._hash[1].matches():
                raise CorruptedError(
                    f"{entry.name!r} does not have the checksum that its store promises; run again"
                )
