"""How commands print: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

from together_operator.domain.text import cents_of

if TYPE_CHECKING:
    from rich.text import Text

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "json", "yaml")

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print.",
)


def document(value: Any, output: str) -> None:
    """Print a value as JSON or YAML on stdout."""
    if output == "json":
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(to_yaml(value), nl=False)


def to_yaml(value: Any) -> str:
    """YAML as people write it: keys in order, lists below their key."""
    import yaml

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Text]], right: Sequence[int] = ()
) -> None:
    """Print a table like kubectl's: no lines, colours only on a terminal, nothing cut off.

    Args:
        right: indexes of columns that are set flush right.
    """
    from rich.console import Console
    from rich.table import Table

    printed = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        printed.add_column(
            column,
            justify="right" if index in right else "left",
            overflow="fold",
            no_wrap=not sys.stdout.isatty(),
        )
    for row in rows:
        printed.add_row(*(literal(cell) for cell in row))
    width = None if sys.stdout.isatty() else 4096
    Console(width=width, highlight=False, soft_wrap=False).print(printed)


def literal(cell: str | Text) -> Text:
    """A cell as it is: what Together and users write has brackets, which rich takes for markup."""
    from rich.text import Text

    return Text(cell) if isinstance(cell, str) else cell


def coloured(text: str, colour: str) -> Text:
    """A cell in one colour."""
    from rich.text import Text

    return Text(text, colour)


def amount(text: str | None) -> Decimal | None:
    """Dollars of a status; None: not known, or no amount of money, as in a forged status."""
    return Decimal(text) if text is not None and cents_of(text) is not None else None


def quiet() -> None:
    """Let the operator's own parts log nothing while a command uses them."""
    import logging

    from together_operator.telemetry import configure_logging

    configure_logging("console")
    logging.getLogger().setLevel(logging.CRITICAL)
