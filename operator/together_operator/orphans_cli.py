"""The command `together-operator orphans`: what is left at Together, and its removal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click
import yaml
from kubernetes.aio import client
from rich.console import Console
from rich.table import Table

from together_operator.adapters.kube import KubeObjects, KubeSecrets, cluster_id
from together_operator.adapters.together import connector
from together_operator.adapters.together_v2 import connections
from together_operator.config import Config, ConfigError, load
from together_operator.controllers import CUSTOM_MODELS, MODEL_DEPLOYMENTS
from together_operator.domain.errors import Forbidden, OperatorError, Unauthorized
from together_operator.domain.names import cluster_tag
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.orphans import Comparison, Found, Report, remove
from together_operator.shell.connection import load_kube_config

TEMPORARY, NOT_PERMITTED = 75, 77
"""sysexits EX_TEMPFAIL and EX_NOPERM."""


@click.command("orphans")
@click.argument("names", nargs=-1)
@click.option("--sweep", is_flag=True, help="Remove what is listed, after asking.")
@click.option("--yes", is_flag=True, help="With --sweep: do not ask.")
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=900.0,
    show_default=True,
    help="With --sweep: seconds that a deployment may take to stop.",
)
def orphans_command(
    names: tuple[str, ...], sweep: bool, yes: bool, output: str, timeout: float
) -> None:
    """List what is at Together in this cluster's name and no object asks for.

    NAMES (or ids) restrict it to some of that. It is configured as `together-operator run` is, by
    KUBECONFIG, TOGETHER_API_KEY and so on, and needs to list the objects of all namespaces.

    What `deletionPolicy: Retain` or `together.ai/release` left on purpose is listed as well.

    \b
    Exit codes: 0 done, 64 usage, 75 temporary, 77 not permitted.
    """
    if yes and not sweep:
        raise click.UsageError("--yes goes with --sweep")
    try:
        config = load()
        problems = asyncio.run(_run(config, names, sweep=sweep, yes=yes, out=output, wait=timeout))
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    except OperatorError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(NOT_PERMITTED if isinstance(error, Forbidden | Unauthorized) else TEMPORARY)
    sys.exit(TEMPORARY if problems else 0)


async def _run(
    config: Config, names: Sequence[str], *, sweep: bool, yes: bool, out: str, wait: float
) -> bool:
    """List, and sweep if asked; true when something was not possible."""
    async with _comparison(config) as (comparison, tag):
        report = _chosen(await comparison.look(), names)
        _print(report, tag, out)
        for problem in report.skipped:
            click.echo(f"not looked at: {problem}", err=True)
        unknown = set(names) - _words(report.found)
        for name in sorted(unknown):
            click.echo(f"{name}: is not listed as an orphan", err=True)
        problems = bool(report.skipped or unknown)
        if not sweep or not report.found:
            return problems
        if not yes and not click.confirm(f"Remove these {len(report.found)}?", err=True):
            return problems
        return await _sweep(comparison, report, wait) or problems


async def _sweep(comparison: Comparison, confirmed: Report, wait: float) -> bool:
    """Remove what was confirmed and is an orphan still; true when something is left."""
    now = {one.orphan.id: one for one in (await comparison.look()).found}
    failed = False
    for one in confirmed.found:
        orphan = one.orphan
        what = f"{orphan.kind} {orphan.name}"
        if orphan.id not in now:
            click.echo(f"{what}: an object asks for it now, or it has gone", err=True)
            continue
        try:
            await remove(now[orphan.id], wait)
        except TimeoutError:
            failed = True
            click.echo(f"{what}: told to stop, but did not within {wait:.0f} s", err=True)
        except OperatorError as error:
            failed = True
            click.echo(f"{what}: {error}", err=True)
        else:
            click.echo(f"{what}: removed", err=True)
    return failed


def _words(found: Iterable[Found]) -> set[str]:
    every = (one.orphan for one in found)
    return {w for o in every for w in (o.id, o.name, o.name.rpartition("/")[2])}


def _chosen(report: Report, names: Sequence[str]) -> Report:
    if not names:
        return report
    wanted = set(names)
    found = tuple(one for one in report.found if wanted & _words([one]))
    return Report(found, report.skipped)


def _print(report: Report, tag: str, output: str) -> None:
    rows = [_document(one) for one in report.found]
    if output == "table":
        _print_table(rows, tag)
        return
    document = {"cluster": tag, "orphans": rows, "notLookedAt": list(report.skipped)}
    text = json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document)
    click.echo(text.rstrip("\n"))


def _document(one: Found) -> dict[str, Any]:
    orphan = one.orphan
    row: dict[str, Any] = {"kind": orphan.kind.value, "name": orphan.name, "id": orphan.id}
    if orphan.state:
        row["state"] = orphan.state
    if orphan.replicas is not None:
        row["replicas"] = orphan.replicas
    return row


def _print_table(rows: Sequence[dict[str, Any]], tag: str) -> None:
    if not rows:
        click.echo(f"nothing is left at Together in the name of this cluster ({tag})")
        return
    columns = ("kind", "name", "id", "state", "replicas")
    table = Table(box=None, pad_edge=False, header_style="")
    for column in columns:
        table.add_column(column.upper(), no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    width = 200 if not sys.stdout.isatty() else None
    # Names at Together are no markup, whatever brackets and colons they have.
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)


@asynccontextmanager
async def _comparison(config: Config) -> AsyncIterator[tuple[Comparison, str]]:
    await load_kube_config()
    async with client.ApiClient() as api, connections() as http:
        cluster = config.cluster_id or await cluster_id(api)
        accounts = Accounts(config.own_key, connector(config, http), KubeSecrets(api))
        models, deployments = (
            KubeObjects(api, plural) for plural in (CUSTOM_MODELS, MODEL_DEPLOYMENTS)
        )
        yield Comparison(accounts, models, deployments, cluster), cluster_tag(cluster)
