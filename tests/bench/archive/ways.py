"""What is compared: the documented way by hand, and the archiver's."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.archive.measuring import Usage, measure
from tests.bench.archive.store import BUCKET, Store

_GZIPPED = "manual.tar.gz"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where everything is. `model` is a directory, `source` a prefix with the same files."""

    store: Store
    aws: Path
    model: Path
    scratch: Path
    environ: Mapping[str, str]
    source: str = f"s3://{BUCKET}/source/"

    def fresh(self) -> Path:
        """An empty folder for what a way leaves on the disk."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        return self.scratch

    def by_hand(self, *command: str, cwd: Path | None = None) -> Usage:
        return measure(command, self.environ, cwd=cwd)

    def archiver(self, source: str, destination: str, *options: str) -> Usage:
        """As a Job runs it, and under a file size limit of 0."""
        command = [sys.executable, "-m", "together_operator", "archive", source, destination]
        return measure(
            [*command, "--progress", "json", *options], self.environ, may_write_files=False
        )


def upload_by_hand(bench: Bench, archive: Path) -> Usage:
    """`aws s3 cp` and `aws s3 presign`."""
    uri = f"s3://{BUCKET}/{archive.name}"
    sent = bench.by_hand(str(bench.aws), "s3", "cp", "--only-show-errors", str(archive), uri)
    return sent.then(bench.by_hand(str(bench.aws), "s3", "presign", uri))


def directory_by_hand(bench: Bench) -> Usage:
    """The documented way: `tar -czf`, `aws s3 cp`, `aws s3 presign`."""
    archive = bench.fresh() / _GZIPPED
    packed = bench.by_hand("tar", "-czf", str(archive), ".", cwd=bench.model)
    return packed.then(upload_by_hand(bench, archive))


def directory_by_hand_uncompressed(bench: Bench) -> Usage:
    """The same without compressing."""
    archive = bench.fresh() / "manual.tar"
    packed = bench.by_hand("tar", "-cf", str(archive), ".", cwd=bench.model)
    return packed.then(upload_by_hand(bench, archive))


def prefix_by_hand(bench: Bench) -> Usage:
    """Download, then as from a directory."""
    folder = bench.fresh() / "model"
    command = [str(bench.aws), "s3", "cp", "--recursive", "--only-show-errors", bench.source]
    fetched = bench.by_hand(*command, str(folder))
    archive = bench.scratch / _GZIPPED
    packed = bench.by_hand("tar", "-czf", str(archive), ".", cwd=folder)
    return fetched.then(packed).then(upload_by_hand(bench, archive))


def copied(archive_format: str, source: str | None = None) -> Callable[[Bench], Usage]:
    def run(bench: Bench) -> Usage:
        return bench.archiver(source or bench.source, f"s3://{BUCKET}/out.{archive_format}")

    return run


def streamed(source: str | None = None) -> Callable[[Bench], Usage]:
    """From a prefix of a store that can't copy."""

    def run(bench: Bench) -> Usage:
        bench.store.ask(op="quirks", copy="not_implemented")
        try:
            return bench.archiver(source or bench.source, f"s3://{BUCKET}/out.zip")
        finally:
            bench.store.ask(op="quirks", copy="works")

    return run


def from_directory(archive_format: str, source: Path | None = None) -> Callable[[Bench], Usage]:
    def run(bench: Bench) -> Usage:
        return bench.archiver(str(source or bench.model), f"s3://{BUCKET}/out.{archive_format}")

    return run
