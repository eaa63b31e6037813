"""`together-operator completion`: the script that makes a shell complete its commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: eval "$(together-operator completion bash)" in ~/.bashrc
    zsh:  eval "$(together-operator completion zsh)" in ~/.zshrc
    fish: together-operator completion fish | source, in ~/.config/fish/config.fish
    """
    root = context.find_root()
    program = "together-operator"
    variable = "_TOGETHER_OPERATOR_COMPLETE"
    kind = get_completion_class(shell)
    assert kind is not None  # click has these three
    click.echo(kind(root.command, {}, program, variable).source())
