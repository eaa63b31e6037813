"""One archive run from its parts: list, choose, plan, transfer, prove."""

import hashlib
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from together_operator.archive.check import inspect_source, refuse_unacceptable
from together_operator.archive.compressed import CompressedTransfer
from together_operator.archive.destinations import Destination, EqualPartsNeededError
from together_operator.archive.errors import (
    CorruptedError,
    SourceChanged,
    UploadGoneError,
)
from together_operator.archive.formats import Format
from together_operator.archive.formats.gzip import COMPRESSION
from together_operator.archive.formats.tar import TarFormat
from together_operator.archive.formats.zip import ZipFormat
from together_operator.archive.layout import Part
from together_operator.archive.plan import Plan, make_plan
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result
from together_operator.archive.selection import Excluded, Selection, select
from together_operator.archive.sources import Source
from together_operator.archive.transfer import Transfer


@dataclass(frozen=True, slots=True)
class Workers:
    """How many parts go at once, and the event that asks them to stop."""

    streaming: int
    copying: int
    compressing: int
    stop: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def for_machine(cls, wished: int | None, stop: threading.Event) -> "Workers":
        """`wished` parts at once, or what suits the processors that this process may use.

        A connection to S3 is slower than a core, a copy costs the client nothing, and compressing
        keeps a core busy by itself.
        """
        cores = len(os.sched_getaffinity(0))
        streaming = wished or min(32, 4 * cores)
        return cls(streaming, wished or 32, min(streaming, cores + 1), stop)


# Name → layout of the files, and what compresses the whole.
FORMATS: dict[str, tuple[type[Format], str]] = {
    "zip": (ZipFormat, ""),
    "tar": (TarFormat, ""),
    "tar.gz": (TarFormat, COMPRESSION),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    plan: Plan
    selection: Selection


def prepare(
    source: Source, archive_format: str, *, include: Sequence[str] = (), check: bool = True
) -> Prepared:
    """List, choose, check and plan; nothing is written. Raises `SourceUnacceptable`.

    `include`: globs of files to keep that would be left out.
    """
    selection = select(source.entries(), include)
    if check:
        refuse_unacceptable(inspect_source(source, selection.kept))
    layout, compression = FORMATS[archive_format]
    return Prepared(make_plan(layout(), selection.kept, compression), selection)


def derived_name(source: Source, digest: str, archive_format: str) -> tuple[str, str]:
    """The key below a destination prefix, and what the keys of the same source's other plans share.

    A readable name, a hash of where the source is, and the plan's digest.
    """
    last = source.uri.split("@")[0].rstrip("/").rpartition("/")[2]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.")[:64] or "model"
    place = hashlib.sha256(f"{source.uri} {archive_format}".encode()).hexdigest()[:8]
    family = f"{readable}-{place}-"
    return f"{family}{digest[:16]}.{archive_format}", family


def archive(
    prepared: Prepared,
    source: Source,
    destination: Destination,
    progress: Progress,
    workers: Workers,
) -> Result:
    """Make the archive, or find it made. Raises an `ArchiveError`; what was sent is kept unless
    it can never become right.
    """
    plan, started = prepared.plan, time.monotonic()
    excluded: tuple[Excluded, ...] = tuple(prepared.selection.excluded)

    def result(size: int, *, resumed: bool, crc: int | None) -> Result:
        return Result(
            uri=destination.uri,
            format=plan.name,
            size_bytes=size,
            digest=f"sha256:{plan.digest}",
            files=len(plan.entries),
            source_revision=source.revision,
            sent_bytes=progress.sent,
            copied_bytes=progress.copied,
            seconds=time.monotonic() - started,
            resumed=resumed,
            excluded=excluded,
            crc32=None if crc is None else f"{crc:08x}",
        )

    finished = destination.find_finished(plan)
    if finished is not None:
        progress.start("Done", finished, finished)
        return result(finished, resumed=True, crc=None)
    try:
        parts, crc, resumed = _move(prepared, source, destination, progress, workers)
    except EqualPartsNeededError:
        parts, crc, resumed = _move(
            prepared, source, destination, progress, workers, equal_parts=True
        )
    except UploadGoneError:
        finished = destination.find_finished(plan)
        if finished is None:
            raise
        return result(finished, resumed=True, crc=None)  # another worker of this plan was first
    return result(sum(part.size for part in parts), resumed=resumed, crc=crc)


def _move(
    prepared: Prepared,
    source: Source,
    destination: Destination,
    progress: Progress,
    workers: Workers,
    *,
    equal_parts: bool = False,
) -> tuple[Sequence[Part], int | None, bool]:
    plan = prepared.plan
    upload = destination.begin(plan, equal_parts=equal_parts)
    try:
        resumed = bool(upload.present)
        parts: Sequence[Part]
        crc: int | None
        if plan.compression:
            parts, crc = CompressedTransfer(
                plan, source, upload, progress, concurrency=workers.compressing, stop=workers.stop
            ).run()
        else:
            concurrency = workers.copying if upload.copies else workers.streaming
            parts = upload.layout
            crc = Transfer(
                plan, source, upload, progress, concurrency=concurrency, stop=workers.stop
            ).run()
        progress.start("Verifying", sum(part.size for part in parts), plan.size)
        source.verify_unchanged(plan.entries)
        upload.complete(parts, crc)
    except (SourceChanged, CorruptedError):
        upload.abort()
        raise
    finally:
        upload.close()
    return parts, crc, resumed
