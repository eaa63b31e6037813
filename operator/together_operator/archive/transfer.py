"""Moves every part of a plan to an upload.

A zip header carries the CRC-32 of a file that stands behind it, and no header goes out before its
file was found to have the hash that the source promises, if it does. So work goes from the
archive's end to its beginning: what a part waits for has always been started before it, and no
number of workers can block one another. Bulk parts and mixed parts have pools of their own, because
a mixed part sits in memory and may wait for bulk parts.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from together_operator.archive.bodies import BufferBody, BulkBody, FileHash
from together_operator.archive.checksums import (
    AbandonedError,
    FileChecksums,
    MismatchError,
    combine_crc32,
    crc32,
)
from together_operator.archive.destinations import Upload
from together_operator.archive.errors import CorruptedError, StoppedError
from together_operator.archive.layout import Part
from together_operator.archive.plan import FileRange, Header, Plan, render
from together_operator.archive.progress import Progress
from together_operator.archive.sources import Source

_MIXED_WORKERS = 2


class Transfer:
    """One run over an upload whose layout is known. `stop` set from outside ends it after the
    parts that are under way; they are kept for the next run.
    """

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
        self._failed = threading.Event()
        self._checksums = FileChecksums(
            [entry.size for entry in plan.entries],
            unverified=[
                index
                for index, entry in enumerate(plan.entries)
                if entry.size and FileHash.is_promised(entry.identity)
            ],
        )
        self._part_crcs: dict[int, int] = {}
        self._bulk_files = {part.bulk.index for part in upload.layout if part.bulk is not None}

    def run(self) -> int | None:
        """Returns the archive's CRC-32 where every part's is known.

        Raises `CorruptedError` when bytes are not those that the source promises; what was sent is
        worthless then. Other errors leave an upload that can be resumed.
        """
        present = sum(part.size for part in self._upload.present.values())
        self._progress.start("Archiving", self._plan.size, present)
        groups, last = _schedule(self._upload.layout, self._plan)
        held = {part.number: self._read_files(part) for part in last}
        bulk_jobs: list[Callable[[], None]] = []
        for group in groups:
            bulk_jobs += self._bulk_jobs(group.bulk)
        mixed_jobs = [partial(self._move_mixed, group.mixed) for group in groups if group.mixed]
        self._run_all(bulk_jobs, mixed_jobs)
        self._run_all([], [partial(self._send_mixed, part, held[part.number]) for part in last])
        return self._archive_crc()

    def _bulk_jobs(self, parts: Sequence[Part]) -> list[Callable[[], None]]:
        """One job a part, or one for the whole file where its hash must be fed in order."""
        if not parts or parts[0].bulk is None:
            return []
        entry = self._plan.entries[parts[0].bulk.index]
        if FileHash.is_promised(entry.identity):
            return [partial(self._stream_hashed, parts)]
        return [partial(self._move_bulk, part, part.bulk) for part in parts if part.bulk]

    def _run_all(
        self, bulk: Sequence[Callable[[], None]], mixed: Sequence[Callable[[], None]]
    ) -> None:
        with (
            ThreadPoolExecutor(self._concurrency, thread_name_prefix="bulk") as bulk_pool,
            ThreadPoolExecutor(_MIXED_WORKERS, thread_name_prefix="mixed") as mixed_pool,
        ):
            futures: list[Future[None]] = [bulk_pool.submit(self._guarded, job) for job in bulk]
            futures += [mixed_pool.submit(self._guarded, job) for job in mixed]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            errors = [error for future in done if (error := future.exception()) is not None]
            if errors:
                self._failed.set()
                self._checksums.abandon()
        if errors:
            raise errors[0]
        if self._stop.is_set():
            raise StoppedError("stopped on request; run again to go on from here")

    def _guarded(self, job: Callable[[], None]) -> None:
        if self._stop.is_set() or self._failed.is_set():
            self._checksums.abandon()
            return
        try:
            job()
        except AbandonedError:
            self._checksums.abandon()  # somebody may wait for what this job was to find out

    def _move_bulk(self, part: Part, bulk: FileRange) -> None:
        present = self._upload.present.get(part.number)
        if present is not None:
            self._learn_present(part, bulk, present.crc)
        elif self._upload.can_copy(bulk.index):
            self._copy(part, bulk)
        else:
            self._stream(part, bulk, BulkBody(self._source, self._plan, bulk, self._progress))

    def _copy(self, part: Part, bulk: FileRange) -> None:
        crc = self._upload.copy(part, bulk)
        self._progress.copied_part(part.size)
        known = self._upload.known_crc(bulk.index)
        if known is not None:
            self._checksums.expect(bulk.index, known)
        if crc is not None:
            self._learn(part, bulk, crc)

    def _stream(self, part: Part, bulk: FileRange, body: BulkBody) -> None:
        try:
            self._upload.put(part, body)
        except BaseException:
            body.give_up()
            raise
        self._progress.sent_part(part.size)
        assert body.crc is not None
        self._learn(part, bulk, body.crc)

    def _stream_hashed(self, parts: Sequence[Part]) -> None:
        """All parts of one file in order, its promised hash computed on the way.

        A header is sent only after its file was verified (see `_send_mixed`), so a header that is
        there already says that the file need not be read again.
        """
        first = parts[0].bulk
        assert first is not None
        index, entry = first.index, self._plan.entries[first.index]
        header = next(part for part in self._upload.layout if part.stop > self._plan.offsets[index])
        verified = header.number in self._upload.present
        file_hash = FileHash(entry.identity, entry.size)
        # Head and tail travel in mixed parts; the hash wants them in their place.
        bulk_stop = first.offset + sum(part.size for part in parts)
        if not verified:
            self._hash(FileRange(index, 0, first.offset), file_hash)
        for part in parts:
            if self._stop.is_set() or self._failed.is_set():
                raise AbandonedError
            self._move_hashed(part, None if verified else file_hash)
        if not verified:
            self._hash(FileRange(index, bulk_stop, entry.size - bulk_stop), file_hash)
            if not file_hash.matches():
                raise _corrupted(entry.name)
        self._checksums.verified(index)

    def _hash(self, piece: FileRange, file_hash: FileHash) -> None:
        """Feed it a range that this part of the work doesn't send."""
        if piece.length:
            BulkBody(self._source, self._plan, piece, watch=file_hash.update).read_only(
                self._progress
            )

    def _move_hashed(self, part: Part, file_hash: FileHash | None) -> None:
        bulk = part.bulk
        assert bulk is not None
        present = self._upload.present.get(part.number)
        watch = file_hash.update if file_hash is not None else None
        if present is None:
            body = BulkBody(self._source, self._plan, bulk, self._progress, watch)
            self._stream(part, bulk, body)
        elif file_hash is not None:
            body = BulkBody(self._source, self._plan, bulk, watch=watch)
            self._learn(part, bulk, body.read_only(self._progress))
        else:
            self._learn_present(part, bulk, present.crc)

    def _learn_present(self, part: Part, bulk: FileRange, crc: int | None) -> None:
        if crc is None and self._plan.format.needs_crc:
            crc = BulkBody(self._source, self._plan, bulk).read_only(self._progress)
        if crc is not None:
            self._learn(part, bulk, crc)

    def _learn(self, part: Part, bulk: FileRange, crc: int) -> None:
        self._part_crcs[part.number] = crc
        self._add(bulk, crc)

    def _add(self, piece: FileRange, crc: int) -> None:
        try:
            self._checksums.add(piece.index, piece.offset, piece.length, crc)
        except MismatchError:
            raise _corrupted(self._plan.entries[piece.index].name) from None

    def _move_mixed(self, part: Part) -> None:
        self._send_mixed(part, self._read_files(part))

    def _read_files(self, part: Part) -> bytearray:
        """The file ranges of a mixed part end to end, their checksums learnt."""
        present = part.number in self._upload.present
        pieces = [
            piece
            for piece in self._plan.pieces(part.start, part.stop)
            if isinstance(piece, FileRange)
        ]
        if present:
            self._trust(pieces)
            if not self._plan.format.needs_crc:
                return bytearray()
        out = bytearray(sum(piece.length for piece in pieces))
        rest = memoryview(out)
        for piece in pieces:
            data, rest = rest[: piece.length], rest[piece.length :]
            self._read_exactly(piece, data)
            self._add(piece, crc32(data))
            if present:
                self._progress.read_only(piece.length)
            else:
                self._verify(piece, data)
        return out

    def _read_exactly(self, piece: FileRange, into: memoryview) -> None:
        entry = self._plan.entries[piece.index]
        with self._source.open(entry, piece.offset, piece.length) as reader:
            position = 0
            while count := reader.readinto(into[position:]):
                position += count

    def _begins_mixed_file(self, piece: FileRange) -> bool:
        """Whether it begins a file without bulk parts, which nobody else hashes."""
        return not piece.offset and piece.index not in self._bulk_files

    def _trust(self, pieces: Sequence[FileRange]) -> None:
        """A part is sent only after the files that it begins were verified."""
        for piece in pieces:
            if self._begins_mixed_file(piece):
                self._checksums.verified(piece.index)

    def _verify(self, piece: FileRange, data: memoryview) -> None:
        entry = self._plan.entries[piece.index]
        if not self._begins_mixed_file(piece) or not FileHash.is_promised(entry.identity):
            return
        file_hash = FileHash(entry.identity, entry.size)
        file_hash.update(data)
        self._hash(FileRange(piece.index, piece.length, entry.size - piece.length), file_hash)
        if not file_hash.matches():
            raise _corrupted(entry.name)
        self._checksums.verified(piece.index)

    def _send_mixed(self, part: Part, files: bytearray) -> None:
        if part.number in self._upload.present:
            return
        for piece in self._plan.pieces(part.start, part.stop):
            if isinstance(piece, Header):
                self._checksums.wait_verified(piece.index)
        body = BufferBody(
            render(self._plan, part.start, part.stop, crcs=self._checksums.wait, files=files)
        )
        self._upload.put(part, body)
        self._progress.moving(part.size)
        self._progress.sent_part(part.size)
        self._part_crcs[part.number] = body.crc

    def _archive_crc(self) -> int | None:
        total = 0
        for part in self._upload.layout:
            present = self._upload.present.get(part.number)
            crc = self._part_crcs.get(part.number, present.crc if present else None)
            if crc is None:
                return None
            total = combine_crc32(total, crc, part.size)
        return total


@dataclass(slots=True)
class _Group:
    """A mixed part and the bulk parts behind it, which are of one file."""

    mixed: Part | None
    bulk: list[Part] = field(default_factory=list)


def _schedule(layout: Sequence[Part], plan: Plan) -> tuple[list[_Group], list[Part]]:
    """Groups in the order of work, and the parts with the trailer, which come after all others."""
    last = [part for part in layout if part.stop > plan.trailer_start]
    groups: list[_Group] = []
    for part in layout[: len(layout) - len(last)]:
        if part.bulk is None:
            groups.append(_Group(part))
        elif groups:
            groups[-1].bulk.append(part)
        else:
            groups.append(_Group(None, [part]))
    return groups[::-1], last


def _corrupted(name: str) -> CorruptedError:
    return CorruptedError(f"{name!r} does not have the checksum that its store promises; run again")
