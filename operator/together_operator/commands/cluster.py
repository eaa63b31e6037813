"""What the commands read of a cluster, with the user's own rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from together_operator.api.v1alpha1 import GROUP, VERSION, CustomModel, ModelDeployment

F = TypeVar("F", bound=Callable[..., Any])
PLURALS = {
    "CustomModel": CustomModel.definition.plural,
    "ModelDeployment": ModelDeployment.definition.plural,
}
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster, and which namespace of it; None: that of the context."""

    kubeconfig: str | None
    context: str | None
    namespace: str | None


def where_options(command: F) -> F:
    """`--kubeconfig`, `--context` and `--namespace`, as `Where` takes them."""
    for option in (
        click.option("-n", "--namespace", help="Namespace; default: the context's."),
        click.option("--context", help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=click.Path(), help="Kubeconfig file."),
    ):
        command = option(command)
    return command


everywhere_option = click.option(
    "-A", "--all-namespaces", "everywhere", is_flag=True, help="All namespaces."
)


class Cluster:
    """Reads. Each method raises the errors of `domain.errors`."""

    def __init__(self, api: Any, namespace: str) -> None:
        self.api = api
        self.namespace = namespace

    async def objects(self, kind: str, namespace: str | None = None) -> list[Body]:
        """All objects of one of our kinds, in one namespace or in all."""
        from kubernetes.aio import client

        from together_operator.adapters.kube import translated

        custom = client.CustomObjectsApi(self.api)
        with translated():
            if namespace is None:
                answer: Any = await custom.list_cluster_custom_object(GROUP, VERSION, PLURALS[kind])
            else:
                answer = await custom.list_namespaced_custom_object(
                    GROUP, VERSION, namespace, PLURALS[kind]
                )
        # Items of a list leave out what the list itself says.
        same = {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind}
        return [{**same, **item} for item in answer["items"]]

    async def object(self, kind: str, namespace: str, name: str) -> Body | None:
        """One object of our kinds."""
        from together_operator.adapters.kube import KubeObjects
        from together_operator.engine.store import Key

        return await KubeObjects(self.api, PLURALS[kind]).get(Key(namespace, name))

    async def admitted(self, kind: str, body: Body) -> dict[str, Any] | None:
        """The object with its defaults, as the API server would admit it; nothing is stored.

        None: the CRD or the namespace is not there, or may not be asked.

        Raises:
            Rejected: the object is not valid; the message names field, problem and remedy.
        """
        from kubernetes.aio import client

        from together_operator.adapters.kube import translated
        from together_operator.adapters.rest import TIMEOUT
        from together_operator.domain import errors

        metadata, custom = body["metadata"], client.CustomObjectsApi(self.api)
        place = (GROUP, VERSION, metadata["namespace"], PLURALS[kind])
        dry: dict[str, Any] = {
            "dry_run": "All",
            "field_manager": "together-operator-plan",
            "field_validation": "Strict",
            "_request_timeout": TIMEOUT,
        }
        try:
            with translated():
                answer: Any = await custom.create_namespaced_custom_object(
                    *place, dict(body), **dry
                )
        except errors.Conflict:  # it is there already
            with translated():
                answer = await custom.patch_namespaced_custom_object(
                    *place,
                    metadata["name"],
                    dict(body),
                    force=True,
                    _content_type="application/apply-patch+yaml",
                    **dry,
                )
        except (errors.NotFound, errors.Forbidden):
            return None
        return {**body, "spec": answer["spec"]}


@asynccontextmanager
async def connected(where: Where) -> AsyncIterator[Cluster]:
    """A connection to the cluster.

    Raises:
        click.ClickException: there is no kubeconfig that says where it is.
    """
    from kubernetes.aio import client

    from together_operator.config import ConfigError
    from together_operator.shell.connection import load_file

    try:
        of_context = await load_file(where.kubeconfig, where.context)
    except ConfigError as error:
        raise click.ClickException(f"No cluster: {error}") from None
    async with client.ApiClient() as api:
        yield Cluster(api, where.namespace or of_context or "default")
