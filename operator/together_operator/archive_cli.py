"""`together-operator archive`: what DESIGN section 11 fixes, over `archive.run`."""

import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from together_operator.archive import run as runs
from together_operator.archive.console import display, print_plan, print_summary
from together_operator.archive.destinations import Destination
from together_operator.archive.destinations.local_file import LocalFile
from together_operator.archive.errors import (
    ArchiveError,
    InvalidUsage,
    StoppedError,
    TemporaryFailure,
)
from together_operator.archive.locations import LocalPath, S3Location, format_of, parse_destination
from together_operator.archive.progress import Display, JsonLines, Progress, Ticker
from together_operator.archive.result import Result, write_termination_message
from together_operator.archive.sources import Source
from together_operator.archive.sources.opening import StoreOptions, open_source

# Kubernetes kills 30 s after SIGTERM unless told otherwise.
_GRACE_SECONDS = 20.0
_M_ARENA_MAX = -8  # malloc.h


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the command line as they were given."""

    source: str
    destination: str
    format: str | None
    endpoint_url: str | None
    source_endpoint_url: str | None
    region: str | None
    source_region: str | None
    concurrency: int | None
    progress: str
    dry_run: bool
    include: tuple[str, ...]
    check: bool

    @property
    def stores(self) -> StoreOptions:
        return StoreOptions(
            self.endpoint_url, self.source_endpoint_url, self.region, self.source_region
        )


@click.command("archive")
@click.argument("source")
@click.argument("destination")
@click.option(
    "--format",
    type=click.Choice(list(runs.FORMATS)),
    help="Default: what DESTINATION ends with, else zip.",
)
@click.option("--endpoint-url", help="S3 endpoint of both sides, or of the destination only.")
@click.option("--source-endpoint-url", help="S3 endpoint of the source.")
@click.option("--region", help="Region of both sides, or of the destination only.")
@click.option("--source-region", help="Region of the source.")
@click.option(
    "--concurrency", type=click.IntRange(1, 256), help="Parts at once. Default: by processors."
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "json", "none"]),
    default="auto",
    show_default=True,
    help="auto: a bar on a terminal, else nothing.",
)
@click.option("--dry-run", is_flag=True, help="Print the plan, write nothing.")
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Keep files that would be left out as junk or second copies. Can be repeated.",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Refuse a source that Together would refuse (see `check`).",
)
def archive_command(**options: object) -> None:
    """Pack SOURCE into one archive at DESTINATION.

    SOURCE is a directory, s3://BUCKET/PREFIX/ or hf://ORG/REPO[@REVISION]; DESTINATION is
    s3://BUCKET/KEY.zip (or .tar, .tar.gz), an s3://BUCKET/PREFIX/ below which the key is derived,
    or a local file. A run that was cut short goes on where it stopped when it is started again.

    Credentials, endpoints and regions come from the usual AWS variables; with the prefix SOURCE_
    or DESTINATION_ they are those of that side only.

    \b
    Exit codes: 0 done, 64 usage, 65 the source is not acceptable, 70 unforeseen, 73 the
    destination can't be written, 75 temporary, 77 not permitted.
    """
    _share_one_arena()
    gc.disable()
    settings = Settings(**options)  # type: ignore[arg-type]  # click has checked them
    sys.exit(execute(settings, os.environ))


def _share_one_arena() -> None:
    """Keep glibc from giving every thread a heap of its own: 67 MiB instead of 82 at the peak."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def execute(settings: Settings, environ: Mapping[str, str]) -> int:
    """Run and report, on the streams and in the termination message; returns the exit code."""
    stop = threading.Event()
    try:
        with _stop_on_signals(stop, environ):
            result = _run(settings, environ, stop)
    except ArchiveError as error:
        return _report(error, environ)
    except BrokenPipeError:
        raise  # nobody reads what is printed: click ends quietly
    except Exception as error:  # noqa: BLE001  # its text may hold a URL, its traceback a body
        return _report(_unforeseen(error), environ)
    if result is not None:
        write_termination_message(environ, result.document())
    return 0


def _unforeseen(error: Exception) -> ArchiveError:
    """What it is and where it came up in this package, and nothing of what it says."""
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(Path(__file__).parent)
    ]
    return ArchiveError(
        f"unforeseen {type(error).__name__} at {places[-1]}; what was sent is kept, run again, and "
        "report it if it stays"
    )


def _run(settings: Settings, environ: Mapping[str, str], stop: threading.Event) -> Result | None:
    _check_certificates(environ)
    progress = Progress()
    shown = display(settings.progress)
    target = parse_destination(settings.destination)
    archive_format = _choose_format(settings, target)
    source = open_source(settings.source, target, settings.stores, environ)
    with Ticker(progress, shown):
        prepared = runs.prepare(
            source, archive_format, include=settings.include, check=settings.check
        )
        if settings.dry_run:
            print_plan(prepared)
            return None
        destination = _open_destination(settings, environ, target, source, prepared)
        # Going through all that was imported, again and again, took a fifth of a short run.
        gc.freeze()
        gc.enable()
        result = runs.archive(
            prepared,
            source,
            destination,
            progress,
            runs.Workers.for_machine(settings.concurrency, stop),
        )
    _print_result(result, shown)
    return result


def _check_certificates(environ: Mapping[str, str]) -> None:
    """Say it in words: the libraries only say that a file is not there, and not which."""
    for name in ("SSL_CERT_FILE", "AWS_CA_BUNDLE"):
        path = environ.get(name)
        if path and not Path(path).is_file():
            raise TemporaryFailure(
                f"there are no certificates at {path} ({name}); in a cluster, put the ConfigMap or "
                "Secret that the chart's customCA names into this namespace"
            )


def _print_result(result: Result, shown: Display | None) -> None:
    if isinstance(shown, JsonLines):
        click.echo(result.line())
    else:
        print_summary(result)


def _report(error: ArchiveError, environ: Mapping[str, str]) -> int:
    message = " ".join(str(error).split())
    click.echo(f"error: {message}", err=True)
    write_termination_message(environ, {"error": message, "exitCode": error.exit_code})
    return error.exit_code


def _choose_format(settings: Settings, target: LocalPath | S3Location) -> str:
    named = format_of(target.key if isinstance(target, S3Location) else target.path.name)
    if settings.format and named and settings.format != named:
        raise InvalidUsage(
            f"--format {settings.format} contradicts {settings.destination!r}; change one of them"
        )
    chosen = settings.format or named
    if isinstance(target, S3Location) and target.is_prefix:
        return chosen or "zip"
    if chosen is None:
        raise InvalidUsage(
            f"{settings.destination!r} ends with none of .zip, .tar, .tar.gz; for a prefix, end it "
            "with '/', else name a file or give --format"
        )
    return chosen


def _open_destination(
    settings: Settings,
    environ: Mapping[str, str],
    target: LocalPath | S3Location,
    source: Source,
    prepared: runs.Prepared,
) -> Destination:
    if isinstance(target, LocalPath):
        return LocalFile(target.path)
    from together_operator.archive import s3_wiring

    return s3_wiring.open_destination(target, source, prepared, settings.stores, environ)


@contextlib.contextmanager
def _stop_on_signals(stop: threading.Event, environ: Mapping[str, str]) -> Iterator[None]:
    """The first SIGTERM or SIGINT lets the parts under way finish, for at most 20 s; a second one
    ends at once. What the store has by then is what the next run goes on from.
    """

    def end_now() -> None:
        os._exit(_report(StoppedError("stopped on request; run again to go on"), environ))

    timer = threading.Timer(_GRACE_SECONDS, end_now)
    timer.daemon = True

    def request(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            end_now()
        stop.set()
        timer.start()

    previous = {
        number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)
