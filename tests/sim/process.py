"""One run of the operator: its real controllers on the fakes' ports."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
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
from together_operator.engine.runner import Reconcile, Settings
from together_operator.engine.store import Key, Store

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

    def glanced(self, kind: str) -> None:
        """Nothing."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None:
        """One reconcile ended."""


@dataclass
class Run:
    """What belongs to one process, and dies with it."""

    wire: Wire
    gate: FakeGate
    events: FakeEvents
    controllers: Controllers
    watches: tuple[Watch, ...]

    def start(self) -> None:
        """List, watch, and work."""
        for watch in self.watches:
            watch.start()
        self.controllers.start()

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
    )
    server = sim.servers[cluster_id]
    ports = Ports(
        models=FakeObjects(server, wire, "CustomModel"),
        deployments=FakeObjects(server, wire, "ModelDeployment"),
        secrets=FakeSecrets(sim.secrets, wire),
        config_maps=FakeConfigMaps(sim.config_maps, wire),
        jobs=FakeJobs(sim.jobs, wire),
        archives=FakeArchives(sim.stores, wire),
        hub=FakeHub(sim.stores, wire),
        events=events,
        gate=gate,
        connect=lambda key: FakeTogether(sim.platform, wire, key),
    )
    controllers = Controllers(
        ports,
        process,
        Settings(WORKERS, RESYNC, BACKOFF),
        Chance(sim.loop.now, loop.time, random.Random(f"{sim.seed} {number}")),
        NoMeter(),
        api_key=SecretStr(OPERATOR_KEY),
        worker=Worker("together-operator:sim"),
    )
    rng = random.Random(f"{sim.seed} watch {number}")
    watches = (
        Watch(server, sim.loop, "CustomModel", controllers.on_model, sim.weather, rng),
        Watch(server, sim.loop, "ModelDeployment", controllers.on_deployment, sim.weather, rng),
    )
    for runner in controllers.runners:
        runner._reconcile = _attributed(runner._reconcile, runner.store)
    return Run(wire, gate, events, controllers, watches)


def _attributed(reconcile: Reconcile, store: Store) -> Reconcile:
    """The judge is told for whom it is; a reconcile need not ask Kubernetes before it acts."""

    async def attributed(key: Key) -> Outcome:
        body = store.get(key)
        ACTING_FOR.set(body["metadata"]["uid"] if body is not None else None)
        return await reconcile(key)

    return attributed
