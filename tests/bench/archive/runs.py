"""The measurements: everything interleaved, so that a busy machine slows all of it."""

import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.bench.archive import ways
from tests.bench.archive.measuring import Usage, measure
from tests.bench.archive.store import BUCKET
from tests.bench.archive.ways import Bench


@dataclass(frozen=True, slots=True)
class Way:
    """`against`: the keys of ways by hand with the ratio to reach."""

    key: str
    title: str
    run: Callable[[Bench], Usage]
    against: tuple[tuple[str, float], ...] = ()
    rss_mib: int | None = None
    share: float | None = None
    """Of the archive's bytes through the client at most."""


BY_HAND = (
    Way("hand-directory", "directory → tar.gz", ways.directory_by_hand),
    Way("hand-tar", "directory → tar", ways.directory_by_hand_uncompressed),
    Way("hand-prefix", "S3 prefix → tar.gz", ways.prefix_by_hand),
)
ARCHIVER = (
    Way(
        "copied-tar",
        "S3 prefix → tar, server-side",
        ways.copied("tar"),
        (("hand-prefix", 150),),
        share=0.022,
    ),
    Way(
        "copied-zip",
        "S3 prefix → zip, server-side",
        ways.copied("zip"),
        (("hand-prefix", 100),),
        share=0.022,
    ),
    Way(
        "directory-zip",
        "directory → zip",
        ways.from_directory("zip"),
        (("hand-directory", 45), ("hand-tar", 6.5)),
        rss_mib=64,
    ),
    Way(
        "streamed-zip",
        "S3 prefix → zip, streamed",
        ways.streamed(),
        (("hand-prefix", 33),),
        rss_mib=96,
    ),
    Way(
        "directory-tar.gz",
        "directory → tar.gz",
        ways.from_directory("tar.gz"),
        (("hand-directory", 35),),
        rss_mib=192,
    ),
)


@dataclass
class Runs:
    """`rounds[n][key]`: what the way used in round n, and its median where it ran several times."""

    rounds: list[dict[str, list[Usage]]] = field(default_factory=list)
    client_bytes: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def seconds(self, key: str) -> float:
        return statistics.median(u.seconds for found in self.rounds for u in found[key])

    def rss(self, key: str) -> int:
        return max(u.rss for found in self.rounds for u in found[key])

    def written(self, key: str) -> int:
        return max(u.written for found in self.rounds for u in found[key])

    def cpu(self, key: str) -> float:
        return statistics.median(u.cpu for found in self.rounds for u in found[key])

    def ratios(self, key: str, against: str) -> list[float]:
        """How many times faster `key` was than `against`, round by round."""

        def seconds(found: dict[str, list[Usage]], one: str) -> float:
            return statistics.median(usage.seconds for usage in found[one])

        return [seconds(found, against) / seconds(found, key) for found in self.rounds]


def interpreter_rss(environ: Mapping[str, str]) -> int:
    """Peak of an interpreter that does nothing."""
    return measure([sys.executable, "-c", "pass"], environ).rss


def interleaved(
    bench: Bench,
    rounds: int,
    repeats: int,
    by_hand: Sequence[Way],
    say: Callable[[str], None],
) -> Runs:
    """Each way by hand once a round, each of the archiver's `repeats` times, in changing order."""
    runs = Runs()
    for way in ARCHIVER:
        _run(bench, way, runs)  # the store computes what it keeps, files come into memory
    source = random.Random(0)
    for number in range(rounds):
        order = [*by_hand, *ARCHIVER * repeats]
        source.shuffle(order)
        found: dict[str, list[Usage]] = defaultdict(list)
        for way in order:
            found[way.key].append(_run(bench, way, runs))
            say(f"round {number + 1}: {way.key} {found[way.key][-1].seconds:.2f} s")
        runs.rounds.append(dict(found))
    return runs


def archive_key(way: Way) -> str:
    """Of the object that a way leaves in the store."""
    if way in BY_HAND:
        return "manual.tar" if way.key == "hand-tar" else "manual.tar.gz"
    return f"out.{way.key.rpartition('-')[2]}"


def _run(bench: Bench, way: Way, runs: Runs) -> Usage:
    key = archive_key(way)
    bench.store.ask(op="delete", key=key)
    bench.store.reset()
    usage = way.run(bench)
    runs.client_bytes[way.key] = bench.store.client_bytes()
    runs.sizes[way.key] = bench.store.size(key)
    return usage


def verify(bench: Bench) -> None:
    """Before anything is timed: all of the archiver's ways make the same archive in a format, and
    GNU tar or unzip extract from it what is in the directory.
    """
    digests: dict[str, set[str]] = defaultdict(set)
    for way in ARCHIVER:
        key = archive_key(way)
        bench.store.ask(op="delete", key=key)
        way.run(bench)
        digests[key].add(bench.store.digest(key))
    assert all(len(found) == 1 for found in digests.values()), digests
    for key in digests:
        scratch = bench.fresh()
        archive, out = scratch / key, scratch / "extracted"
        out.mkdir()
        copy = ["s3", "cp", "--only-show-errors", f"s3://{BUCKET}/{key}", str(archive)]
        bench.by_hand(str(bench.aws), *copy)
        zipped = key.endswith(".zip")
        extract = ["unzip", "-q", str(archive)] if zipped else ["tar", "-xf", str(archive)]
        bench.by_hand(*extract, cwd=out)
        bench.by_hand("diff", "-r", str(out), str(bench.model))
    bench.fresh()
