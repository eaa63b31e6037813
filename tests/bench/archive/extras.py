"""What one number per way does not show: large shards, a kill, growth."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.archive import ways
from tests.bench.archive.measuring import Usage
from tests.bench.archive.store import BUCKET
from tests.bench.archive.ways import Bench
from tests.bench.archive.weights import GIGABYTE, Shape, compose, link_directory
from together_operator.archive.layout import STREAM_PART
from together_operator.archive.run import Workers

_LARGE = Shape(4, 5 * GIGABYTE)


@dataclass(frozen=True, slots=True)
class LargeShards:
    title: str
    seconds: float
    client_bytes: int
    size: int


@dataclass(frozen=True, slots=True)
class Resumed:
    """Bytes that the store received: by the run that was killed, and by the one after it."""

    first: int
    second: int
    size: int
    allowed: int
    identical: bool

    @property
    def repeated(self) -> int:
        return self.first + self.second - self.size


@dataclass(frozen=True, slots=True)
class Growth:
    title: str
    small: Usage
    large: Usage
    base: int
    sizes: tuple[int, int]
    """Bytes of weights of both."""


def large_shards(bench: Bench, weights: str) -> Sequence[LargeShards]:
    """Server-side copies of 20 GB; `weights` is the key of an object to compose them of."""
    compose(bench.store, "large/", _LARGE, weights)
    found = []
    for archive_format in ("tar", "zip"):
        run = ways.copied(archive_format, f"s3://{BUCKET}/large/")
        run(bench)  # the store computes what it keeps
        bench.store.ask(op="delete", key=f"out.{archive_format}")
        bench.store.reset()
        usage = run(bench)
        moved, size = bench.store.client_bytes(), bench.store.size(f"out.{archive_format}")
        found.append(LargeShards(f"S3 prefix → {archive_format}", usage.seconds, moved, size))
    return found


def killed_and_resumed(bench: Bench, share: float = 0.5) -> Resumed:
    """SIGKILL once `share` of a directory's zip has been received."""
    bench.store.ask(op="delete", key="out.zip")
    ways.from_directory("zip")(bench)
    size, whole = bench.store.size("out.zip"), bench.store.digest("out.zip")
    bench.store.ask(op="delete", key="out.zip")
    bench.store.reset()
    command = [sys.executable, "-m", "together_operator", "archive", str(bench.model)]
    process = subprocess.Popen(
        [*command, f"s3://{BUCKET}/out.zip", "--progress", "none"], env=dict(bench.environ)
    )
    while bench.store.received() < share * size:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.2)  # until the server has noticed
    first = bench.store.received()
    ways.from_directory("zip")(bench)
    return Resumed(
        first,
        bench.store.received() - first,
        size,
        Workers.for_machine(None, threading.Event()).streaming * STREAM_PART,
        bench.store.digest("out.zip") == whole,
    )


def growth(bench: Bench, shape: Shape, times: int, base: int) -> Sequence[Growth]:
    """Each way on the model, and on one that is `times` as large. The store forgets contents."""
    larger = Shape(shape.shards * times, shape.shard_bytes)
    folder = bench.model.parent / "larger"
    link_directory(folder, larger, bench.model, shape)
    compose(bench.store, "larger/", larger, f"source/{shape.name(1)}")
    prefix = f"s3://{BUCKET}/larger/"
    pairs: list[tuple[str, str, Callable[[Bench], Usage], Callable[[Bench], Usage]]] = [
        ("S3 prefix → zip, server-side", "zip", ways.copied("zip"), ways.copied("zip", prefix)),
        (
            "directory → zip",
            "zip",
            ways.from_directory("zip"),
            ways.from_directory("zip", folder),
        ),
        ("S3 prefix → zip, streamed", "zip", ways.streamed(), ways.streamed(prefix)),
        (
            "directory → tar.gz",
            "tar.gz",
            ways.from_directory("tar.gz"),
            ways.from_directory("tar.gz", folder),
        ),
    ]
    sizes = shape.shards * shape.shard_bytes, larger.shards * larger.shard_bytes
    bench.store.ask(op="quirks", forget_parts=True)
    try:
        return [
            Growth(title, _alone(bench, form, small), _alone(bench, form, large), base, sizes)
            for title, form, small, large in pairs
        ]
    finally:
        bench.store.ask(op="quirks", forget_parts=False)


def _alone(bench: Bench, archive_format: str, run: Callable[[Bench], Usage]) -> Usage:
    bench.store.ask(op="delete", key=f"out.{archive_format}")
    bench.store.reset()
    return run(bench)
