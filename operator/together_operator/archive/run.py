"""One archive run from its parts: list, choose, plan, transfer, prove."""

import hashlib
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from together_operator.archive.destinations import Destination
from together_operator.archive.formats import Format
from together_operator.archive.formats.tar import TarFormat
from together_operator.archive.formats.zip import ZipFormat
from together_operator.archive.plan import Plan, make_plan
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result
from together_operator.archive.selection import Excluded, Selection, select
from together_operator.archive.sources import Source
from together_operator.archive.transfer import Transfer

FORMATS: dict[str, type[Format]] = {"zip": ZipFormat, "tar": TarFormat}


@dataclass(frozen=True, slots=True)
class Prepared:
    plan: Plan
    selection: Selection


def prepare(source: Source, archive_format: str, include: Sequence[str] = ()) -> Prepared:
    """List and plan; nothing is written. Raises `SourceUnacceptable`."""
    selection = select(source.entries(), include)
    return Prepared(make_plan(FORMATS[archive_format](), selection.kept), selection)


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
    *,
    concurrency: int,
    stop: threading.Event,
) -> Result:
    """Make the archive, or find it made. Raises an `ArchiveError`; what was sent is kept unless
    it can never become right.
    """
    plan, started = prepared.plan, time.monotonic()
    excluded: tuple[Excluded, ...] = tuple(prepared.selection.excluded)

    def result(*, resumed: bool, crc: int | None) -> Result:
        return Result(
            uri=destination.uri,
            format=plan.format.name,
            size_bytes=plan.size,
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

    if destination.find_finished(plan):
        progress.start("Done", plan.size, plan.size)
        return result(resumed=True, crc=None)
    upload = destination.begin(plan)
    try:
        resumed = bool(upload.present)
        transfer = Transfer(plan, source, upload, progress, concurrency=concurrency, stop=stop)
        crc = transfer.run()
        progress.start("Verifying", plan.size, plan.size)
        source.verify_unchanged(plan.entries)
        upload.complete(crc)
    finally:
        upload.close()
    return result(resumed=resumed, crc=crc)
