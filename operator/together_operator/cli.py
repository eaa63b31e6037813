"""The command line: each command imports what it needs, so that the worker never loads kopf."""

import gc
import os
from importlib import import_module

import click

from together_operator import __version__
from together_operator.postponed import OF_TERMINALS, OPTIONAL, postpone

_LAZY = {
    "completion": "together_operator.commands.completion:completion_command",
    "cost": "together_operator.commands.cost:cost_command",
    "export": "together_operator.commands.export:export_command",
    "plan": "together_operator.commands.plan:plan_command",
    "status": "together_operator.commands.status:status_command",
    "why": "together_operator.commands.why:why_command",
    "run": "together_operator.run_cli:run_command",
    "archive": "together_operator.archive_cli:archive_command",
    "orphans": "together_operator.orphans_cli:orphans_command",
    "check": "together_operator.check_cli:check_command",
}


class _LazyGroup(click.Group):
    """Finds a command of `_LAZY` in its module when it is asked for, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module, _, name = _LAZY[cmd_name].partition(":")
        # What is imported stays: to look for garbage in it is a third of what an import takes.
        gc.disable()
        postpone(unwanted=OPTIONAL | OF_TERMINALS if cmd_name == "run" else OPTIONAL)
        # Else huggingface_hub asks huggingface.co which coding agents there are, to name one in its
        # user agent: nobody's business, and three seconds lost where only a mirror answers.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            command: click.Command = getattr(import_module(module), name)
        finally:
            gc.enable()
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="together-operator")
def cli() -> None:
    """Bring model weights to Together AI and serve them, from Kubernetes."""


def main() -> None:
    """Entry point of the console script; usage errors exit with 64 (sysexits EX_USAGE)."""
    click.UsageError.exit_code = 64
    cli(prog_name="together-operator")


def kubectl_main() -> None:
    """Entry point as a plugin of kubectl: `kubectl together …`."""
    click.UsageError.exit_code = 64
    cli(prog_name="kubectl together")
