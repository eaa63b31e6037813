"""``python -m tests.support.cluster build`` and ``… up``."""

from __future__ import annotations

import contextlib
import signal
import sys
import time

import click

from tests.support.cluster import ClusterError, ThrowawayCluster, binaries


@click.group(help=__doc__)
def main() -> None:
    """Group of the commands."""


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(sorted(binaries.PACKAGES)))
def build(names: tuple[str, ...]) -> None:
    """Build what isn't cached yet (NAMES, or all that a control plane needs)."""
    for name, path in binaries.find(names or binaries.CONTROL_PLANE).items():
        click.echo(f"{name:24} {path}")


@main.command()
@click.option("--name", default="up", show_default=True, help="Shown in kubectl's context.")
def up(name: str) -> None:
    """Run a cluster until Ctrl-C."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), ThrowawayCluster.start(name) as cluster:
        click.echo(f"Ready after {time.monotonic() - started:.1f} s. Use it with")
        click.echo(f"  export KUBECONFIG={cluster.kubeconfig('admin')}")
        click.echo(f"(operator without rights: {cluster.kubeconfig('operator')})")
        click.echo(f"Logs are in {cluster.folder / 'logs'}. Ctrl-C ends it and removes everything.")
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except ClusterError as error:
        sys.exit(str(error))
