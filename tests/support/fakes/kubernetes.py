"""The ports of one process to Kubernetes: objects, Secrets, Jobs, events, and the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr

from tests.support.fakes.api_server import ApiServer
from tests.support.fakes.network import ACTING_FOR, Wire
from tests.support.fakes.stores import Stores
from tests.support.fakes.virtual_time import VirtualLoop
from together_operator.api.v1alpha1 import ArchiveStatus, Progress
from together_operator.domain import errors
from together_operator.domain.archive_job import OWNER_LABEL, JobFacts, JobState
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.engine.store import Body, Key, key_of


class FakeObjects:
    """`Objects` of one kind. Whoever reads or writes an object acts on its behalf from then on."""

    def __init__(self, server: ApiServer, wire: Wire, kind: str) -> None:
        self._server = server
        self._wire = wire
        self.kind = kind

    async def get(self, key: Key) -> Body | None:
        """The live object, or None."""
        body = await self._wire.read("kubernetes.get", lambda _: self._server.get(self.kind, key))
        if body is not None:
            ACTING_FOR.set(body["metadata"]["uid"])
        return body

    async def list(self) -> Sequence[Body]:
        """All objects."""
        return await self._wire.read("kubernetes.list", lambda _: list(self._server.all(self.kind)))

    async def versions(self) -> Mapping[Key, int]:
        """The resourceVersion of each."""
        return await self._wire.read("kubernetes.versions", lambda _: self._versions())

    def _versions(self) -> Mapping[Key, int]:
        return {
            key_of(body): int(body["metadata"]["resourceVersion"])
            for body in self._server.all(self.kind)
        }

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status."""
        ACTING_FOR.set(body["metadata"]["uid"])
        return await self._wire.write(
            "kubernetes.write_status",
            lambda: self._server.write_status(self.kind, body, status),
            errors.Unavailable,
        )

    async def delete(self, key: Key, uid: str) -> None:
        """Ask for the deletion of the object with that UID."""

        def effect() -> None:
            body = self._server.get(self.kind, key)
            if body is not None and body["metadata"]["uid"] == uid:
                self._server.delete(self.kind, key)

        await self._wire.write("kubernetes.delete", effect, errors.Unavailable)

    async def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        """Replace the finalizers."""
        ACTING_FOR.set(body["metadata"]["uid"])
        return await self._wire.write(
            "kubernetes.set_finalizers",
            lambda: self._server.set_finalizers(self.kind, body, finalizers),
            errors.Unavailable,
        )


class SecretVault:
    """Secrets by namespace and name; a value that was ever in it is remembered as secret."""

    def __init__(self) -> None:
        self._secrets: dict[tuple[str, str], dict[str, SecretStr]] = {}
        self.values: set[str] = set()

    def put(self, namespace: str, name: str, values: Mapping[str, str]) -> None:
        """Create or replace a Secret."""
        self._secrets[namespace, name] = {k: SecretStr(v) for k, v in values.items()}
        self.values |= set(values.values())

    def remove(self, namespace: str, name: str) -> None:
        """Delete a Secret."""
        self._secrets.pop((namespace, name), None)

    def clear(self, namespace: str) -> None:
        """The namespace goes."""
        self._secrets = {k: v for k, v in self._secrets.items() if k[0] != namespace}

    def get(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """All keys of a Secret."""
        found = self._secrets.get((namespace, name))
        if found is None:
            raise errors.SecretUnavailable(name, None, "there is no such Secret here")
        return dict(found)


class FakeConfigMaps:
    """`ConfigMaps`, in a dictionary by namespace and name."""

    def __init__(self, there: dict[tuple[str, str], Mapping[str, Any]], wire: Wire) -> None:
        self._there = there
        self._wire = wire

    async def read(self, namespace: str, name: str, owner_uid: str) -> PublishedMap | None:
        """The ConfigMap."""

        def answer(_: float) -> PublishedMap | None:
            found = self._there.get((namespace, name))
            return None if found is None else PublishedMap(found["data"], _owns(owner_uid, found))

        return await self._wire.read("configmaps.read", answer)

    async def write(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create or replace it."""
        key = (namespace, manifest["metadata"]["name"])
        uid = manifest["metadata"]["ownerReferences"][0]["uid"]

        def effect() -> None:
            found = self._there.get(key)
            if found is not None and not _owns(uid, found):
                raise errors.Conflict(f"ConfigMap {key[1]} is not this object's")
            self._there[key] = manifest

        await self._wire.write("configmaps.write", effect, errors.Unavailable)

    async def delete(self, namespace: str, name: str, owner_uid: str) -> None:
        """Delete it, if it is the owner's."""

        def effect() -> None:
            found = self._there.get((namespace, name))
            if found is not None and _owns(owner_uid, found):
                del self._there[namespace, name]

        await self._wire.write("configmaps.delete", effect, errors.Unavailable)


def _owns(uid: str, found: Mapping[str, Any]) -> bool:
    return any(o["uid"] == uid for o in found["metadata"].get("ownerReferences", ()))


class FakeSecrets:
    """`Secrets`."""

    def __init__(self, vault: SecretVault, wire: Wire) -> None:
        self._vault = vault
        self._wire = wire

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """All keys of a Secret."""
        return await self._wire.read("secrets.read", lambda _: self._vault.get(namespace, name))


@dataclass
class Job:
    """An archive Job. `ends` is when its pod is done, unless it is deleted before."""

    name: str
    namespace: str
    owner: str
    source: str
    destination: str
    begun: float
    ends: float
    fails: str = ""
    deleted: float | None = None


class JobController:
    """Runs Jobs: each takes its time, and leaves an archive in the store.

    Args:
        is_there: whether an object with a UID exists; Jobs of others are garbage.
    """

    SECONDS = 6.0
    DELETION_SECONDS = 1.5

    def __init__(
        self, loop: VirtualLoop, stores: Stores, is_there: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._loop = loop
        self._is_there = is_there
        self._stores = stores
        self.jobs: dict[tuple[str, str], Job] = {}
        self.failures: list[str] = []
        """What the next Jobs fail with; empty words let one succeed."""

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Start a Job; one of that name is fine."""
        metadata = manifest["metadata"]
        key = (metadata["namespace"], metadata["name"])
        self.sweep()
        if key in self.jobs:
            return
        command = manifest["spec"]["template"]["spec"]["containers"][0]["command"]
        now = self._loop.time()
        self.jobs[key] = Job(
            name=metadata["name"],
            namespace=metadata["namespace"],
            owner=metadata["labels"][OWNER_LABEL],
            source=command[2],
            destination=command[3],
            begun=now,
            ends=now + self.SECONDS,
            fails=self.failures.pop(0) if self.failures else "",
        )
        self._loop.call_later(self.SECONDS, self._end, key)
        if not self._is_there(self.jobs[key].owner):
            self.collect(self.jobs[key].owner)

    def delete(self, namespace: str, name: str) -> None:
        """Begin to delete a Job; its pod ends first."""
        job = self.jobs.get((namespace, name))
        if job is not None and job.deleted is None:
            job.deleted = self._loop.time()

    def collect(self, uid: str) -> None:
        """An owner is gone: its Jobs go, too."""
        for job in self.jobs.values():
            if job.owner == uid and job.deleted is None:
                job.deleted = self._loop.time()

    def sweep(self) -> None:
        """Forget Jobs whose deletion is over."""
        now = self._loop.time()
        for key, job in list(self.jobs.items()):
            if job.deleted is not None and now >= job.deleted + self.DELETION_SECONDS:
                del self.jobs[key]

    def running(self, uid: str) -> list[Job]:
        """Jobs of an owner whose pods run and are not told to end."""
        now = self._loop.time()
        self.sweep()
        jobs = self.jobs.values()
        return [j for j in jobs if j.owner == uid and j.deleted is None and now < j.ends]

    def find(self, namespace: str, owner: str, name: str) -> JobFacts | None:
        """As `KubeJobs.find`: the Job of that name, else one of the owner's that runs."""
        self.sweep()
        mine = [j for j in self.jobs.values() if j.namespace == namespace and j.owner == owner]
        wanted = [job for job in mine if job.name == name]
        for job in wanted or mine:
            facts = self._facts(job)
            if wanted or facts.state is JobState.RUNNING:
                return facts
        return None

    def _end(self, key: tuple[str, str]) -> None:
        job = self.jobs.get(key)
        if job is not None and job.deleted is None and not job.fails:
            self._stores.put(self._archive(job), size=10_000)

    def _archive(self, job: Job) -> str:
        return f"{job.destination}{self._stores.digest(job.source)}.zip"

    def _facts(self, job: Job) -> JobFacts:
        deleting, now = job.deleted is not None, self._loop.time()
        if now < job.ends or deleting:
            share = int(100 * min(1.0, (now - job.begun) / self.SECONDS))
            progress = Progress(stage="Archive", percent=share, text=f"{share}%")
            return JobFacts(job.name, JobState.RUNNING, deleting=deleting, progress=progress)
        if job.fails:
            final = job.fails.startswith("final")
            return JobFacts(job.name, JobState.FAILED, job.fails, is_final=final)
        result = ArchiveStatus(uri=self._archive(job), format="zip", size_bytes=10_000)
        return JobFacts(job.name, JobState.SUCCEEDED, result=result)


class FakeJobs:
    """`Jobs`."""

    def __init__(self, controller: JobController, wire: Wire) -> None:
        self._controller = controller
        self._wire = wire

    async def find(self, namespace: str, owner_uid: str, name: str) -> JobFacts | None:
        """The Job `name` of that owner, else one of the owner's that runs."""
        facts = await self._wire.read(
            "jobs.find", lambda _: self._controller.find(namespace, owner_uid, name)
        )
        return replace(facts) if facts is not None else None

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job."""
        await self._wire.write(
            "jobs.create", lambda: self._controller.create(manifest), errors.Unavailable
        )

    async def delete(self, namespace: str, name: str) -> None:
        """Delete a Job."""
        await self._wire.write(
            "jobs.delete", lambda: self._controller.delete(namespace, name), errors.Unavailable
        )


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event."""

    uid: str
    warning: bool
    reason: str
    message: str


class FakeEvents:
    """`Events`."""

    def __init__(self) -> None:
        self.published: list[Event] = []

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        """Keep an event."""
        self.published.append(Event(body["metadata"]["uid"], warning, reason, message))


class FakeGate:
    """`Gate`: held until it is taken away."""

    def __init__(self) -> None:
        self.held = True

    def is_held(self) -> bool:
        """Whether this process may act."""
        return self.held
