"""Composition root: builds everything and knows everyone. Nothing here decides anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import structlog
import uvloop
from kubernetes.aio import client

from together_operator.adapters.discovery import require_kinds
from together_operator.adapters.hub import HuggingFaceHub
from together_operator.adapters.inspector import SourceInspector
from together_operator.adapters.jobs import KubeJobs
from together_operator.adapters.kube import KubeConfigMaps, KubeObjects, KubeSecrets, cluster_id
from together_operator.adapters.rest import KubeRest
from together_operator.adapters.s3 import S3Archives
from together_operator.adapters.together import connector
from together_operator.adapters.together_v2 import connections
from together_operator.config import Config, ConfigError
from together_operator.controllers import (
    CUSTOM_MODELS,
    MODEL_DEPLOYMENTS,
    Chance,
    Controllers,
    Ports,
    limits_of,
)
from together_operator.domain.archive_manifest import Certificates, Worker
from together_operator.domain.backoff import Backoff
from together_operator.domain.errors import NotFound, OperatorError
from together_operator.domain.plan import Process
from together_operator.engine.runner import LATEST, Runner, Settings
from together_operator.reconcilers.orphans import Comparison, OrphanWatch
from together_operator.reconcilers.roll_call import RollCall
from together_operator.shell import watch
from together_operator.shell.connection import direct, load_kube_config
from together_operator.shell.health import HealthServer
from together_operator.shell.lease import LeaseGate
from together_operator.telemetry import Metrics

log = structlog.get_logger(__name__)

T = TypeVar("T")

STUCK_SECONDS = 120.0
"""Keys that wait for so long while no worker takes or finishes any fail the liveness probe."""

HELD_SECONDS = 900.0
"""So does a worker that takes so long for one key. A look at its source ends after 300 s
(`reconcilers.sources.LOOK_SECONDS`), a call to Together after 60 s, one to Kubernetes after 30 s.
"""

PREPARE_SECONDS = 1.0
"""Between tries to read what has to be known at the start."""

MAX_THREADS = 16
"""Threads for boto3 and huggingface_hub, which have no asynchronous interface."""


GC_THRESHOLDS = 50_000, 20, 20
"""Containers until the garbage collector looks at them, and how often it looks at older ones."""


class LeaseLostError(Exception):
    """Another process may act now: this one ends, to be started anew."""


@dataclass(frozen=True, slots=True)
class Connections:
    """What is open for the whole run."""

    api: client.ApiClient
    http: httpx.AsyncClient
    threads: ThreadPoolExecutor


class Operator:
    """One run of the operator."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.metrics = Metrics()
        self.stop = asyncio.Event()
        self.events = watch.KopfEvents()
        self.runners: tuple[Runner, ...] = ()
        self.orphans: OrphanWatch | None = None
        self.roll_calls: tuple[RollCall, ...] = ()
        self._controllers: Controllers | None = None
        self._watching = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until the Lease or kopf is lost."""
        self._stop_on_signals()
        await load_kube_config()
        with ThreadPoolExecutor(MAX_THREADS, "blocking") as threads:
            # The Lease has a connection of its own: it is renewed however much there is to do.
            async with client.ApiClient(direct()) as of_lease, client.ApiClient(direct()) as api:
                gate = self._gate(of_lease)
                async with connections(gate.is_held) as http:
                    await self._serve(Connections(api, http, threads), gate)
        log.info("stopped")

    async def _serve(self, outside: Connections, gate: LeaseGate) -> None:
        health = HealthServer(self.metrics, self._alive, lambda: self._ready(gate), self._refresh)
        try:
            await health.start(self.config.http_port)
        except OSError as error:
            port, reason = self.config.http_port, os.strerror(error.errno or 0)
            raise ConfigError(
                f"TOGETHER_OPERATOR_HTTP_PORT={port} can't be listened on: {reason}"
            ) from None
        log.info("started", http_port=health.port, identity=self.config.identity)
        # Before the Lease is there: where CPU is short, loading it afterwards kept the event loop
        # from renewing in time.
        await asyncio.to_thread(_preload)
        try:
            await self._run(outside, gate)
        finally:
            await gate.release()
            await health.stop()

    async def _run(self, outside: Connections, gate: LeaseGate) -> None:
        acquired, drained = asyncio.Event(), asyncio.Event()
        election = asyncio.create_task(gate.run(acquired.set), name="lease")
        stopping = asyncio.create_task(self.stop.wait(), name="stop")
        waiting = asyncio.create_task(acquired.wait(), name="acquire")
        tasks: set[asyncio.Task[Any]] = {election, stopping, waiting}
        watching: set[asyncio.Task[Any]] = set()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if acquired.is_set() and not self.stop.is_set():
            self.metrics.leader.set(1)
            building = asyncio.create_task(self._build(outside, gate), name="build")
            # A Lease that is late for a moment may be renewed yet: only its end ends this.
            await asyncio.wait({election, stopping, building}, return_when=asyncio.FIRST_COMPLETED)
            tasks.add(building)
            if building.done():
                controllers = building.result()
                self.runners = controllers.runners
                self._controllers = controllers
                watching = {asyncio.create_task(self._watch(controllers, drained), name="kopf")}
                tasks |= self._comparing()
            await asyncio.wait({election, stopping, *watching}, return_when=asyncio.FIRST_COMPLETED)
        lost = election.done()
        self.stop.set()
        self.metrics.leader.set(0)
        await asyncio.gather(*(runner.stop() for runner in self.runners))
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        # Nothing acts any more: the next process need not wait for kopf's end.
        await gate.release()
        drained.set()
        ended += await asyncio.gather(*watching, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        if lost:
            raise LeaseLostError

    def _comparing(self) -> set[asyncio.Task[Any]]:
        tasks = {
            asyncio.create_task(calls.run(self.config.resync_seconds), name="roll call")
            for calls in self.roll_calls
        }
        period = self.config.orphans_seconds
        if period and self.orphans is not None:
            tasks.add(asyncio.create_task(self.orphans.run(period), name="orphans"))
        return tasks

    async def _watch(self, controllers: Controllers, stop: asyncio.Event) -> None:
        observers = {
            CUSTOM_MODELS: controllers.on_model,
            MODEL_DEPLOYMENTS: controllers.on_deployment,
        }

        async def on_ready() -> None:
            self._watching = True
            controllers.start()

        handlers = watch.registry(observers, self.metrics, self.events, on_ready)
        await watch.run(
            handlers,
            self.config.namespaces,
            stop,
            self._stop_on_signals,
            idle_seconds=self.config.watch_idle_seconds,
        )

    def _stop_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)

    def _gate(self, api: client.ApiClient) -> LeaseGate:
        config = self.config
        return LeaseGate(
            KubeRest(api),
            config.lease_namespace,
            config.lease_name,
            config.identity,
            config.lease_seconds,
        )

    async def _build(self, outside: Connections, gate: LeaseGate) -> Controllers:
        api, threads = outside.api, outside.threads
        config, rng = self.config, random.Random()  # noqa: S311 - jitter, no secret
        backoff = Backoff(base=min(1.0, config.retry_max_seconds), cap=config.retry_max_seconds)
        cluster = config.cluster_id
        if not cluster:
            cluster = await self._read("the cluster's identity", lambda: cluster_id(api))
        process = Process(
            cluster_id=cluster,
            holder=f"{config.identity}-{rng.randrange(16**6):06x}",
            started=_now(),
            settle=config.settle_seconds,
            poll=config.poll_seconds,
            backoff=backoff,
            calm=(1 - LATEST) * config.resync_seconds,
            base_url=str(config.base_url).rstrip("/"),
        )

        hub_endpoint = str(config.hub_endpoint).rstrip("/")
        hub = HuggingFaceHub(hub_endpoint, threads)
        models, deployments = (
            KubeObjects(api, plural, config.namespaces)
            for plural in (CUSTOM_MODELS, MODEL_DEPLOYMENTS)
        )
        for plural in (CUSTOM_MODELS, MODEL_DEPLOYMENTS):
            self.metrics.missed(plural, 0)  # a rate needs a first point
        ports = Ports(
            models=models,
            deployments=deployments,
            secrets=KubeSecrets(api),
            config_maps=KubeConfigMaps(api),
            jobs=KubeJobs(api, min(5.0, config.poll_seconds), time.monotonic),
            archives=S3Archives(threads, config.addresses),
            hub=hub,
            events=self.events,
            gate=gate,
            connect=connector(config, outside.http, self.metrics.api_call),
            inspector=SourceInspector(hub_endpoint, threads, config.addresses),
        )
        controllers = Controllers(
            ports,
            process,
            Settings(config.workers, config.resync_seconds, backoff),
            Chance(_now, time.monotonic, rng),
            self.metrics,
            own_key=config.own_key,
            worker=worker_of(config),
            source_seconds=config.source_seconds,
            limits=limits_of(config),
        )
        comparison = Comparison(
            *(controllers.accounts, models, deployments, process.cluster_id), config.namespaces
        )
        self.orphans = OrphanWatch(comparison, gate, self.events, self.metrics, gate.reference)
        self.roll_calls = (
            RollCall(
                *(CUSTOM_MODELS, models, controllers.models, controllers.on_model, self.metrics)
            ),
            RollCall(
                MODEL_DEPLOYMENTS,
                deployments,
                controllers.deployments,
                controllers.on_deployment,
                self.metrics,
            ),
        )
        await self._prepare(controllers, api)
        return controllers

    async def _prepare(self, controllers: Controllers, api: client.ApiClient) -> None:
        """Learn what objects reserve."""
        kinds, served = (CUSTOM_MODELS, MODEL_DEPLOYMENTS), self.config.namespaces
        if served:
            # Kopf looks for CRDs only once where it serves some namespaces (`watch.settings`).
            await self._read("the CRDs", lambda: require_kinds(api, kinds, served))
        with contextlib.suppress(NotFound):  # no CRD, so no objects
            await self._read("what objects reserve", controllers.prepare)

    @staticmethod
    async def _read(what: str, read: Callable[[], Awaitable[T]]) -> T:
        """Try until it succeeds: an API server that starts, or rights that come, are no failure.

        Raises:
            NotFound: there is no such thing.
        """
        said = ""
        while True:
            try:
                return await read()
            except NotFound:
                raise
            except OperatorError as error:
                if str(error) != said:
                    log.warning("can't be read yet", what=what, error=(said := str(error)))
                await asyncio.sleep(PREPARE_SECONDS)

    def _alive(self) -> str | None:
        bounds = STUCK_SECONDS, HELD_SECONDS
        stuck = [runner.kind for runner in self.runners if runner.is_stuck(*bounds)]
        return f"no progress: {', '.join(stuck)}" if stuck else None

    def _ready(self, gate: LeaseGate) -> str | None:
        if not self._watching:
            return "not watching yet"
        return None if gate.is_held() else "does not hold the Lease"

    def _refresh(self) -> None:
        for runner in self.runners:
            self.metrics.queue_depth.labels(runner.kind).set(len(runner.queue))
            self.metrics.objects.labels(runner.kind).set(len(runner.store))
        if self._controllers is not None:
            self.metrics.spent(self._controllers.spending.take_bills(_now()))


def _preload() -> None:
    """Import what the first objects need, and keep the garbage collector from it for good: walking
    it held the event loop for 0.15 s again and again.

    A page of 500 objects is 50,000 containers, none of which is garbage: with Python's threshold of
    700 the collector looked for it 70 times, which was a third of the time to decode the page.
    """
    gc.disable()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        HuggingFaceHub.preload()
        SourceInspector.preload()
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


def worker_of(config: Config) -> Worker:
    """What archive Jobs are made of."""
    proxies = {
        "HTTP_PROXY": config.http_proxy,
        "HTTPS_PROXY": config.https_proxy,
        "NO_PROXY": config.no_proxy,
    }
    bundle = Certificates(
        config.archive_ca_config_map, config.archive_ca_secret, config.archive_ca_key
    )
    return Worker(
        config.archive_image,
        str(config.hub_endpoint).rstrip("/"),
        config.addresses,
        {name: value for name, value in proxies.items() if value},
        bundle if bundle.config_map or bundle.secret else None,
    )


def _now() -> datetime:
    return datetime.now(UTC)


def run(config: Config) -> None:
    """Run the operator until it is told to stop."""

    async def main() -> None:
        await Operator(config).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main())
        except LeaseLostError:
            raise SystemExit(1) from None
