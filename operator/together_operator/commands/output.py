"""How commands print: a table for people, JSON or YAML for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

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


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
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
        printed.add_row(*row)
    width = None if sys.stdout.isatty() else 4096
    Console(width=width, highlight=False, soft_wrap=False).print(printed)


def coloured(text: str, colour: str) -> str:
    """Markup for `table`, with what is in the text taken literally."""
    from rich.markup import escape

    return f"[{colour}]{escape(text)}[/]"


def quiet() -> None:
    """Let the operator's own parts log nothing while a command uses them."""
    import logging

    from together_operator.telemetry import configure_logging

    configure_logging("console")
    logging.getLogger().setLevel(logging.CRITICAL)
