"""`python -m tests.bench.archive`: the archiver against `tar`, `gzip` and the aws CLI.

Prints markdown tables; `--write` keeps them, and a plot, in `docs/benchmarks.md`.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.bench import page
from tests.bench.archive import extras, report
from tests.bench.archive.aws_cli import aws
from tests.bench.archive.limits import limits
from tests.bench.archive.runs import BY_HAND, interleaved, interpreter_rss, verify
from tests.bench.archive.store import running
from tests.bench.archive.ways import Bench
from tests.bench.archive.weights import GIGABYTE, Shape, write_directory

_SHARDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="of weights")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3, help="of the archiver's ways in a round")
    parser.add_argument("--growth", type=int, default=6, help="times as large; 0 leaves it out")
    parser.add_argument(
        "--write", action="store_true", help="keep the result in docs/benchmarks.md"
    )
    options = parser.parse_args()
    program = aws()
    shape = Shape(_SHARDS, int(options.gigabytes * GIGABYTE / _SHARDS))
    gib = options.gigabytes * GIGABYTE / 2**30
    with (
        tempfile.TemporaryDirectory(prefix="together-bench-") as folder,
        running(arena_gib=8 * gib + 1, touch_gib=4 * gib) as store,
    ):
        root = Path(folder)
        say(f"==> Making {options.gigabytes:g} GB of weights, and a prefix with the same")
        write_directory(root / "model", shape)
        environ = {
            **store.environ,
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        bench = Bench(store, program, root / "model", root / "scratch", environ)
        copy = ["s3", "cp", "--recursive", "--only-show-errors", str(bench.model), bench.source]
        bench.by_hand(str(program), *copy)
        base = interpreter_rss(environ)
        verify(bench)
        say(f"==> {options.rounds} rounds of about three minutes each")
        runs = interleaved(bench, options.rounds, options.repeats, BY_HAND, say)
        found = limits(bench, bench.model / shape.name(1))
        say("==> Large shards, a kill, growth")
        large = extras.large_shards(bench, f"source/{shape.name(1)}")
        resumed = extras.killed_and_resumed(bench)
        growth = extras.growth(bench, shape, options.growth, base) if options.growth else []
    text = "\n\n".join(
        [report.table(runs, BY_HAND, base), report.extras(large, resumed, growth, found)]
    )
    print(f"{page.machine()}\n\n{text}", flush=True)
    if options.write:
        report.write(text, report.plot(runs, BY_HAND, base))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
