"""The command `together-operator run`."""

from __future__ import annotations

import click

from together_operator import __version__, app, tracing
from together_operator.config import ConfigError, load
from together_operator.telemetry import configure_logging


@click.command("run")
def run_command() -> None:
    """Run the operator. It is configured by the environment; see the README."""
    try:
        config = load()
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    configure_logging(config.log_format)
    if config.tracing:
        try:
            tracing.start(__version__)
        except tracing.TracingUnavailableError as error:
            raise click.ClickException(f"TOGETHER_OPERATOR_TRACING: {error}") from None
    try:
        app.run(config)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
