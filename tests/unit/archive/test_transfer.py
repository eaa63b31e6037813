"""Moving the parts of a plan: what is hashed, what is held back, and what is said meanwhile."""

import hashlib
import json
import random
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from together_operator.api.v1alpha1 import Progress as ShownProgress
from together_operator.archive.destinations import PartBody, PresentPart
from together_operator.archive.errors import ArchiveError, CorruptedError, StoppedError
from together_operator.archive.formats import Format
from together_operator.archive.formats.tar import TarFormat
from together_operator.archive.formats.zip import ZipFormat
from together_operator.archive.layout import MIB, STREAM_PART, LayoutKind, Part, lay_out
from together_operator.archive.plan import FileRange, Plan, make_plan
from together_operator.archive.progress import Progress
from together_operator.archive.sources import Entry
from together_operator.archive.transfer import Transfer
from together_operator.domain.progress import advanced, parse_progress

FORMATS: dict[str, Format] = {"zip": ZipFormat(), "tar": TarFormat()}
WEIGHTS = "model.safetensors"


class Reader:
    def __init__(self, data: memoryview) -> None:
        self._rest = data

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class MemorySource:
    """Files in memory; `hashed` says whether their SHA-256 is promised, `wrong` whose is not
    that of the bytes.
    """

    uri = "hf://org/repo"
    revision = None

    def __init__(self, files: Mapping[str, bytes], *, hashed: bool, wrong: str = "") -> None:
        self.files = files
        self._hashed = hashed
        self._wrong = wrong
        self.read: list[tuple[str, int, int]] = []
        """Name, offset and length of what was opened."""

    def entries(self) -> Sequence[Entry]:
        return [Entry(name, len(data), self._identity(name)) for name, data in self.files.items()]

    def _identity(self, name: str) -> str:
        if not self._hashed:
            return "etag:1"
        data = b"other" if name == self._wrong else self.files[name]
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    @contextmanager
    def open(self, entry: Entry, offset: int, length: int) -> Iterator[Reader]:
        self.read.append((entry.name, offset, length))
        yield Reader(memoryview(self.files[entry.name])[offset : offset + length])

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        """It never changes."""


class MemoryUpload:
    """Keeps what is put into it; nothing can be copied."""

    copies = False

    def __init__(self, plan: Plan, kind: LayoutKind) -> None:
        self.layout = lay_out(plan, kind)
        self.present: Mapping[int, PresentPart] = {}
        self.parts: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def can_copy(self, _index: int) -> bool:
        return False

    def known_crc(self, _index: int) -> int | None:
        return None

    def copy(self, part: Part, bulk: FileRange) -> int | None:
        raise NotImplementedError

    def put(self, part: Part, body: PartBody) -> None:
        data = b"".join(bytes(block) for block in body.blocks())
        assert len(data) == part.size
        with self._lock:
            self.parts[part.number] = data

    def complete(self, parts: Sequence[Part], crc: int | None) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def killed(self, *, crcs: bool) -> None:
        """What was sent is what the next run finds; `crcs`: the store says those of parts."""
        self.present = {
            number: PresentPart(len(data), zlib.crc32(data) if crcs else None)
            for number, data in self.parts.items()
        }

    def content(self) -> bytes:
        return b"".join(self.parts[part.number] for part in self.layout)


def run(
    plan: Plan,
    source: MemorySource,
    upload: MemoryUpload,
    *,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> int | None:
    return Transfer(
        plan,
        source,
        upload,
        progress or Progress(),
        concurrency=2,
        stop=stop or threading.Event(),
    ).run()


def model(*sizes: int) -> dict[str, bytes]:
    files = {"config.json": b"{}", WEIGHTS: b"0123456789abcdef" * (40 * MIB // 16) + b"tail"}
    return files | {f"more-{size}.bin": b"xyz" * (size // 3) for size in sizes}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["stream", "equal"])
def test_files_with_promised_hashes_go_through_in_every_layout(form: str, kind: LayoutKind) -> None:
    files = model(17 * MIB, 33 * MIB, 9 * MIB)
    plain, hashed = MemorySource(files, hashed=False), MemorySource(files, hashed=True)
    made = []
    for source in (plain, hashed):
        plan = make_plan(FORMATS[form], source.entries())
        upload = MemoryUpload(plan, kind)
        crc = run(plan, source, upload)
        made.append(upload.content())
        assert crc == zlib.crc32(made[-1])
    assert made[0] == made[1]


def header_part(plan: Plan, upload: MemoryUpload, name: str) -> int:
    """The number of the part in which the header of a file begins."""
    index = next(i for i, entry in enumerate(plan.entries) if entry.name == name)
    return next(part.number for part in upload.layout if part.stop > plan.offsets[index])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["stream", "equal"])
@pytest.mark.parametrize("wrong", [WEIGHTS, "config.json", f"more-{6 * MIB}.bin"])
def test_a_run_after_one_that_found_a_corrupted_file_finds_it_again(
    form: str, kind: LayoutKind, wrong: str
) -> None:
    """Even when the first one was killed before it could end its upload."""
    source = MemorySource(model(6 * MIB, 17 * MIB), hashed=True, wrong=wrong)
    plan = make_plan(FORMATS[form], source.entries())
    upload = MemoryUpload(plan, kind)
    for _attempt in range(3):
        with pytest.raises(CorruptedError, match=wrong):
            run(plan, source, upload)
        assert header_part(plan, upload, wrong) not in upload.parts
        upload.killed(crcs=True)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["stream", "equal"])
def test_a_file_that_an_earlier_run_verified_is_not_read_again(form: str, kind: LayoutKind) -> None:
    source = MemorySource(model(33 * MIB), hashed=True)
    plan = make_plan(FORMATS[form], source.entries())
    upload = MemoryUpload(plan, kind)
    run(plan, source, upload)
    whole = upload.content()
    upload.parts = {
        number: data
        for number, data in upload.parts.items()
        if number >= header_part(plan, upload, WEIGHTS)
    }
    upload.killed(crcs=True)
    source.read.clear()
    run(plan, source, upload)
    assert upload.content() == whole
    # A zip's directory has the CRC-32 of all, so what went through memory is read for it.
    most = STREAM_PART * 2 if form == "zip" else 0
    assert sum(length for name, _, length in source.read if name == WEIGHTS) <= most


@pytest.mark.parametrize("form", FORMATS)
def test_a_stop_in_the_middle_of_a_hashed_file_ends_the_run(form: str) -> None:
    source = MemorySource(model(), hashed=True)
    plan = make_plan(FORMATS[form], source.entries())
    upload, stop = MemoryUpload(plan, "stream"), threading.Event()
    put = upload.put

    def put_and_stop(part: Part, body: PartBody) -> None:
        put(part, body)
        stop.set()

    upload.put = put_and_stop  # type: ignore[method-assign]
    ends = list[BaseException]()

    def work() -> None:
        try:
            run(plan, source, upload, stop=stop)
        except ArchiveError as error:
            ends.append(error)

    # A thread that the interpreter would not wait for, should it hang.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(20)
    assert [type(error) for error in ends] == [StoppedError]


class Watched:
    """A reader that takes 10 to 30 s for a block; `look` is what the operator does each minute."""

    def __init__(self, reader: Reader, look: Callable[[float], None]) -> None:
        self._reader = reader
        self._look = look
        self._random = random.Random(1)

    def readinto(self, buffer: memoryview) -> int:
        self._look(self._random.uniform(10, 30))
        return self._reader.readinto(buffer)


@pytest.mark.parametrize("hashed", [False, True], ids=["checksums", "hashes"])
def test_a_run_that_reads_again_what_is_there_does_not_look_stuck(hashed: bool) -> None:
    """The operator gives a worker up whose lines don't tell that it gets on."""
    now, looked = [0.0], [0.0]
    progress = Progress(lambda: now[0])
    source = MemorySource(model(33 * MIB), hashed=hashed)
    plan = make_plan(ZipFormat(), source.entries())
    upload = MemoryUpload(plan, "stream")
    run(plan, source, upload)
    upload.parts = {part.number: upload.parts[part.number] for part in upload.layout if part.bulk}
    upload.killed(crcs=False)

    shown: ShownProgress | None = None
    start, idle = datetime(2026, 1, 1, tzinfo=UTC), [0.0]
    opened, lock = source.open, threading.Lock()

    def look(seconds: float) -> None:
        nonlocal shown
        with lock:
            now[0] += seconds
            line = json.dumps(progress.snapshot().document())
            if now[0] < looked[0] + 60:
                return
            looked[0], at = now[0], start + timedelta(seconds=now[0])
            shown = advanced(shown, parse_progress(line), at)
            assert shown is not None
            assert shown.moved_at is not None
            idle.append((at - shown.moved_at).total_seconds())

    @contextmanager
    def slowly(entry: Entry, offset: int, length: int) -> Iterator[Watched]:
        with opened(entry, offset, length) as reader:
            yield Watched(reader, look)

    source.open = slowly  # type: ignore[method-assign,assignment]
    run(plan, source, upload, progress=progress)
    assert now[0] > 1800
    assert max(idle) < 300
