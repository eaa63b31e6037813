"""`together-operator cost`: what runs by list price, by namespace, object and time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import click

from together_operator.commands.cluster import Where, connected, everywhere_option, where_options
from together_operator.commands.output import amount, document, output_option, table
from together_operator.domain.errors import OperatorError

Body = Mapping[str, Any]
HOURS = {"hour": 1, "day": 24, "month": 730}
"""Hours of what is shown; a month is a twelfth of a year."""


@click.command("cost")
@click.option(
    "--by",
    type=click.Choice(("object", "namespace")),
    default="object",
    show_default=True,
    help="What to add up.",
)
@everywhere_option
@where_options
@output_option
def cost_command(
    by: str,
    everywhere: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    output: str,
) -> None:
    """Show what deployments cost in an hour, a day and a month, if they go on as they are.

    Those of a namespace, or of all of them. List prices of the replicas that were asked for; what
    Together bills is on its invoice.
    """
    try:
        bodies = asyncio.run(_deployments(Where(kubeconfig, context, namespace), everywhere))
    except OperatorError as error:
        raise click.ClickException(str(error)) from None
    lines = costs(bodies, by)
    if output != "table":
        document(lines, output)
        return
    rows = [
        [e["namespace"], e.get("name", ""), str(e["replicas"]), *_spans(e)]
        for e in [*lines, _sum(lines)]
    ]
    table(("NAMESPACE", "OBJECT", "REPLICAS", "$/HOUR", "$/DAY", "$/MONTH"), rows, (2, 3, 4, 5))
    unpriced = sum(line["unpriced"] for line in lines)
    if unpriced:
        what = "1 deployment has" if unpriced == 1 else f"{unpriced} deployments have"
        click.echo(f"note: {what} no known price and count as nothing in sums", err=True)


def _spans(line: Mapping[str, Any]) -> list[str]:
    is_unknown = line["unpriced"] and not Decimal(line["hour"])
    return ["unknown" if is_unknown else line[span] for span in HOURS]


async def _deployments(where: Where, everywhere: bool) -> list[Body]:
    async with connected(where) as cluster:
        return await cluster.objects("ModelDeployment", None if everywhere else cluster.namespace)


def costs(bodies: Sequence[Body], by: str) -> list[dict[str, Any]]:
    """A line for each object or namespace, the dearest first; dollars are decimal text.

    One whose price is not known (yet) counts as nothing, and says so with `unpriced`.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for body in bodies:
        metadata, status = body["metadata"], body.get("status") or {}
        price = amount((status.get("cost") or {}).get("perHour"))
        name = f"modeldeployment/{metadata['name']}" if by == "object" else ""
        key = (metadata["namespace"], name)
        seen = found.setdefault(key, {"replicas": 0, "hour": Decimal(0), "unpriced": 0})
        replicas = status.get("replicas") or 0
        seen["replicas"] += replicas
        seen["hour"] += price or 0
        seen["unpriced"] += price is None and replicas > 0
    ordered = sorted(found.items(), key=lambda item: (-item[1]["hour"], item[0]))
    return [
        {
            "namespace": namespace,
            **({"name": name} if by == "object" else {}),
            "replicas": seen["replicas"],
            "unpriced": seen["unpriced"],
            **{span: f"{seen['hour'] * hours:.2f}" for span, hours in HOURS.items()},
        }
        for (namespace, name), seen in ordered
    ]


def _sum(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "namespace": "total",
        "replicas": sum(line["replicas"] for line in lines),
        "unpriced": sum(line["unpriced"] for line in lines),
        **{span: f"{sum(Decimal(line[span]) for line in lines):.2f}" for span in HOURS},
    }
