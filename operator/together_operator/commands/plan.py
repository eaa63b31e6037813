"""`together-operator plan`: what would happen, and what it would cost. Nothing is created."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr, ValidationError

from together_operator.api.v1alpha1 import GROUP, CustomModel, ModelDeployment
from together_operator.commands.cluster import PLURALS, Cluster, Where, connected, where_options
from together_operator.commands.output import coloured, document, output_option, quiet, table
from together_operator.config import ConfigError, load
from together_operator.domain.errors import OperatorError, SecretUnavailable

if TYPE_CHECKING:
    from together_operator.ports import Secrets
    from together_operator.rehearsal import Forecast

HOURS_A_MONTH = 730
_KINDS: dict[str, type[CustomModel | ModelDeployment]] = {
    "CustomModel": CustomModel,
    "ModelDeployment": ModelDeployment,
}
Body = Mapping[str, Any]


@dataclass
class Wanted:
    """What some manifests hold: our objects, and the Secrets beside them."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    secrets: dict[tuple[str, str], dict[str, SecretStr]] = field(default_factory=dict)


@click.command("plan")
@click.option(
    "-f",
    "--filename",
    "names",
    multiple=True,
    required=True,
    help="Manifest, folder of manifests, or - for stdin; may be repeated.",
)
@click.option("--offline", is_flag=True, help="Ask no cluster: Secrets are not read.")
@where_options
@output_option
def plan_command(
    names: tuple[str, ...],
    offline: bool,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    output: str,
) -> None:
    """Say what the operator would do with manifests, and what it would cost.

    The operator's own decisions are run against Together, the sources and the cluster as they are
    now, with every change only written down. Together is found as by the operator, by
    TOGETHER_API_KEY and so on.

    \b
    Exit codes: 0 all would become ready, 64 usage, 65 something would stall.
    """
    quiet()
    where = Where(kubeconfig, context, namespace)
    try:
        forecasts, notes = asyncio.run(_plan(names, None if offline else where, namespace))
    except (OperatorError, ConfigError) as error:
        raise click.ClickException(str(error)) from None
    if output == "table":
        _print(forecasts)
    else:
        document(_document(forecasts, notes), output)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    sys.exit(65 if any(forecast.stage != "Ready" for forecast in forecasts) else 0)


async def _plan(
    names: Sequence[str], where: Where | None, namespace: str | None
) -> tuple[list[Forecast], list[str]]:
    from together_operator.adapters.hub import HuggingFaceHub
    from together_operator.adapters.s3 import S3Archives
    from together_operator.adapters.together import connector
    from together_operator.adapters.together_v2 import connections
    from together_operator.rehearsal import rehearse
    from together_operator.rehearsal.kubernetes import UnreadSecrets
    from together_operator.rehearsal.run import Outside

    config, notes = load(), list[str]()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(connections())
        threads = stack.enter_context(ThreadPoolExecutor(4))
        cluster = await stack.enter_async_context(_cluster(where, notes))
        place = cluster.namespace if cluster is not None else namespace or "default"
        wanted = read_manifests(names, place)
        if not wanted.objects:
            raise click.UsageError(f"the manifests hold no object of {GROUP}")
        bodies = [await _completed(body, cluster) for body in wanted.objects]
        await _with_models(bodies, cluster)
        unread = UnreadSecrets()
        outside = Outside(
            secrets=_Secrets(wanted, await _secrets_of(cluster), unread),
            archives=S3Archives(threads, config.addresses),
            hub=HuggingFaceHub(str(config.hub_endpoint).rstrip("/"), threads),
            connect=connector(config, http),
            api_key=config.api_key,
            addresses=config.addresses,
        )
        uid = await _cluster_id(cluster, config.cluster_id)
        forecasts = await rehearse(bodies, outside, uid, datetime.now(UTC))
    if unread.wanted:
        names_ = ", ".join(sorted(unread.wanted))
        notes.append(f"not read without a cluster, and so not checked: Secret {names_}")
    asked = {
        (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
        for body in wanted.objects
    }
    return [f for f in forecasts if (f.kind, f.key.namespace, f.key.name) in asked], notes


@asynccontextmanager
async def _cluster(where: Where | None, notes: list[str]) -> AsyncIterator[Cluster | None]:
    if where is None:
        yield None
        return
    try:
        async with connected(where) as cluster:
            yield cluster
    except click.ClickException as error:
        if where.kubeconfig or where.context:
            raise
        notes.append(f"{error.message}; planned without one")
        yield None


async def _secrets_of(cluster: Cluster | None) -> Secrets | None:
    from together_operator.adapters.kube import KubeSecrets

    return KubeSecrets(cluster.api) if cluster is not None else None


async def _cluster_id(cluster: Cluster | None, configured: str | None) -> str:
    from together_operator.adapters.kube import cluster_id

    if configured is not None or cluster is None:
        return configured or "planned"
    return await cluster_id(cluster.api)


class _Secrets:
    """Those of the manifests, then those of the cluster; without a cluster, unread ones."""

    def __init__(self, wanted: Wanted, cluster: Secrets | None, unread: Secrets) -> None:
        self._wanted = wanted
        self._rest = cluster or unread

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """All keys of a Secret."""
        found = self._wanted.secrets.get((namespace, name))
        return found if found is not None else await self._rest.read(namespace, name)


# Manifests.


def read_manifests(names: Sequence[str], namespace: str) -> Wanted:
    """Our objects and the Secrets in some files; other kinds are passed over.

    Raises:
        click.ClickException: a file can't be read, or an object in it is not valid.
    """
    wanted = Wanted()
    for origin, written in _documents(names):
        metadata = {"namespace": namespace, **(written.get("metadata") or {})}
        body = {**written, "metadata": metadata}
        if body.get("kind") == "Secret":
            wanted.secrets[metadata["namespace"], metadata.get("name", "")] = _values(body)
        elif str(body.get("apiVersion", "")).startswith(f"{GROUP}/"):
            _validate(origin, body)
            wanted.objects.append(body)
    return wanted


def _documents(names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    import yaml

    for name in names:
        for origin, text in _texts(name):
            try:
                for found in yaml.safe_load_all(text):
                    listed = found.get("items") if isinstance(found, dict) else None
                    for body in listed if isinstance(listed, list) else [found]:
                        if isinstance(body, dict):
                            yield origin, body
            except yaml.YAMLError as error:
                raise click.ClickException(f"{origin}: {error}") from None


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == "-":
        yield "stdin", sys.stdin.read()
        return
    path = Path(name)
    suffixes = {".yaml", ".yml", ".json"}
    files = sorted(p for p in path.rglob("*") if p.suffix in suffixes) if path.is_dir() else [path]
    for file in files:
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise click.ClickException(f"{file}: {error}") from None


def _values(body: Body) -> dict[str, SecretStr]:
    import base64
    import binascii

    values = {str(k): SecretStr(str(v)) for k, v in (body.get("stringData") or {}).items()}
    for key, value in (body.get("data") or {}).items():
        try:
            values.setdefault(key, SecretStr(base64.b64decode(str(value)).decode()))
        except (binascii.Error, UnicodeDecodeError):
            name = body["metadata"].get("name", "")
            raise SecretUnavailable(name, key, "the value is not text in base64") from None
    return values


def _validate(origin: str, body: Body) -> None:
    name = f"{body.get('kind')} {body['metadata'].get('name', '')}"
    kind = _KINDS.get(str(body.get("kind")))
    if kind is None:
        raise click.ClickException(f"{origin}: {body.get('kind')} is no kind of {GROUP}")
    try:
        kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise click.ClickException(f"{origin}: {name}: {place}: {first['msg']}") from None


async def _completed(body: dict[str, Any], cluster: Cluster | None) -> dict[str, Any]:
    """The object as it would be in the cluster, with the status that it has there."""
    kind, metadata = body["kind"], body["metadata"]
    live: Body | None = None
    if cluster is not None:
        body = await cluster.admitted(kind, body)
        live = await cluster.object(kind, metadata["namespace"], metadata["name"])
    if live is None:
        given = {"uid": f"planned-{kind}-{metadata['namespace']}-{metadata['name']}"}
        fresh = {**metadata, **given, "resourceVersion": "1", "generation": 1}
        return {**body, "metadata": fresh, "status": {}}
    same = _KINDS[kind].model_validate(body).spec == _KINDS[kind].model_validate(live).spec
    generation = live["metadata"].get("generation", 1) + (0 if same else 1)
    kept = {**live["metadata"], "generation": generation, "resourceVersion": "1"}
    annotations = metadata.get("annotations") or kept.get("annotations") or {}
    return {
        **body,
        "metadata": {**kept, "annotations": annotations},
        "status": live.get("status") or {},
    }


async def _with_models(bodies: list[dict[str, Any]], cluster: Cluster | None) -> None:
    """Add the CustomModels of the cluster that are referred to and not planned themselves."""
    known = {
        (b["metadata"]["namespace"], b["metadata"]["name"])
        for b in bodies
        if b["kind"] == "CustomModel"
    }
    for body in [b for b in bodies if b["kind"] == "ModelDeployment"]:
        reference = str((body["spec"].get("modelRef") or {}).get("name") or "")
        at = (body["metadata"]["namespace"], reference)
        if cluster is None or not reference or at in known:
            continue
        live = await cluster.object("CustomModel", *at)
        if live is not None:
            known.add(at)
            meta = {**live["metadata"], "resourceVersion": "1"}
            bodies.append({"kind": "CustomModel", **live, "metadata": meta})


# Telling.


def _print(forecasts: Sequence[Forecast]) -> None:
    rows: list[list[str]] = []
    for forecast in forecasts:
        name = f"{PLURALS[forecast.kind][:-1]}/{forecast.key.name}"
        lines = [(step.action, step.detail) for step in forecast.steps] or [("nothing", "")]
        for index, (action, detail) in enumerate(lines):
            first = index == 0
            rows.append(
                [
                    forecast.key.namespace if first else "",
                    name if first else "",
                    action,
                    detail,
                    (forecast.dollars_per_hour or "") if first else "",
                ]
            )
        colour = {"Ready": "green", "Stalled": "red"}.get(forecast.stage, "yellow")
        verdict = "ready" if forecast.stage == "Ready" else forecast.stage.lower()
        reason = "" if forecast.stage == "Ready" else f"{forecast.reason}: "
        rows.append(["", "", coloured(f"then {verdict}", colour), reason + forecast.message, ""])
    table(("NAMESPACE", "OBJECT", "WOULD", "WHAT", "$/HOUR"), rows, right=(4,))
    hourly = total(forecasts)
    click.echo(
        f"\n${hourly:.2f} an hour by list price, ${hourly * 24:.2f} a day, "
        f"${hourly * HOURS_A_MONTH:.0f} in a month of {HOURS_A_MONTH} hours. Nothing was created."
    )


def total(forecasts: Sequence[Forecast]) -> float:
    """Dollars an hour of all together."""
    return sum(float(f.dollars_per_hour) for f in forecasts if f.dollars_per_hour)


def _document(forecasts: Sequence[Forecast], notes: Sequence[str]) -> dict[str, Any]:
    return {
        "objects": [
            {
                "kind": forecast.kind,
                "namespace": forecast.key.namespace,
                "name": forecast.key.name,
                "steps": [{"action": s.action, "detail": s.detail} for s in forecast.steps],
                "ends": forecast.stage.value,
                "reason": forecast.reason,
                "message": forecast.message,
                "dollarsPerHour": forecast.dollars_per_hour,
            }
            for forecast in forecasts
        ],
        "dollarsPerHour": f"{total(forecasts):.2f}",
        "notes": list(notes),
    }
