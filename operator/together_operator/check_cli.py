"""`together-operator check`: would Together accept this?"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from together_operator.archive.check import Finding, inspect_files, inspect_source
from together_operator.archive.check.archive_file import RangeFile, archive_findings
from together_operator.archive.check.remote import open_remote
from together_operator.archive.errors import ArchiveError
from together_operator.archive.locations import format_of
from together_operator.archive.selection import select
from together_operator.archive.sources.opening import StoreOptions, open_source


@click.command("check")
@click.argument("source")
@click.option("--endpoint-url", help="S3 endpoint of the source.")
@click.option("--region", help="Region of the source.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check_command(source: str, endpoint_url: str | None, region: str | None, output: str) -> None:
    """Say whether Together would accept SOURCE, reading headers only.

    SOURCE is a directory, s3://BUCKET/PREFIX/, hf://ORG/REPO[@REVISION], or an archive: a local
    file, s3://BUCKET/KEY.zip, or an https:// URL. A line per finding with its remedy.

    \b
    Exit codes: 0 acceptable, 64 usage, 65 not acceptable, 75 temporary, 77 not permitted.
    """
    try:
        findings = find(source, StoreOptions(endpoint_url=endpoint_url, region=region), os.environ)
    except ArchiveError as error:
        if error.exit_code != 65:
            click.echo(f"error: {error}", err=True)
            sys.exit(error.exit_code)
        problem, _, remedy = str(error).partition("; ")
        findings = [Finding("source/unreadable", "error", problem, remedy)]
    _print(findings, output)
    sys.exit(65 if any(finding.severity == "error" for finding in findings) else 0)


def find(source: str, stores: StoreOptions, environ: Mapping[str, str]) -> list[Finding]:
    """All findings. Raises an `ArchiveError` when the source can't be read at all."""
    if source.startswith(("http://", "https://")) or (
        source.startswith("s3://") and not source.endswith("/") and format_of(source)
    ):
        name, file = open_remote(source, stores, environ)
        return archive_findings(name, file, inspect_files)
    path = Path(source)
    if "://" not in source and path.is_file():
        with path.open("rb") as opened:
            descriptor = opened.fileno()
            file = RangeFile(
                lambda offset, length: os.pread(descriptor, length, offset), path.stat().st_size
            )
            return archive_findings(path.name, file, inspect_files)
    opened_source = open_source(source, None, stores, environ)
    return inspect_source(opened_source, select(opened_source.entries()).kept)


def _print(findings: list[Finding], output: str) -> None:
    if output == "json":
        acceptable = not any(finding.severity == "error" for finding in findings)
        document = {"acceptable": acceptable, "findings": [f.document() for f in findings]}
        click.echo(json.dumps(document, indent=2))
        return
    for finding in findings:
        click.echo(f"{finding.severity}: {finding.problem}; {finding.remedy} [{finding.rule}]")
    if not findings:
        click.echo("acceptable: nothing found")
