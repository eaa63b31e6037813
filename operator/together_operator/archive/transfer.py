"""Moves every part of a plan to an upload: bulk parts in any order, mixed ones behind them.

A zip header carries the CRC-32 of a file that stands behind it, so work goes from the archive's end
to its beginning: what a part waits for has always been started before it, and no number of workers
can block one another.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from together_operator.archive.checksums import AbandonedError, FileChecksums, combine_crc32, crc32
from together_operator.archive.destinations import Upload
from together_operator.archive.errors import Interrupted
from together_operator.archive.layout import MIB, Part
from together_operator.archive.plan import FileRange, Plan, render
from together_operator.archive.progress import Progress
from together_operator.archive.sources import Source

BLOCK = MIB


class Transfer:
    """One run. `stop` set from outside ends it after the parts that are under way."""

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
        self._checksums = FileChecksums([entry.size for entry in plan.entries])
        self._part_crcs: dict[int, int] = {}

    def run(self) -> int | None:
        """Returns the archive's CRC-32 where every part's is known."""
        self._progress.start(
            "Archiving", self._plan.size, sum(part.size for part in self._upload.present.values())
        )
        ordered, last = _schedule(self._upload.layout, self._plan)
        held = {part.number: self._read_files(part) for part in last}
        self._run_all([lambda part=part: self._move(part) for part in ordered])
        self._run_all(
            [lambda part=part: self._finish_mixed(part, held[part.number]) for part in last]
        )
        return self._archive_crc()

    def _run_all(self, jobs: "Sequence[Callable[[], None]]") -> None:
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="part") as pool:
            futures: list[Future[None]] = [pool.submit(self._guarded, job) for job in jobs]
            wait(futures, return_when=FIRST_EXCEPTION)
            errors = [e for f in futures if f.done() and (e := f.exception()) is not None]
            if errors:
                self._failed.set()
                self._checksums.abandon()
                pool.shutdown(cancel_futures=True)
        if errors:
            raise errors[0]
        if self._stop.is_set():
            raise Interrupted("stopped on request; run again to go on from here")

    def _guarded(self, job: "Callable[[], None]") -> None:
        if self._stop.is_set() or self._failed.is_set():
            self._checksums.abandon()
            return
        with contextlib.suppress(AbandonedError):
            job()

    def _move(self, part: Part) -> None:
        present = self._upload.present.get(part.number)
        if part.bulk is None:
            self._finish_mixed(part, self._read_files(part))
        elif present is None:
            self._stream(part, part.bulk)
        elif self._plan.format.needs_crc:
            crc = present.crc
            if crc is None:
                crc = _exhaust(_BulkBody(self._source, self._plan, part.bulk))
            self._learn(part, part.bulk, crc)

    def _stream(self, part: Part, bulk: FileRange) -> None:
        body = _BulkBody(self._source, self._plan, bulk, self._progress)
        self._upload.put(part, body)
        self._progress.sent_part(part.size)
        assert body.crc is not None
        self._learn(part, bulk, body.crc)

    def _learn(self, part: Part, bulk: FileRange, crc: int) -> None:
        self._part_crcs[part.number] = crc
        self._checksums.add(bulk.index, bulk.offset, bulk.length, crc)

    def _read_files(self, part: Part) -> bytearray:
        """The file ranges of a mixed part end to end, their checksums learnt."""
        present = part.number in self._upload.present
        out = bytearray()
        if present and not self._plan.format.needs_crc:
            return out
        for piece in self._plan.pieces(part.start, part.stop):
            if isinstance(piece, FileRange):
                data = bytearray(piece.length)
                _read_exactly(self._source, self._plan, piece, memoryview(data))
                self._checksums.add(piece.index, piece.offset, piece.length, crc32(data))
                out += data
        return out

    def _finish_mixed(self, part: Part, files: bytearray) -> None:
        if part.number in self._upload.present:
            return
        body = _MixedBody(
            render(self._plan, part.start, part.stop, crcs=self._checksums.wait, files=files),
            part.size,
            self._progress,
        )
        self._upload.put(part, body)
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


class _BulkBody:
    """A range of one file, read block by block; `crc` is there after `blocks` ran to its end."""

    def __init__(
        self, source: Source, plan: Plan, bulk: FileRange, progress: Progress | None = None
    ) -> None:
        self.size = bulk.length
        self.crc: int | None = None
        self._source = source
        self._entry = plan.entries[bulk.index]
        self._bulk = bulk
        self._progress = progress
        self._reported = 0

    def blocks(self) -> Iterator[memoryview]:
        self._report(-self._reported)
        buffer = memoryview(bytearray(min(BLOCK, self.size)))
        crc = 0
        with self._source.open(self._entry, self._bulk.offset, self._bulk.length) as reader:
            while count := reader.readinto(buffer):
                block = buffer[:count]
                crc = crc32(block, crc)
                yield block
                self._report(count)
        self.crc = crc

    def _report(self, count: int) -> None:
        if self._progress is not None and count:
            self._reported += count
            self._progress.moving(count)


class _MixedBody:
    def __init__(
        self, buffers: Sequence[bytes | memoryview], size: int, progress: Progress
    ) -> None:
        self.size = size
        self._buffers = buffers
        self._progress = progress
        self._reported = False
        crc = 0
        for buffer in buffers:
            crc = crc32(buffer, crc)
        self.crc = crc

    def blocks(self) -> Iterator[memoryview]:
        for buffer in self._buffers:
            yield memoryview(buffer)
        if not self._reported:
            self._reported = True
            self._progress.moving(self.size)


def _schedule(layout: Sequence[Part], plan: Plan) -> tuple[list[Part], list[Part]]:
    """Parts in the order of work, and those that carry the trailer, which come after all others."""
    last = [part for part in layout if part.stop > plan.trailer_start]
    groups: list[list[Part]] = []
    for part in layout[: len(layout) - len(last)]:
        if part.bulk is None or not groups:
            groups.append([])
        groups[-1].append(part)
    ordered = []
    for group in reversed(groups):
        head, *bulk = group if group[0].bulk is None else [None, *group]
        ordered += bulk
        if head is not None:
            ordered.append(head)
    return ordered, last


def _read_exactly(source: Source, plan: Plan, piece: FileRange, into: memoryview) -> None:
    with source.open(plan.entries[piece.index], piece.offset, piece.length) as reader:
        position = 0
        while count := reader.readinto(into[position:]):
            position += count


def _exhaust(body: _BulkBody) -> int:
    for _block in body.blocks():
        pass
    assert body.crc is not None
    return body.crc
