"""A world to run a scenario in: cluster, Together, stores, people, and processes that die."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import SecretStr

from tests.sim import logs
from tests.sim.judge import Judge
from tests.sim.process import OPERATOR_KEY, Run, new_run
from tests.support.conditions import is_ready, reason
from tests.support.fakes.api_server import ApiServer, Backup, Change, Manifest, Weather
from tests.support.fakes.kubernetes import Event, JobController, SecretVault
from tests.support.fakes.network import Call, Fault, Lags, Network, Wire
from tests.support.fakes.platform import Platform
from tests.support.fakes.stores import Stores
from tests.support.fakes.versions import Table
from tests.support.fakes.virtual_time import EPOCH, StandstillError, VirtualLoop, run
from together_operator.engine.store import Body, Key

T = TypeVar("T")
MODEL, DEPLOYMENT = "CustomModel", "ModelDeployment"
NAMESPACE = "team"
RESTART_SECONDS = 1.0
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 900.0
"""Virtual; three times the longest way that an object goes after one fault."""

Choose = Callable[[Call], Fault | None]
Script = Callable[["Simulation"], Awaitable[None]]


class PatienceError(AssertionError):
    """What was waited for did not come."""


class AbandonedError(Exception):
    """Somebody deleted everything: the rest of the scenario makes no sense any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `violations` is empty when all is well."""

    violations: tuple[str, ...]
    calls: tuple[Call, ...]
    met: tuple[tuple[Call, Fault], ...]
    seconds: float


class Simulation:
    """See the module. Everything in it follows from its arguments.

    Args:
        choose: what happens to a call.
        clusters: ids of the clusters, each with an operator, all with one API key.
        strict: judge also what only follows the protocol, besides what comes of it.
        record: keep the situation of each call.
        delete_at: number of the call at which somebody deletes everything.
    """

    def __init__(
        self,
        seed: str,
        choose: Choose = lambda _: None,
        weather: Weather | None = None,
        clusters: Sequence[str] = ("cluster-a",),
        *,
        strict: bool = True,
        record: bool = False,
        delete_at: int | None = None,
    ) -> None:
        self.seed = seed
        self.weather = weather or Weather()
        self.loop = VirtualLoop()
        self.rng = random.Random(seed)
        self._choose = choose
        self._record = record
        self._delete_at = delete_at
        self._scripted = True
        self.abandoned = False
        self.network = Network(self.loop, self.rng, self._chosen, Lags(), self._kill, self._oust)
        self.situations: list[str] = []
        """What there was when each call was made, without times and ids."""

        self.servers = {name: ApiServer(self.loop, f"{name}-") for name in clusters}
        self.stores = Stores(self.loop)
        self.secrets = SecretVault()
        self.config_maps: dict[tuple[str, str], Mapping[str, Any]] = {}
        self.secrets.values.add(OPERATOR_KEY)
        self.jobs = JobController(
            self.loop, self.stores, lambda uid: any(s.by_uid(uid) for s in self.servers.values())
        )
        self.platform = Platform(self.loop.time, EPOCH, self.stores.fetch, keys={OPERATOR_KEY})
        self.other_projects: dict[str, Platform] = {}
        """By their API keys."""

        self.events: list[Event] = []
        self.logs: list[str] = []
        self.prelude = 0
        """Number of calls that only lead to what a scenario is about."""

        self.judge = Judge(self, strict=strict)
        self.runs: dict[str, Run] = {}
        self._past: list[Run] = []
        self.started = 0
        self.people_act = False
        """True while a person writes: the operator's rules do not bind people."""

        for server in self.servers.values():
            server.observers += [self._collect, self.judge.on_change]
        self.platform.observers.append(self.judge.on_write)

    @property
    def server(self) -> ApiServer:
        """The first cluster's API server."""
        return next(iter(self.servers.values()))

    def platform_of(self, key: SecretStr) -> Platform:
        """Together as an API key shows it."""
        return self.other_projects.get(key.get_secret_value(), self.platform)

    def add_project(self, slug: str, key: str) -> Platform:
        """Another project at Together, with its key; what is in it is not judged."""
        other = Platform(self.loop.time, EPOCH, self.stores.fetch, keys={key})
        other.slug, other.project_id = slug, f"proj_{slug}"
        self.other_projects[key] = other
        self.secrets.values.add(key)
        return other

    def run(self, script: Script) -> Outcome:
        """Run a scenario to its end, then delete everything, and see that nothing is left."""
        with logs.kept_in(self.logs):
            try:
                run(self.loop, self._main(script))
            except (PatienceError, StandstillError) as error:
                self.judge.violations.append(str(error))
        self.judge.on_end()
        network = self.network
        return Outcome(
            tuple(dict.fromkeys(self.judge.violations)),
            tuple(network.calls),
            tuple(network.met),
            self.loop.time(),
        )

    async def _main(self, script: Script) -> None:
        for cluster in self.servers:
            self._start(cluster)
        with contextlib.suppress(AbandonedError):
            await script(self)
        if self.abandoned:
            self.platform.keys |= self.secrets.values  # a revoked key holds up a deletion for good
        self._scripted = self.abandoned = False
        await self.all_gone()

    def _chosen(self, call: Call) -> Fault | None:
        if call.number == self._delete_at:
            self.abandoned = self._scripted
            self._delete_all()
        if self._record:
            self.situations.append(self._situation())
        return self._choose(call)

    def _situation(self) -> str:
        objects = [
            (
                body["kind"],
                body["metadata"].get("finalizers"),
                "deletionTimestamp" in body["metadata"],
                body["spec"],
                _timeless(body.get("status", {})),
            )
            for server in self.servers.values()
            for body in server.all()
        ]
        platform = self.platform
        remote = [
            *(job.state for job in platform.imports.at(self.loop.time())),
            *(d.state for d in platform.deployments.at(self.loop.time())),
            *(e.bare_name for e in platform.endpoints.at(self.loop.time())),
            *(m.bare_name for m in platform.models.at(self.loop.time())),
        ]
        return repr((objects, remote, self.network.in_flight))

    # Processes.

    def _start(self, cluster: str) -> None:
        self.started += 1
        self.runs[cluster] = new_run(self, self.started, cluster)
        self._past.append(self.runs[cluster])
        self.runs[cluster].start()

    def _run_of(self, wire: Wire) -> tuple[str, Run] | None:
        return next(((c, r) for c, r in self.runs.items() if r.wire is wire), None)

    def _kill(self, wire: Wire) -> None:
        found = self._run_of(wire)
        if found is None:
            wire.dead = True  # it was replaced before
            return
        cluster, run_ = found
        run_.kill()
        self.loop.call_later(RESTART_SECONDS, self._start, cluster)

    def restart(self) -> None:
        """Kill every process, as people do who change the operator's image."""
        for run_ in list(self.runs.values()):
            if not run_.wire.dead:  # else one is about to start anyway
                self._kill(run_.wire)

    def _oust(self, wire: Wire) -> None:
        """The Lease is lost while a call hangs: another process starts, the old one lives on."""
        found = self._run_of(wire)
        if found is None:
            return
        cluster, run_ = found
        run_.gate.held = False
        self.loop.call_later(RESTART_SECONDS, self._start, cluster)
        self.loop.call_later(self.network.lags.slow + 5.0, run_.kill)

    def _collect(self, change: Change) -> None:
        if change.after is None and change.before is not None:
            self.jobs.collect(change.before["metadata"]["uid"])

    # People.

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """Somebody creates objects."""
        self._go_on()
        for manifest in manifests:
            self.server.create(manifest)

    def set_up(self) -> None:
        """What came before is what other scenarios are about: they are disturbed there."""
        self.prelude = len(self.network.calls)

    def edit(self, kind: str, name: str, change: Callable[[Manifest], None]) -> None:
        """Somebody edits an object, whatever the operator thinks of it."""
        self._go_on()
        self.people_act = True
        try:
            self.server.edit(kind, Key(NAMESPACE, name), change)
        finally:
            self.people_act = False

    def set_spec(self, kind: str, name: str, **fields: Any) -> None:
        """Somebody sets fields of a spec."""
        self.edit(kind, name, lambda body: body["spec"].update(fields))

    def delete(self, kind: str, name: str) -> None:
        """Somebody deletes an object; one that is gone is fine."""
        if self.server.get(kind, Key(NAMESPACE, name)) is not None:
            self.server.delete(kind, Key(NAMESPACE, name))

    def get(self, kind: str, name: str) -> Body | None:
        """The live object."""
        return self.server.get(kind, Key(NAMESPACE, name))

    def status(self, kind: str, name: str) -> Mapping[str, Any]:
        """The live object's status; empty when there is none."""
        body = self.get(kind, name)
        return body.get("status", {}) if body is not None else {}

    def vanish(self, table: Table[T], id_: str) -> None:
        """Somebody deletes a thing at Together, by other means than ours."""
        row = table.row(id_)
        if row is not None and row.current is not None:
            self.platform.advance()
            row.put(self.loop.time(), None)
            self._forget_traffic(id_)

    def _forget_traffic(self, deployment_id: str) -> None:
        for _, row in self.platform.endpoints.live():
            endpoint = row.current
            if endpoint is not None and any(
                share.deployment_id == deployment_id for share in endpoint.traffic
            ):
                rest = tuple(s for s in endpoint.traffic if s.deployment_id != deployment_id)
                row.put(self.loop.time(), replace(endpoint, traffic=rest))

    def restore(self, kind: str, name: str) -> None:
        """An object is lost with its cluster, and comes back from a backup with its old status."""
        self._go_on()
        body = self.server.get(kind, Key(NAMESPACE, name))
        assert body is not None
        self.judge.lose(body["metadata"]["uid"])
        self.people_act = True
        try:
            self.server.edit(
                kind, Key(NAMESPACE, name), lambda lost: lost["metadata"].update(finalizers=[])
            )
            self.server.delete(kind, Key(NAMESPACE, name))
            metadata = {k: body["metadata"][k] for k in ("name", "namespace", "finalizers")}
            new = self.server.create({**body, "metadata": metadata})
            self.server.write_status(kind, new, body["status"])
        finally:
            self.people_act = False

    def restore_etcd(self, backup: Backup) -> None:
        """The cluster's etcd comes back from a backup; objects that are younger are lost."""
        self._go_on()
        kept = {body["metadata"]["uid"] for body in backup.values()}
        for body in self.server.all():
            if body["metadata"]["uid"] not in kept:
                self.judge.lose(body["metadata"]["uid"])
        self.server.restore(backup)

    def reason(self, kind: str, key: Key) -> str:
        """Reason of an object's Ready condition."""
        return reason(self.server.get(kind, key))

    # Waiting.

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)
        self._go_on()

    async def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something; PatienceError when it does not come."""
        deadline = self.loop.time() + PATIENCE_SECONDS
        while not done():
            self._go_on()
            if self.loop.time() > deadline:
                raise PatienceError(f"never came: {what}; there is {self._there()}")
            await asyncio.sleep(LOOK_SECONDS)

    async def ready(self, kind: str, name: str) -> None:
        """Wait until an object is ready for its newest generation, and check that it is true."""
        await self.until(lambda: self.is_ready(kind, name), f"{kind} {name} ready")
        self._go_on()
        self.judge.check_truth(kind, name)

    def is_ready(self, kind: str, name: str) -> bool:
        """Whether an object says that it is ready, for its newest generation."""
        body = self.get(kind, name)
        return body is not None and is_ready(body)

    async def shows(self, kind: str, name: str, wanted: str) -> None:
        """Wait until an object's Ready condition has a reason."""
        await self.until(lambda: reason(self.get(kind, name)) == wanted, f"{kind} {name} {wanted}")

    async def gone(self, kind: str, name: str) -> None:
        """Wait until an object is gone."""
        await self.until(lambda: self.get(kind, name) is None, f"{kind} {name} gone")

    async def all_gone(self) -> None:
        """Delete what is left, wait for it, and for whatever is still on its way."""
        self._delete_all()
        await self.until(
            lambda: not any(server.all() for server in self.servers.values()), "everything gone"
        )
        await asyncio.sleep(self.network.lags.commit + self.network.lags.slow)

    def _delete_all(self) -> None:
        for server in self.servers.values():
            for body in server.all():
                metadata = body["metadata"]
                server.delete(body["kind"], Key(metadata["namespace"], metadata["name"]))

    def _go_on(self) -> None:
        if self.abandoned:
            raise AbandonedError

    def _there(self) -> str:
        bodies = [body for server in self.servers.values() for body in server.all()]
        return "; ".join(
            f"{b['kind']} {b['metadata']['name']} (generation {b['metadata']['generation']}"
            f"{', deleting' if 'deletionTimestamp' in b['metadata'] else ''}): {b.get('status')}"
            for b in bodies
        )


_UNSTABLE = frozenset(
    {
        "lastTransitionTime",
        "since",
        "nextAttemptTime",
        "startedAt",
        "id",
        "jobID",
        "holder",
        "revision",
        "message",
        "text",
        "percent",
        "observedGeneration",
    }
)


def _timeless(value: Any) -> Any:
    """A status without what differs from run to run."""
    if isinstance(value, Mapping):
        return {k: _timeless(v) for k, v in value.items() if k not in _UNSTABLE}
    if isinstance(value, list):
        return [_timeless(v) for v in value]
    return value
