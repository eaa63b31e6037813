"""`python -m hack.image build`: see `make image`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import click

from hack.image import build as building
from hack.image.debian import ImageError
from hack.image.processes import end_by_exception
from hack.image.sbom import document
from together_operator import __version__

ROOT = Path(__file__).parents[2]


@click.group()
def cli() -> None:
    """The image on a machine without a registry of images."""


@cli.command()
@click.option("--tag", default=f"together-operator:{__version__}", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/image.tar"))
@click.option("--cached/--no-cached", default=True, help="Take over layers of earlier builds.")
def build(tag: str, output: Path, *, cached: bool) -> None:
    """Build it and write it as an archive for `ctr images import` and `docker load`."""
    if missing := building.lacking():
        raise click.ClickException(f"this machine lacks {', '.join(missing)}")
    end_by_exception()
    try:
        with building.Storage.in_cache() as storage:
            identity = building.build(storage, tag, epoch=source_date_epoch(), cached=cached)
            output.parent.mkdir(parents=True, exist_ok=True)
            size = building.export(storage, tag, output)
    except ImageError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{tag}\n{identity}\n{output}: {size / 2**20:.0f} MiB")


@cli.command()
@click.option("--archive", type=click.Path(exists=True, path_type=Path), default="build/image.tar")
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/sbom.cdx.json"))
def sbom(archive: Path, output: Path) -> None:
    """Write the bill of materials (CycloneDX) of an image that was built."""
    epoch = source_date_epoch()
    text = document(archive, name="together-operator", version=__version__, epoch=epoch)
    output.write_text(text)
    click.echo(f"{output}: {len(json.loads(text)['components'])} components")


def source_date_epoch() -> int:
    """SOURCE_DATE_EPOCH, or else the time of the last commit; seconds since 1970."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    command = ("git", "log", "-1", "--format=%ct")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(run.stdout)


if __name__ == "__main__":
    cli()
