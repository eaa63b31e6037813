"""`together-operator archive`: what DESIGN section 11 fixes, over `archive.run`."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click

from together_operator.archive import run as runs
from together_operator.archive.destinations import Destination
from together_operator.archive.destinations.local_file import LocalFile
from together_operator.archive.errors import ArchiveError, InvalidUsage
from together_operator.archive.locations import (
    HubLocation,
    LocalPath,
    S3Location,
    format_of,
    parse_destination,
    parse_source,
)
from together_operator.archive.progress import Display, JsonLines, Progress, Ticker
from together_operator.archive.result import Result, write_termination_message
from together_operator.archive.sources import Source
from together_operator.archive.sources.directory import DirectorySource


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


@click.command("archive")
@click.argument("source")
@click.argument("destination")
@click.option(
    "--format",
    type=click.Choice(["zip", "tar", "tar.gz"]),
    help="Default: as DESTINATION ends, else zip.",
)
@click.option(
    "--endpoint-url",
    help="S3 endpoint of the destination, and of the source unless it has its own.",
)
@click.option("--source-endpoint-url", help="S3 endpoint of the source.")
@click.option("--region", help="Region of the destination.")
@click.option("--source-region", help="Region of the source.")
@click.option(
    "--concurrency", type=click.IntRange(1, 256), help="Parts at once; default from the machine."
)
@click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "json", "none"]),
    default="auto",
    show_default=True,
)
@click.option("--dry-run", is_flag=True, help="Print the plan, write nothing.")
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Keep files that would be left out as junk or second copies.",
)
def archive_command(**options: object) -> None:
    """Pack SOURCE into one archive at DESTINATION.

    SOURCE is a directory, s3://BUCKET/PREFIX/ or hf://ORG/REPO[@REVISION]; DESTINATION is
    s3://BUCKET/KEY.zip, an s3://BUCKET/PREFIX/ below which the key is derived, or a local file.
    A run that was cut short goes on where it stopped when it is started again.

    Exit codes: 0 done, 64 usage, 65 source not acceptable, 73 destination can't be written,
    75 temporary, 77 not permitted.
    """
    settings = Settings(**options)  # type: ignore[arg-type]  # click has checked them
    sys.exit(execute(settings, os.environ))


def execute(settings: Settings, environ: Mapping[str, str]) -> int:
    """Run and report; returns the exit code."""
    stop = threading.Event()
    try:
        with _stop_on_signals(stop):
            result = _run(settings, environ, stop)
    except ArchiveError as error:
        message = " ".join(str(error).split())
        click.echo(f"error: {message}", err=True)
        document = {"error": message, "exitCode": error.exit_code}
        if not settings.dry_run:
            write_termination_message(environ, document)
        return error.exit_code
    if result is not None:
        write_termination_message(environ, result.document())
    return 0


def _run(settings: Settings, environ: Mapping[str, str], stop: threading.Event) -> Result | None:
    progress = Progress()
    display = _display(settings.progress)
    location = parse_source(settings.source)
    target = parse_destination(settings.destination)
    archive_format = _choose_format(settings, target)
    source = _open_source(settings, environ, location, target)
    with Ticker(progress, display):
        prepared = runs.prepare(source, archive_format, settings.include)
        if settings.dry_run:
            _print_plan(prepared)
            return None
        destination = _open_destination(settings, environ, target, source, prepared)
        result = runs.archive(
            prepared,
            source,
            destination,
            progress,
            concurrency=settings.concurrency or default_concurrency(),
            stop=stop,
        )
    if isinstance(display, JsonLines):
        click.echo(result.line())
    return result


def default_concurrency() -> int:
    """Parts under way at once: enough to fill a network whose single connections are slow."""
    return min(32, 4 * len(os.sched_getaffinity(0)))


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


def _open_source(
    settings: Settings,
    environ: Mapping[str, str],
    location: LocalPath | S3Location | HubLocation,
    target: LocalPath | S3Location,
) -> Source:
    if isinstance(location, LocalPath):
        return DirectorySource(location.path)
    if isinstance(location, S3Location):
        from together_operator.archive.s3 import has_own_credentials, make_client
        from together_operator.archive.sources.s3 import S3Source

        if not location.is_prefix:
            raise InvalidUsage(f"{location} names an object; for a prefix, end it with '/'")
        prefix = "SOURCE_" if has_own_credentials(environ, "SOURCE_") else ""
        endpoint = (
            settings.source_endpoint_url
            or environ.get("SOURCE_AWS_ENDPOINT_URL_S3")
            or environ.get("SOURCE_AWS_ENDPOINT_URL")
            or settings.endpoint_url
        )
        region = (
            settings.source_region
            or environ.get("SOURCE_AWS_REGION")
            or environ.get("SOURCE_AWS_DEFAULT_REGION")
            or settings.region
        )
        client = make_client(environ, endpoint_url=endpoint, region=region, prefix=prefix)
        return S3Source(client, location, _own_archives(location, target))
    raise InvalidUsage("hf:// is not there yet")


def _own_archives(location: S3Location, target: LocalPath | S3Location):  # type: ignore[no-untyped-def]
    """Which keys of the source are archives that earlier runs wrote below the same prefix."""
    if not isinstance(target, S3Location) or target.bucket != location.bucket:
        return lambda _key: False
    if target.is_prefix:
        return lambda key: (
            key.startswith(target.key)
            and "/" not in key[len(target.key) :]
            and format_of(key) is not None
        )
    return lambda key: key == target.key


def _open_destination(
    settings: Settings,
    environ: Mapping[str, str],
    target: LocalPath | S3Location,
    source: Source,
    prepared: runs.Prepared,
) -> Destination:
    if isinstance(target, LocalPath):
        return LocalFile(target.path)
    from together_operator.archive.destinations.s3_upload import S3Object
    from together_operator.archive.s3 import make_client

    client = make_client(environ, endpoint_url=settings.endpoint_url, region=settings.region)
    if not target.is_prefix:
        return S3Object(client, target)
    plan = prepared.plan
    name, family = runs.derived_name(source, plan.digest, plan.format.name)
    return S3Object(
        client, S3Location(target.bucket, target.key + name), stale_prefix=target.key + family
    )


def _display(kind: str) -> Display | None:
    if kind == "json":
        return JsonLines(sys.stdout)
    return None


def _print_plan(prepared: runs.Prepared) -> None:
    plan = prepared.plan
    for entry in plan.entries:
        click.echo(f"{entry.size:>16,}  {entry.name}")
    for item in prepared.selection.excluded:
        click.echo(f"{'left out':>16}  {item.name}  ({item.reason})")
    click.echo(f"{plan.size:>16,}  bytes of {plan.format.name}, plan sha256:{plan.digest}")


@contextlib.contextmanager
def _stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """The first SIGTERM or SIGINT lets the parts under way finish; a second one ends at once."""

    def request(_number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(75)
        stop.set()

    previous = {
        number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
