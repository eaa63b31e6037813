"""Kopf's part: list, watch, reconnect, authenticate, post events. Its handlers only enqueue."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import kopf

from together_operator.api.v1alpha1 import GROUP, VERSION
from together_operator.engine.store import Body
from together_operator.shell.session import Sessions
from together_operator.telemetry import Metrics

Observe = Callable[[Body, bool], None]


class KopfEvents:
    """`Events` of the ports, through kopf's poster, which queues, retries and never blocks.

    Kopf finds its queue in context variables, which are set where it handles an object: `bind` is
    called there. An event without that, before the first object was handled, is dropped.
    """

    def __init__(self) -> None:
        self._context: contextvars.Context | None = None

    def bind(self) -> None:
        """Remember the context of a running kopf handler of an object; once is enough."""
        if self._context is None:
            self._context = contextvars.copy_context()

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        """Have an event recorded for an object."""
        if self._context is not None:
            kind = "Warning" if warning else "Normal"
            # Only the parts that identify the object: kopf wants a body of its own type.
            parts: Any = {k: body[k] for k in ("apiVersion", "kind", "metadata")}
            subject = kopf.Body(parts)
            self._context.run(kopf.event, subject, type=kind, reason=reason, message=message)


class _NoDiffs(kopf.DiffBaseStorage):
    """Kopf compares each body with the last one it handled, for handlers that we don't have.

    Without this, it copies every body several times for every event: a third of the CPU of a burst.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


def settings(
    namespaces: Sequence[str] = (), *, idle_seconds: float = 70.0
) -> kopf.OperatorSettings:
    """Kopf's settings. Those not named here are kopf's own defaults.

    Args:
        namespaces: those that are served; empty: all of them.
        idle_seconds: after which a watch that delivers nothing is opened anew.
    """
    ours = kopf.OperatorSettings()
    # Peering compares clocks and has no fencing; the Lease and stored intents are ours instead.
    ours.peering.standalone = True
    # A watch that is never closed can go silent behind a proxy (kopf#585, kopf#955): the server
    # ends it after five minutes, and the client a little later if the server did not.
    ours.watching.server_timeout = 300
    ours.watching.client_timeout = 330
    ours.watching.connect_timeout = 30
    # The API server sends a bookmark a minute: a stream without even that is dead.
    ours.watching.inactivity_timeout = idle_seconds
    # A list in one piece is all objects as dictionaries at once: 150 MB for 10,000 of them.
    ours.watching.chunk_size = 500
    # Kopf's default of five minutes would hide a hanging API server from the liveness probe.
    ours.networking.request_timeout = 30
    # Whoever serves some namespaces need not read all namespaces and CRDs of the cluster: kopf then
    # takes them as they are at the start.
    ours.scanning.disabled = bool(namespaces)
    ours.persistence.diffbase_storage = _NoDiffs()
    # Only what we publish ourselves becomes an event, never kopf's own log lines.
    ours.posting.loggers = False
    # In a burst, events come after what they tell of: the API server's time is short then. Kopf
    # has a worker for each object, which keeps its place until it has idled: 60 objects a second.
    ours.posting.worker_limit = 4
    ours.posting.idle_timeout = 0.05
    ours.posting.reporting_component = "together-operator"
    return ours


def in_cluster_server(environment: Mapping[str, str]) -> str:
    """Base URL of the API server by the variables that Kubernetes gives every container."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def registry(
    observers: Mapping[str, Observe],
    metrics: Metrics,
    events: KopfEvents,
    on_ready: Callable[[], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """Handlers for the kinds named by their plurals; each only hands the body on.

    Args:
        observers: take the body, and whether the event said that the object was deleted.
        on_ready: called once, when kopf starts.
    """
    handlers = kopf.OperatorRegistry()

    def tell(plural: str, observe: Observe, body: Body, *, deleted: bool = False) -> None:
        metrics.watch_events.labels(plural).inc()
        metrics.last_watch_event.labels(plural).set(time.time())
        observe(body, deleted)

    told = {plural: partial(tell, plural, observe) for plural, observe in observers.items()}
    sessions = Sessions(told)

    @kopf.on.login(registry=handlers)
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        # As `kubernetes.aio` does in app.py: the pod's service account, else the kubeconfig. Both
        # are asked again when the API server answers 401, which is how a rotated token is read.
        found = kopf.login_with_service_account(**kwargs)
        if found is not None:
            # Kopf takes the name of the API server's Service, which needs a DNS that works before
            # it does; the address is in the environment of every pod.
            found = dataclasses.replace(found, server=in_cluster_server(os.environ))
        else:
            found = kopf.login_with_kubeconfig(**kwargs)
        return sessions.of(found) if found is not None else None

    @kopf.on.startup(registry=handlers)
    async def startup(**_: Any) -> None:
        await on_ready()

    def watch(plural: str) -> None:
        @kopf.on.event(GROUP, VERSION, plural, registry=handlers, id=f"enqueue-{plural}")
        async def enqueue(event: Any, **_: Any) -> None:
            events.bind()
            told[plural](event["object"], deleted=event["type"] == "DELETED")

    for plural in observers:
        watch(plural)
    return handlers


async def run(
    handlers: kopf.OperatorRegistry,
    namespaces: Sequence[str],
    stop: asyncio.Event,
    on_spawned: Callable[[], None],
    *,
    idle_seconds: float = 70.0,
) -> None:
    """Watch until `stop` is set, or until kopf gives up, which raises its error.

    `kopf.operator` would do more than that: it cancels every task of the process that is younger
    than itself, our workers in the middle of a step included, five seconds after it was stopped.

    Args:
        on_spawned: called once kopf has put its signal handlers in the place of others.
        idle_seconds: after which a watch that delivers nothing is opened anew.
    """
    tasks = await kopf.spawn_tasks(
        registry=handlers,
        settings=settings(namespaces, idle_seconds=idle_seconds),
        clusterwide=not namespaces,
        namespaces=list(namespaces),
        stop_flag=stop,
    )
    on_spawned()
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()
