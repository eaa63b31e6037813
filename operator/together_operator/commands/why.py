"""`together-operator why`: the chain of causes behind an object that is not ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from together_operator.commands.causes import Cause, Seen, causes
from together_operator.commands.cluster import Cluster, Where, connected, where_options
from together_operator.commands.output import document, output_option
from together_operator.domain.archive_job import OWNER_LABEL
from together_operator.domain.deployment.uses import models_in_use, wanted_model
from together_operator.domain.errors import Forbidden, NotFound, OperatorError
from together_operator.domain.names import DEFAULT_LEASE, LEASE_LABELS

Body = Mapping[str, Any]
_KINDS = {
    word: kind
    for kind, words in {
        "CustomModel": ("custommodel", "custommodels", "cmodel"),
        "ModelDeployment": ("modeldeployment", "modeldeployments", "mdeploy"),
    }.items()
    for word in words
}


@click.command("why")
@click.argument("name", metavar="KIND/NAME")
@click.option("--lease", help="Name of the operator's Lease; default: found by its label.")
@where_options
@output_option
def why_command(
    name: str,
    lease: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    output: str,
) -> None:
    """Say why an object is not ready: the true cause first, then what follows from it.

    KIND/NAME is such as custommodel/minilm or modeldeployment/minilm. What the object rests on is
    looked at, too: its model, the Job that packs its source and the Job's pod, what Together says,
    and whether the operator runs.
    """
    word, _, bare = name.partition("/")
    kind = _KINDS.get(word.partition(".")[0].lower())
    if kind is None or not bare:
        raise click.UsageError("write custommodel/NAME or modeldeployment/NAME")
    where = Where(kubeconfig, context, namespace)
    try:
        seen = asyncio.run(_look(where, kind, bare, lease))
    except OperatorError as error:
        raise click.ClickException(str(error)) from None
    chain = causes(seen)
    if output != "table":
        document([_document(cause) for cause in chain], output)
        return
    if not chain:
        ready = next(c for c in seen.subject["status"]["conditions"] if c["type"] == "Ready")
        click.echo(f"{name} is ready: {ready['message']}")
        return
    for number, cause in enumerate(chain):
        _print(cause, number)


def _print(cause: Cause, number: int) -> None:
    arrow = "" if number == 0 else "  " * (number - 1) + "└─ so "
    click.echo(f"{arrow}{click.style(cause.where, bold=True)}: ", nl=False)
    click.echo(click.style(cause.reason, fg="red" if number == 0 else "yellow"))
    indent = "  " * (number + 1)
    for text, colour in ((cause.message, None), (cause.remedy, "green")):
        if text:
            click.echo(indent + click.style(text, fg=colour))


def _document(cause: Cause) -> dict[str, str]:
    return {
        "where": cause.where,
        "reason": cause.reason,
        "message": cause.message,
        "remedy": cause.remedy,
    }


async def _look(where: Where, kind: str, name: str, lease: str | None) -> Seen:
    async with connected(where) as cluster:
        body = await cluster.object(kind, cluster.namespace, name)
        if body is None:
            raise click.ClickException(f"There is no {kind} {cluster.namespace}/{name}")
        model, users = body if kind == "CustomModel" else None, list[Body]()
        if kind == "ModelDeployment":
            reference = (body["spec"].get("modelRef") or {}).get("name")
            model = await cluster.object("CustomModel", cluster.namespace, reference or "-")
        else:
            deployed = await cluster.objects("ModelDeployment", cluster.namespace)
            record = ((body.get("status") or {}).get("model") or {}).get("id")
            users = [
                d for d in deployed if wanted_model(d) == name or record in set(models_in_use(d))
            ]
        jobs, pods, events = await _archive(cluster, model)
        leases = await find_leases(cluster.api, lease)
        return Seen(
            subject=body,
            now=datetime.now(UTC),
            model=model if kind == "ModelDeployment" else None,
            users=users,
            jobs=jobs,
            pods=pods,
            events=events,
            lease=max(leases or (), key=_renewed, default=None),
            lease_known=leases is not None,
            lease_name=lease,
        )


async def _archive(
    cluster: Cluster, model: Body | None
) -> tuple[list[Body], list[Body], list[Body]]:
    """Jobs, pods and events of a model's archive, the newest first; what may not be read is not."""
    if model is None:
        return [], [], []
    selector = f"{OWNER_LABEL}={model['metadata']['uid']}"
    jobs = await _listed(cluster, "Job", selector)
    pods = await _listed(cluster, "Pod", selector) if jobs else []
    uids = {body["metadata"].get("uid") for body in (*jobs, *pods)}
    events = await _listed(cluster, "Event", "") if jobs else []
    return jobs, pods, [e for e in events if (e.get("involvedObject") or {}).get("uid") in uids]


async def _listed(cluster: Cluster, kind: str, selector: str) -> list[Body]:
    from kubernetes.aio import client

    from together_operator.adapters.kube import translated

    core = client.CoreV1Api(cluster.api)
    read: Any = {
        "Job": client.BatchV1Api(cluster.api).list_namespaced_job,
        "Pod": core.list_namespaced_pod,
        "Event": core.list_namespaced_event,
    }[kind]
    try:
        with translated():
            answer = await read(cluster.namespace, label_selector=selector)
    except (Forbidden, NotFound):
        return []
    items = cluster.api.sanitize_for_serialization(answer).get("items") or []
    bodies = [{"kind": kind, **item} for item in items]
    return sorted(bodies, key=lambda b: str(b["metadata"].get("creationTimestamp")), reverse=True)


async def find_leases(api: Any, name: str | None) -> list[Body] | None:
    """Leases of operators, wherever they are; None: they may not be listed.

    Args:
        name: of the Lease; None: it has our label, or the name that one has by default.
    """
    from kubernetes.aio import client

    from together_operator.adapters.kube import translated

    labels = ",".join(f"{key}={value}" for key, value in LEASE_LABELS.items())
    searches: list[dict[str, Any]] = (
        [{"field_selector": f"metadata.name={name}"}]
        if name
        else [{"label_selector": labels}, {"field_selector": f"metadata.name={DEFAULT_LEASE}"}]
    )
    found: list[Body] = []
    try:
        for search in searches:
            with translated():
                answer: Any = await client.CoordinationV1Api(api).list_lease_for_all_namespaces(
                    **search
                )
            found.extend(api.sanitize_for_serialization(answer).get("items") or [])
    except Forbidden:
        return None
    return found


def _renewed(lease: Body) -> str:
    return str((lease.get("spec") or {}).get("renewTime") or "")
