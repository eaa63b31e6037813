"""What the archiver can't be faster than on this machine, measured in the same run."""

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bench.archive.measuring import measure
from tests.bench.archive.ways import Bench
from together_operator.archive.formats.gzip import CHUNK, compress_chunk

_START = """
import os
import together_operator.archive_cli
from together_operator.archive import s3_wiring
from together_operator.archive.s3 import make_client
make_client(os.environ, endpoint_url=None, region=None)
"""
_CHUNKS = 48


@dataclass(frozen=True, slots=True)
class Limits:
    """`start_seconds`: of a worker until it could send its first request. Speeds of compressing in
    bytes of input a second, on one thread and on two.
    """

    start_seconds: float
    compressing: float
    compressing_twice: float


def limits(bench: Bench, weights: Path) -> Limits:
    starts = [measure([sys.executable, "-c", _START], bench.environ).seconds for _ in range(5)]
    with weights.open("rb") as file:
        chunks = [file.read(CHUNK) for _ in range(_CHUNKS)]
    return Limits(statistics.median(starts), _speed(chunks, 1), _speed(chunks, 2))


def _speed(chunks: list[bytes], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        begun = time.perf_counter()
        for _ in pool.map(compress_chunk, chunks):
            pass
    return sum(map(len, chunks)) / (time.perf_counter() - begun)
