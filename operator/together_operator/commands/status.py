"""`together-operator status`: every object of ours with its progress, live if wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from together_operator.commands.cluster import (
    PLURALS,
    Cluster,
    Where,
    connected,
    everywhere_option,
    where_options,
)
from together_operator.commands.output import coloured, document, literal, output_option, table
from together_operator.domain.errors import OperatorError, RateLimited, Unavailable
from together_operator.domain.text import human_duration

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Body = Mapping[str, Any]
SECONDS = 2.0
_COLUMNS = ("NAMESPACE", "OBJECT", "STATUS", "PROGRESS", "WHAT", "$/HOUR", "AGE")


@click.command("status")
@click.option("-w", "--watch", is_flag=True, help="Keep the table up to date until Ctrl-C.")
@everywhere_option
@where_options
@output_option
def status_command(
    watch: bool,
    everywhere: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    output: str,
) -> None:
    """Show all models and deployments of a namespace, or of all of them."""
    if watch and output != "table":
        raise click.UsageError("--watch prints a table: leave --output out")
    where = Where(kubeconfig, context, namespace)
    try:
        asyncio.run(_watch(where, everywhere) if watch else _once(where, everywhere, output))
    except OperatorError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


async def _once(where: Where, everywhere: bool, output: str) -> None:
    async with connected(where) as cluster:
        bodies = await _all(cluster, everywhere)
    lines = [line(body, datetime.now(UTC)) for body in bodies]
    if output != "table":
        document(lines, output)
        return
    if not lines:
        place = "" if everywhere else f" in namespace {cluster.namespace} (-A: in all)"
        click.echo(f"No models and no deployments{place}.", err=True)
        return
    table(_COLUMNS, [_row(entry) for entry in lines], right=(5,))


async def _watch(where: Where, everywhere: bool) -> None:
    from rich.live import Live

    async with connected(where) as cluster:
        with Live(auto_refresh=False) as live:
            async for shown in tables(lambda: _all(cluster, everywhere)):
                live.update(shown, refresh=True)
                await asyncio.sleep(SECONDS)


async def tables(look: Callable[[], Awaitable[Sequence[Body]]]) -> AsyncIterator[Table]:
    """The live table as it is now, for ever. While Kubernetes is away it stays, and says so.

    Raises:
        OperatorError: the first look fails, or a later one in a way that does not pass by itself.
    """
    bodies: Sequence[Body] | None = None
    while True:
        away = ""
        try:
            bodies = await look()
        except (Unavailable, RateLimited) as error:
            if bodies is None:
                raise
            away = f"{error}; asking again"
        now = datetime.now(UTC)
        yield _table([line(body, now) for body in bodies], away)


async def _all(cluster: Cluster, everywhere: bool) -> list[Body]:
    namespace = None if everywhere else cluster.namespace
    found = [body for kind in PLURALS for body in await cluster.objects(kind, namespace)]
    return sorted(found, key=lambda b: (b["metadata"]["namespace"], b["metadata"]["name"]))


def line(body: Body, now: datetime) -> dict[str, Any]:
    """What is shown of an object, for programs."""
    metadata, status = body["metadata"], body.get("status") or {}
    ready: Body = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    progress = status.get("progress") or {}
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    name = (status.get("endpoint") or status.get("model") or {}).get("name", "")
    return {
        "namespace": metadata["namespace"],
        "kind": body["kind"],
        "name": metadata["name"],
        "ready": ready.get("status") == "True",
        "status": ready.get("reason", "Unseen"),
        "message": ready.get("message", "No operator has looked at it yet"),
        "percent": progress.get("percent"),
        "progress": status.get("replicasText") or progress.get("text") or "",
        "together": name,
        "dollarsPerHour": (status.get("cost") or {}).get("perHour"),
        "ageSeconds": int((now - created).total_seconds()),
    }


def _row(entry: Mapping[str, Any]) -> list[str | Text]:
    return [
        entry["namespace"],
        f"{entry['kind'].lower()}/{entry['name']}",
        coloured(entry["status"], "green" if entry["ready"] else "yellow"),
        entry["progress"],
        entry["together"] if entry["ready"] else entry["message"],
        entry["dollarsPerHour"] or "",
        human_duration(entry["ageSeconds"]),
    ]


def _table(entries: Sequence[Mapping[str, Any]], away: str) -> Table:
    """The live table, where a percentage is a bar, and below it why it is an old one."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    shown.caption = literal(away) if away else None
    for column in _COLUMNS:
        shown.add_column(column, justify="right" if column == "$/HOUR" else "left")
    for entry in entries:
        cells: list[Any] = [literal(cell) for cell in _row(entry)]
        moving = entry["percent"] is not None and not entry["ready"]
        if moving:
            cells[3] = ProgressBar(total=100, completed=entry["percent"], width=20)
        shown.add_row(*cells)
    return shown
