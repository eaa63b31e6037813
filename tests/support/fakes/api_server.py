"""A tiny Kubernetes API server for our kinds: versions, generations, finalizers, a watch."""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.fakes.virtual_time import VirtualLoop
from together_operator.api.v1alpha1 import API_VERSION
from together_operator.domain import errors
from together_operator.engine.store import Body, Key, key_of

Manifest = dict[str, Any]
Deliver = Callable[[Body, bool], None]

Backup = Mapping[tuple[str, Key], Body]

INITIAL_STATUS = {"observedGeneration": -1}
"""The CRDs' default."""


@dataclass(frozen=True, slots=True)
class Change:
    """One commit. `before` is None for a new object, `after` for one that is gone.

    Args:
        last: how an object that is gone was last, as the DELETED event tells it.
    """

    kind: str
    before: Body | None
    after: Body | None
    last: Body | None = None


@dataclass(frozen=True, slots=True)
class Weather:
    """How a watch delivers.

    Args:
        delay: seconds, at most, until an event arrives.
        gaps: probability with which an event falls into a gap; the list that follows shows
            what there is then, so that a deletion in the gap is never told.
        gap: seconds that a gap lasts.
        repeats: probability with which an event is delivered twice.
    """

    delay: float = 0.3
    gaps: float = 0.0
    gap: float = 5.0
    repeats: float = 0.0


class ApiServer:
    """Objects of all kinds. Bodies that it hands out are never changed afterwards."""

    def __init__(self, loop: VirtualLoop, uids: str = "uid-") -> None:
        self._loop = loop
        self._prefix = uids
        self._objects: dict[tuple[str, Key], Body] = {}
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)
        self.watches: list[Watch] = []
        self.observers: list[Callable[[Change], None]] = []
        self._waiting: list[asyncio.Future[None]] = []

    def get(self, kind: str, key: Key) -> Body | None:
        """The live object."""
        return self._objects.get((kind, key))

    def all(self, kind: str | None = None) -> list[Body]:
        """All live objects, of one kind or of all."""
        return [body for (of, _), body in self._objects.items() if kind in {None, of}]

    def by_uid(self, uid: str) -> Body | None:
        """The live object with a UID."""
        return next((b for b in self._objects.values() if b["metadata"]["uid"] == uid), None)

    def create(self, manifest: Mapping[str, Any]) -> Body:
        """Create an object of ours; status and finalizers are not the creator's to give."""
        body = copy.deepcopy(dict(manifest))
        metadata = body["metadata"]
        if (body["kind"], key_of(body)) in self._objects:
            raise errors.Conflict(f"{metadata['name']} already exists")
        body |= {"apiVersion": API_VERSION, "status": dict(INITIAL_STATUS)}
        body["metadata"] = {
            **metadata,
            "uid": f"{self._prefix}{next(self._uids):04}",
            "generation": 1,
            "creationTimestamp": self._stamp(),
        }
        return self._commit(body["kind"], None, body)

    def edit(self, kind: str, key: Key, change: Callable[[Manifest], None]) -> Body:
        """A person changes spec or metadata of an object."""
        before = self._live(kind, key)
        body = copy.deepcopy(dict(before))
        change(body)
        if body["spec"] != before["spec"]:
            body["metadata"]["generation"] += 1
        return self._commit(kind, before, body)

    def delete(self, kind: str, key: Key) -> None:
        """A person deletes an object: at once without finalizers, else once they are gone."""
        before = self._live(kind, key)
        metadata = before["metadata"]
        if not metadata.get("finalizers"):
            self._remove(kind, before)
        elif "deletionTimestamp" not in metadata:
            generation = metadata["generation"] + 1
            marked = {**metadata, "deletionTimestamp": self._stamp(), "generation": generation}
            self._commit(kind, before, {**before, "metadata": marked})

    def write_status(self, kind: str, body: Body, status: Mapping[str, Any]) -> Body:
        """PUT to /status: everything but the status is left alone."""
        before = self._current(kind, body)
        return self._commit(kind, before, {**before, "status": dict(status)})

    def set_finalizers(self, kind: str, body: Body, finalizers: Sequence[str]) -> Body | None:
        """Merge-patch of the finalizers; None when the object is not there."""
        if self.get(kind, key_of(body)) is None:
            return None
        before = self._current(kind, body)
        metadata = before["metadata"]
        deleting = "deletionTimestamp" in metadata
        if deleting and set(finalizers) - set(metadata.get("finalizers", ())):
            raise errors.Rejected("no new finalizers can be added if the object is being deleted")
        after = {**before, "metadata": {**metadata, "finalizers": list(finalizers)}}
        if deleting and not finalizers:
            self._remove(kind, before, after)
            return after
        return self._commit(kind, before, after)

    def backup(self) -> Backup:
        """A snapshot of the etcd behind it."""
        return dict(self._objects)

    def restore(self, backup: Backup) -> None:
        """The etcd comes back from a snapshot, as `etcdutl snapshot restore --bump-revision
        --mark-compacted` does it: what was not changed since has its old version, later writes
        have newer ones than there ever were, and every watch has to list anew.
        """
        self._objects = dict(backup)
        for watch in self.watches:
            watch.begin_anew()

    async def changed(self) -> None:
        """Wait for the next commit."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _live(self, kind: str, key: Key) -> Body:
        body = self.get(kind, key)
        if body is None:
            raise errors.NotFound(f"{key} is not there")
        return body

    def _current(self, kind: str, body: Body) -> Body:
        """The live object, if it is the version that the writer saw."""
        live = self._live(kind, key_of(body))
        for field_ in ("uid", "resourceVersion"):
            if live["metadata"][field_] != body["metadata"][field_]:
                raise errors.Conflict(f"{key_of(body)} has been modified")
        return live

    def _commit(self, kind: str, before: Body | None, after: Body) -> Body:
        if before is not None and before == after:
            self._tell(Change(kind, before, after))
            return before
        version = str(next(self._versions))
        stored = {**after, "metadata": {**after["metadata"], "resourceVersion": version}}
        self._objects[kind, key_of(stored)] = stored
        self._tell(Change(kind, before, stored))
        return stored

    def _remove(self, kind: str, before: Body, last: Body | None = None) -> None:
        version = str(next(self._versions))
        del self._objects[kind, key_of(before)]
        gone = last or before
        gone = {**gone, "metadata": {**gone["metadata"], "resourceVersion": version}}
        self._tell(Change(kind, before, None, gone))

    def _tell(self, change: Change) -> None:
        for observer in self.observers:
            observer(change)
        for watch in self.watches:
            watch.notice(change)
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _stamp(self) -> str:
        return self._loop.now().strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Watch:
    """One process's list and watch of one kind. Events arrive late, but in their order."""

    server: ApiServer
    loop: VirtualLoop
    kind: str
    deliver: Deliver
    weather: Weather
    rng: random.Random
    closed: bool = False
    _last: float = field(default=0.0, init=False)
    _gap_ends: float = field(default=0.0, init=False)

    def start(self) -> None:
        """List what there is, and deliver what changes from now on."""
        self.server.watches.append(self)
        self._list()

    def close(self) -> None:
        """Deliver nothing more."""
        self.closed = True
        if self in self.server.watches:
            self.server.watches.remove(self)

    def begin_anew(self) -> None:
        """The server answers 410: list, and no word of what is not there any more."""
        self.loop.call_soon(self._list)

    def notice(self, change: Change) -> None:
        """Take a commit."""
        if change.kind != self.kind or change.before == change.after:
            return
        if self.loop.time() < self._gap_ends:
            return
        if self.rng.random() < self.weather.gaps:
            self._gap_ends = self.loop.time() + self.weather.gap
            self.loop.call_at(self._gap_ends, self._list)
            return
        body = change.after if change.after is not None else change.last
        assert body is not None
        again = self.rng.random() < self.weather.repeats
        for _ in range(2 if again else 1):
            self._send(body, change.after is None)

    def _list(self) -> None:
        if not self.closed:
            for body in self.server.all(self.kind):
                self._send(body, False)

    def _send(self, body: Body, deleted: bool) -> None:
        due = self.loop.time() + self.rng.uniform(0.0, self.weather.delay)
        self._last = max(self._last, due)
        self.loop.call_at(self._last, self._arrive, body, deleted)

    def _arrive(self, body: Body, deleted: bool) -> None:
        if not self.closed:
            self.deliver(body, deleted)
