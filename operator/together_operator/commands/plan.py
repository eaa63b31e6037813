"""`together-operator plan`: what would happen, and what it would cost. Nothing is created."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from together_operator.api.v1alpha1 import GROUP, CustomModel, ModelDeployment
from together_operator.commands.cluster import PLURALS, Cluster, Where, connected, where_options
from together_operator.commands.manifests import Wanted, read_manifests
from together_operator.commands.output import coloured, document, output_option, quiet, table
from together_operator.commands.rules import problem
from together_operator.config import ConfigError, load
from together_operator.domain.errors import Forbidden, NotFound, OperatorError

if TYPE_CHECKING:
    from rich.text import Text

    from together_operator.config import Config
    from together_operator.ports import Secrets
    from together_operator.rehearsal import Forecast

_KINDS: dict[str, type[CustomModel | ModelDeployment]] = {
    "CustomModel": CustomModel,
    "ModelDeployment": ModelDeployment,
}
Body = Mapping[str, Any]


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
    now, with every change only written down. Together and the ceilings on cost are found as by the
    operator, by TOGETHER_API_KEY, TOGETHER_OPERATOR_MAX_HOURLY_COST and so on.

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
    ends = {stage for f in forecasts for stage in (f.stage, f.running.stage)}
    sys.exit(0 if ends <= {"Ready"} else 65)


async def _plan(
    names: Sequence[str], where: Where | None, namespace: str | None
) -> tuple[list[Forecast], list[str]]:
    from together_operator.adapters.hub import HuggingFaceHub
    from together_operator.adapters.s3 import S3Archives
    from together_operator.adapters.together import connector
    from together_operator.adapters.together_v2 import connections
    from together_operator.controllers import limits_of
    from together_operator.rehearsal import rehearse
    from together_operator.rehearsal.kubernetes import UnreadSecrets
    from together_operator.rehearsal.run import Outside

    config, notes, now = load(), list[str](), datetime.now(UTC)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(connections())
        threads = stack.enter_context(ThreadPoolExecutor(4))
        cluster = await stack.enter_async_context(_cluster(where, notes))
        place = cluster.namespace if cluster is not None else namespace or "default"
        wanted = read_manifests(names, place)
        if not wanted.objects:
            raise click.UsageError(f"the manifests hold no object of {GROUP}")
        unchecked = list[str]()
        bodies = [await _completed(body, cluster, unchecked, now) for body in wanted.objects]
        await _with_models(bodies, cluster)
        unread = UnreadSecrets()
        outside = Outside(
            secrets=_Secrets(wanted, await _secrets_of(cluster), unread),
            archives=S3Archives(threads, config.addresses),
            hub=HuggingFaceHub(str(config.hub_endpoint).rstrip("/"), threads),
            connect=connector(config, http),
            own_key=config.own_key,
            addresses=config.addresses,
            limits=limits_of(config),
            served=await _served(cluster, config, notes),
        )
        uid = await _cluster_id(cluster, config.cluster_id)
        forecasts = await rehearse(bodies, outside, uid, now)
    if unread.wanted:
        names_ = ", ".join(sorted(unread.wanted))
        notes.append(f"not read without a cluster, and so not checked: Secret {names_}")
    if unchecked:
        which = ", ".join(unchecked)
        notes.append(f"not checked against all of the CRD's rules, which takes a cluster: {which}")
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


async def _served(cluster: Cluster | None, config: Config, notes: list[str]) -> Sequence[Body]:
    """The ModelDeployments that take their part of the operator's ceilings, if it has any."""
    if config.max_hourly_cost is None and not config.namespace_max_hourly_cost:
        return []
    unknown = "not known, and so taken for nothing: what other deployments use of the ceilings"
    if cluster is None:
        notes.append(unknown)
        return []
    try:
        found = await cluster.objects("ModelDeployment")
    except NotFound:
        return []
    except Forbidden:
        notes.append(f"{unknown}, since you may not list those of all namespaces")
        return []
    served = config.namespaces
    return [b for b in found if not served or b["metadata"]["namespace"] in served]


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


# Objects.


async def _completed(
    body: dict[str, Any], cluster: Cluster | None, unchecked: list[str], now: datetime
) -> dict[str, Any]:
    """The object as it would be in the cluster, with the status that it has there."""
    kind, metadata = body["kind"], body["metadata"]
    live: Body | None = None
    admitted: Body | None = None
    if cluster is not None:
        admitted = await cluster.admitted(kind, body)
        live = await cluster.object(kind, metadata["namespace"], metadata["name"])
    if admitted is None:
        name = f"{kind} {metadata['namespace']}/{metadata['name']}"
        found = problem(_KINDS[kind], body)
        if found is not None:
            raise click.ClickException(f"{name}: {found}")
        unchecked.append(name)
    body = {**body, **(admitted or {})}
    if live is None:
        given = {"uid": f"planned-{kind}-{metadata['namespace']}-{metadata['name']}"}
        born = {"creationTimestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}", "generation": 1}
        fresh = {**metadata, **given, **born, "resourceVersion": "1"}
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
    from together_operator.commands import bill

    rows: list[list[str | Text]] = []
    for forecast in forecasts:
        price = bill.hourly(forecast)
        lines: list[tuple[str | Text, str]] = [(s.action, s.detail) for s in forecast.steps]
        lines = [*(lines or [("nothing", "")]), _ending(forecast)]
        if forecast.opened is not None:
            new = [step for step in forecast.opened.steps if step not in forecast.steps]
            lines += [*((step.action, step.detail) for step in new), _ending(forecast.opened)]
        for index, (action, detail) in enumerate(lines):
            first = index == 0
            rows.append(
                [
                    forecast.key.namespace if first else "",
                    f"{PLURALS[forecast.kind][:-1]}/{forecast.key.name}" if first else "",
                    action,
                    detail,
                    price.text() if first and price is not None else "",
                ]
            )
    table(("NAMESPACE", "OBJECT", "WOULD", "WHAT", "$/HOUR"), rows, right=(4,))
    click.echo(f"\n{bill.summary(forecasts)} Nothing was created.")


def _ending(forecast: Forecast) -> tuple[str | Text, str]:
    colour = {"Ready": "green", "Stalled": "red"}.get(forecast.stage, "yellow")
    verdict = "ready" if forecast.stage == "Ready" else forecast.stage.lower()
    reason = "" if forecast.stage == "Ready" else f"{forecast.reason}: "
    return coloured(f"then {verdict}", colour), reason + forecast.message


def _document(forecasts: Sequence[Forecast], notes: Sequence[str]) -> dict[str, Any]:
    from together_operator.commands import bill

    hour, month = bill.an_hour(forecasts), bill.a_month(forecasts)
    return {
        "objects": [
            {
                "kind": forecast.kind,
                "namespace": forecast.key.namespace,
                "name": forecast.key.name,
                **_told(forecast),
                **({"opens": _opening(forecast)} if forecast.opened is not None else {}),
                "dollarsPerHour": f"{price.least:.2f}" if price is not None else None,
                "maxDollarsPerHour": f"{price.most:.2f}" if price is not None else None,
                "hoursPerMonth": round(forecast.month, 2),
            }
            for forecast in forecasts
            for price in [bill.hourly(forecast)]
        ],
        "dollarsPerHour": f"{hour.least:.2f}",
        "maxDollarsPerHour": f"{hour.most:.2f}",
        "dollarsPerMonth": f"{month.least:.2f}",
        "maxDollarsPerMonth": f"{month.most:.2f}",
        "notes": list(notes),
    }


def _opening(forecast: Forecast) -> dict[str, Any]:
    assert forecast.opens is not None
    return {"time": f"{forecast.opens:%Y-%m-%dT%H:%M:%SZ}", **_told(forecast.running)}


def _told(forecast: Forecast) -> dict[str, Any]:
    return {
        "steps": [{"action": s.action, "detail": s.detail} for s in forecast.steps],
        "ends": forecast.stage.value,
        "reason": forecast.reason,
        "message": forecast.message,
    }
