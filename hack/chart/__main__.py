"""`python -m hack.chart write|check`: see `make chart` and `make check-chart`."""

from __future__ import annotations

import sys

import click

from hack.chart import check, generate
from tests.support.go_module import BuildError


@click.group()
def cli() -> None:
    """The chart's generated parts and its checks."""


@cli.command()
def write() -> None:
    """Write README, schema, copies of the CRDs and deploy/clusterrole.yaml."""
    generate.write()


@cli.command("check")
def check_command() -> None:
    """Fail when a generated file is out of date, or a tool finds something."""
    if different := generate.differing():
        raise click.ClickException(f"out of date, run `make chart`: {', '.join(different)}")
    found = list(check.problems())
    for problem in found:
        click.echo(problem, err=True)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    try:
        cli()
    except BuildError as error:
        raise SystemExit(f"error: {error}") from None
