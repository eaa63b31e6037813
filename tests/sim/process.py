"""One run of the operator: its real controllers on the fakes' ports."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from tests.support.fakes.api_server import Watch
from tests.support.fakes.kubernetes import (
    FakeConfigMaps,
    FakeEvents,
    FakeGate,
    FakeJobs,
    FakeObjects,
    FakeSecrets,
)
from tests.support.fakes.network import ACTING_FOR, Wire
from tests.support.fakes.stores import FakeArchives, FakeHub
from tests.support.fakes.together import FakeTogether
from together_operator.controllers import Chance, Controllers, Ports
from together_operator.domain.archive_manifest import Worker
from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import Outcome
from together_operator.domain.plan import Process
from together_operator.engine.runner import LATEST, Reconcile, Settings
from together_operator.engine.store import Key, Store
from together_operator.reconcilers.roll_call import RollCall

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

BACKOFF = Backoff(base=1.0, cap=20.0)
SETTLE = 9.0
"""Longer than the network's lags together: 4 s until a lost request commits, 3 s of staleness."""

POLL = 5.0
RESYNC = 60.0
WORKERS = 2
OPERATOR_KEY = "key-of-the-operator"


class NoMeter:
    """Measures nothing."""

    def glanced(self, kind: str, number: int) -> None:
        """Nothing."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None:
        """One reconcile ended."""

    def missed(self, kind: str, number: int) -> None:
        """The watch had not told of so many changes."""


@dataclass
class Run:
    """What belongs to one process, and dies with it."""

    wire: Wire
    gate: FakeGate
    events: FakeEvents
    controllers: Controllers
    watches: tuple[Watch, ...]
    roll_calls: tuple[RollCall, ...]
    _comparing: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """List, watch, and work."""
        for watch in self.watches:
            watch.start()
        self.controllers.start()
        self._comparing = [asyncio.ensure_future(calls.run(RESYNC)) for calls in self.roll_calls]

    def kill(self) -> None:
        """As with SIGKILL: nothing more is sent, stored or seen; what was sent is on its way."""
        self.wire.dead = True
        self.gate.held = False
        for watch in self.watches:
            watch.close()
        for runner in self.controllers.runners:
            runner.queue.shut_down()
            for task in runner._tasks:
                task.cancel()
        for task in self._comparing:
            task.cancel()


def new_run(sim: Simulation, number: int, cluster_id: str = "cluster-a") -> Run:
    """A process that is about to start, in the world of a simulation."""
    loop: asyncio.AbstractEventLoop = sim.loop
    wire, gate, events = Wire(sim.network), FakeGate(), FakeEvents()
    events.published = sim.events
    process = Process(
        cluster_id=cluster_id,
        holder=f"{cluster_id}-run-{number}",
        started=sim.loop.now(),
        settle=SETTLE,
        poll=POLL,
        backoff=BACKOFF,
        calm=(1 - LATEST) * RESYNC,
    )
    server = sim.servers[cluster_id]
    models = FakeObjects(server, wire, "CustomModel")
    deployments = FakeObjects(server, wire, "ModelDeployment")
    meter = NoMeter()
    ports = Ports(
        models=models,
        deployments=deployments,
        secrets=FakeSecrets(sim.secrets, wire),
        config_maps=FakeConfigMaps(sim.config_maps, wire),
        jobs=FakeJobs(sim.jobs, wire),
        archives=FakeArchives(sim.stores, wire),
        hub=FakeHub(sim.stores, wire),
        events=events,
        gate=gate,
        connect=lambda key: FakeTogether(sim.platform_of(key), wire, key),
    )
    controllers = Controllers(
        ports,
        process,
        Settings(WORKERS, RESYNC, BACKOFF),
        Chance(sim.loop.now, loop.time, random.Random(f"{sim.seed} {number}")),
        meter,
        own_key=lambda: SecretStr(OPERATOR_KEY),
        worker=Worker("together-operator:sim"),
    )
    rng = random.Random(f"{sim.seed} watch {number}")
    told = (
        (models, controllers.models, controllers.on_model),
        (deployments, controllers.deployments, controllers.on_deployment),
    )
    watches = tuple(
        Watch(server, sim.loop, objects.kind, tell, sim.weather, rng) for objects, _, tell in told
    )
    roll_calls = tuple(
        RollCall(objects.kind, objects, store, tell, meter) for objects, store, tell in told
    )
    for runner in controllers.runners:
        runner._reconcile = _attributed(runner._reconcile, runner.store)
    return Run(wire, gate, events, controllers, watches, roll_calls)


def _attributed(reconcile: Reconcile, store: Store) -> Reconcile:
    """The judge is told for whom it is; a reconcile need not ask Kubernetes before it acts."""

    async def attributed(key: Key) -> Outcome:
        body = store.get(key)
        ACTING_FOR.set(body["metadata"]["uid"] if body is not None else None)
        return await reconcile(key)

    return attributed
