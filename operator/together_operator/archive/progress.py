"""What is done so far: counted by the workers, shown once a second."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TextIO

_WINDOW_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`done_bytes` of `total_bytes` of the archive; the rate over the last 15 s, which also counts
    what is read again. None of that is left to be done, so `eta_seconds` goes without it.
    """

    stage: str
    done_bytes: int
    total_bytes: int
    bytes_per_second: int
    eta_seconds: int | None

    def document(self) -> dict[str, str | int | None]:
        """The JSON line of the command line's `--progress json`."""
        return {
            "type": "progress",
            "stage": self.stage,
            "doneBytes": self.done_bytes,
            "totalBytes": self.total_bytes,
            "bytesPerSecond": self.bytes_per_second,
            "etaSeconds": self.eta_seconds,
        }


class Progress:
    """Counts archive bytes that are safe at the destination, those on their way there, and those
    that are only read: a run that goes on after another may read for an hour before it sends, and
    who looks on has to tell it from one that is stuck.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shown = 0
        self._done = 0
        self._in_flight = 0
        self._read = 0
        self._samples: deque[tuple[float, int, int]] = deque()
        self.stage = "Listing"
        self.total = 0
        self.sent = 0
        self.copied = 0

    def start(self, stage: str, total: int = 0, done: int = 0) -> None:
        """Begin a stage; `done` is what an earlier run left, which doesn't count as speed."""
        with self._lock:
            self.stage, self.total, self._done = stage, total, done
            self._samples.clear()
            self._samples.append((self._clock(), done, self._read))

    def moving(self, count: int) -> None:
        """`count` more bytes of a part went out; negative when a try is given up."""
        with self._lock:
            self._in_flight += count

    def read_only(self, count: int) -> None:
        """`count` bytes were read and not sent, for a checksum or a hash."""
        with self._lock:
            self._read += count

    def sent_part(self, size: int) -> None:
        with self._lock:
            self._in_flight -= size
            self._done += size
            self.sent += size

    def processed(self, size: int) -> None:
        """`size` bytes of an archive that is compressed went through."""
        with self._lock:
            self._done += size

    def sent_compressed(self, size: int) -> None:
        """`size` compressed bytes were sent; they are not archive bytes."""
        with self._lock:
            self.sent += size

    def copied_part(self, size: int) -> None:
        with self._lock:
            self._done += size
            self.copied += size

    def snapshot(self) -> Snapshot:
        """`done_bytes` never falls within a run."""
        with self._lock:
            now = self._clock()
            self._shown = max(self._shown, min(self._done + self._in_flight, self.total))
            self._samples.append((now, self._shown, self._read))
            while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW_SECONDS:
                self._samples.popleft()
            since, shown_before, read_before = self._samples[0]
            seconds, moved = now - since, self._shown - shown_before
            rate = (moved + self._read - read_before) / seconds if seconds > 0 else 0.0
            left = self.total - self._shown
            eta = round(left * seconds / moved) if seconds > 0 and moved > 0 else None
            return Snapshot(self.stage, self._shown, self.total, round(rate), eta)


class Display(Protocol):
    def show(self, snapshot: Snapshot) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, snapshot: Snapshot) -> None:
        self._out.write(json.dumps(snapshot.document()) + "\n")
        self._out.flush()

    def close(self) -> None:
        pass


class Ticker:
    """Shows `progress` once a second, and once more at the end."""

    def __init__(self, progress: Progress, display: Display | None, interval: float = 1.0) -> None:
        self._progress = progress
        self._display = display
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._display is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._display is not None:
            self._thread.join()
            self._display.show(self._progress.snapshot())
            self._display.close()

    def _run(self) -> None:
        assert self._display is not None
        while not self._stop.wait(self._interval):
            self._display.show(self._progress.snapshot())
