"""`together-operator export`: what exists at Together, as manifests for Git."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from together_operator.commands.exporting import Exported, Found, export
from together_operator.commands.output import document, to_yaml
from together_operator.config import ConfigError, load
from together_operator.domain.errors import OperatorError
from together_operator.domain.together import Model
from together_operator.ports import ModelProvider


@click.command("export")
@click.option("-n", "--namespace", help="Namespace to write into the manifests; default: none.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(("yaml", "json")),
    default="yaml",
    show_default=True,
    help="How to print.",
)
def export_command(namespace: str | None, output: str) -> None:
    """Print manifests for the models and endpoints that exist at Together.

    Applied, each takes over what is there as it is (adoptionPolicy: Adopt), and leaves it there
    when it is deleted (deletionPolicy: Retain). Together is found as by the operator, by
    TOGETHER_API_KEY and so on. Nothing is changed.
    """
    try:
        exported = export(asyncio.run(_found()), namespace)
    except (OperatorError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    if output == "json":
        items = [manifest for _, manifest in exported.manifests]
        document({"apiVersion": "v1", "kind": "List", "items": items}, output)
        for comments, manifest in exported.manifests:  # JSON has no place for them
            for comment in comments:
                what = f"{manifest['kind']} {manifest['metadata']['name']}"
                click.echo(f"{what}: {comment}", err=True)
    else:
        _print(exported)
    for reason in exported.left_out:
        click.echo(f"left out: {reason}", err=True)


def _print(exported: Exported) -> None:
    for index, (comments, manifest) in enumerate(exported.manifests):
        if index:
            click.echo("---")
        for comment in comments:
            click.echo(f"# {comment}")
        click.echo(to_yaml(manifest), nl=False)


async def _found() -> Found:
    from together_operator.adapters.together import connector
    from together_operator.adapters.together_v2 import connections

    config = load()
    if config.own_key is None:
        raise click.ClickException("No Together API key: set TOGETHER_API_KEY")
    async with connections() as http:
        provider = connector(config, http)(config.own_key())
        models = await provider.list_models()
        endpoints = await provider.list_endpoints()
        return Found(
            models=models,
            imports=await provider.list_imports(),
            deployable=await _deployable(provider, models),
            endpoints=endpoints,
            deployments={e.id: await provider.list_deployments(e.id) for e in endpoints},
            bases=await provider.find_supported_models(),
        )


async def _deployable(provider: ModelProvider, models: Sequence[Model]) -> dict[str, str]:
    """The newest validated revision of each model that has one."""
    found = {}
    for model in models:
        revisions = await provider.list_revisions(model.id)
        validated = [revision.id for revision in revisions if revision.validation == "SUCCESS"]
        if validated:
            found[model.id] = validated[0]
    return found
