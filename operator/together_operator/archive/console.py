"""What a person at a terminal sees: a bar while it runs, a summary behind it. All of it on stderr,
so that stdout stays for machines; only a dry run's plan is output proper.
"""

import sys

import click

from together_operator.archive.progress import Display, JsonLines
from together_operator.archive.result import Result
from together_operator.archive.run import Prepared

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def display(kind: str) -> Display | None:
    """`auto`, `bar`, `json` or `none` of the command line."""
    if kind == "json":
        return JsonLines(sys.stdout)
    if kind == "bar" or (kind == "auto" and sys.stderr.isatty()):
        from together_operator.archive.bar import Bar  # rich takes a tenth of a second

        return Bar()
    return None


def print_plan(prepared: Prepared) -> None:
    plan = prepared.plan
    for entry in plan.entries:
        click.echo(f"{entry.size:>18,}  {entry.name}")
    for item in prepared.selection.excluded:
        click.echo(f"{'left out':>18}  {item.name}  ({item.reason})")
    kind = "of tar before compression" if plan.compression else f"of {plan.name}"
    click.echo(f"{plan.size:>18,}  bytes {kind}, plan sha256:{plan.digest}")


def print_summary(result: Result) -> None:
    rate = result.size_bytes / result.seconds if result.seconds else 0
    how = f"sent {readable(result.sent_bytes)}"
    if result.copied_bytes:
        how += f", {readable(result.copied_bytes)} copied by the store"
    if result.resumed:
        how = "it was there already" if not result.sent_bytes else how + ", resumed"
    click.echo(
        f"{result.uri}: {result.files} files, {readable(result.size_bytes)} in "
        f"{result.seconds:.1f} s ({readable(rate)}/s; {how})",
        err=True,
    )
    for item in result.excluded:
        click.echo(f"  left out {item.name} ({item.reason})", err=True)


def readable(size: float) -> str:
    """A size in bytes with a binary unit."""
    for unit in _UNITS[:-1]:
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} {_UNITS[-1]}"
