"""The command line: each command imports what it needs, so that the worker never loads kopf."""

import click

from together_operator import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="together-operator")
def cli() -> None:
    """Bring model weights to Together AI and serve them, from Kubernetes."""


def main() -> None:
    """Entry point of the console script; usage errors exit with 64 (sysexits EX_USAGE)."""
    click.UsageError.exit_code = 64
    cli(prog_name="together-operator")
