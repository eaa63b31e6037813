"""The simulator's memory: projects, their records in order of creation, and a file to keep them."""

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from tests.support.simulators.together.catalog import Catalog
from tests.support.simulators.together.clock import Clock
from tests.support.simulators.together.records import (
    Deployment,
    Endpoint,
    Import,
    Model,
    Record,
    Rollout,
)

R = TypeVar("R", bound=Record)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Project:
    """A project of the simulated platform."""

    id: str
    slug: str
    name: str
    organization_id: str = "org_sim"


class Collection(Generic[R]):
    """Records of one kind, in order of creation. Deleted ones can still be listed for a while."""

    def __init__(self, kind: type[R]) -> None:
        self.kind = kind
        self._by_id: dict[str, R] = {}
        self._order: list[R] = []
        self._deleted: list[tuple[float, R]] = []

    def __iter__(self) -> Iterator[R]:
        """All records, oldest first."""
        return iter(self._order)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._order)

    def add(self, record: R) -> R:
        """Keep a record; its `seq` must be the highest so far."""
        self._by_id[record.id] = record
        self._order.append(record)
        return record

    def get(self, record_id: str) -> R | None:
        """The record of that id."""
        return self._by_id.get(record_id)

    def remove(self, record: R, now: float) -> None:
        """Forget a record."""
        del self._by_id[record.id]
        del self._order[self._index(record.seq)]
        self._deleted = [(at, r) for at, r in self._deleted[-999:] if at > now - 600]
        self._deleted.append((now, record))

    def newest_first(self, *, before: int | None = None) -> Iterator[R]:
        """Records from the newest to the oldest, from `before` (a `seq`) on."""
        start = len(self._order) if before is None else self._index(before)
        for index in range(start - 1, -1, -1):
            yield self._order[index]

    def recently_deleted(self, since: float) -> list[R]:
        """What was removed after `since`, for lists that lag behind."""
        return [record for at, record in self._deleted if at > since]

    def _index(self, seq: int) -> int:
        return bisect_left(self._order, seq, key=lambda record: record.seq)


class Store:
    """Everything that exists, for all projects.

    Args:
        clock: where times come from.
        seed: of the ids, so that a run can be repeated.
        path: file to keep the state in; read at once when it exists.
    """

    def __init__(
        self, catalog: Catalog, clock: Clock, *, seed: int = 0, path: Path | None = None
    ) -> None:
        self.catalog = catalog
        self.clock = clock
        self.path = path
        self.models = Collection(Model)
        self.imports = Collection(Import)
        self.endpoints = Collection(Endpoint)
        self.deployments = Collection(Deployment)
        self.rollouts = Collection(Rollout)
        self.model_names: dict[tuple[str, str], str] = {}
        self.endpoint_names: dict[tuple[str, str], str] = {}
        self._by_endpoint: dict[str, list[Deployment]] = {}
        self.settled_cents = 0.0
        """Bills of deployments that are gone."""

        self.on_change: Callable[[], None] = lambda: None
        self._random = random.Random(seed)
        self._seq = 0
        if path is not None and path.exists():
            self._load(json.loads(path.read_text()))

    def new_id(self, prefix: str) -> str:
        """A fresh id such as `ml_7f3k…`."""
        return prefix + "".join(self._random.choices(_ALPHABET, k=20))

    def stamp(self, prefix: str, project_id: str) -> dict[str, Any]:
        """The fields that every new record has."""
        self._seq += 1
        now = self.clock.now()
        return {
            "id": self.new_id(prefix),
            "seq": self._seq,
            "project_id": project_id,
            "created_at": now,
            "updated_at": now,
        }

    def changed(self) -> None:
        """Tell whoever keeps the state that there is something to keep."""
        self.on_change()

    def deployments_of(self, endpoint_id: str) -> list[Deployment]:
        """Deployments of an endpoint, oldest first."""
        return list(self._by_endpoint.get(endpoint_id, ()))

    def open_rollout(self, endpoint_id: str) -> Rollout | None:
        """The rollout of an endpoint that is not over, if there is one."""
        found = (r for r in self.rollouts if r.endpoint_id == endpoint_id and r.open)
        return next(found, None)

    def add_deployment(self, deployment: Deployment) -> None:
        """Keep a deployment."""
        self.deployments.add(deployment)
        self._by_endpoint.setdefault(deployment.endpoint_id, []).append(deployment)

    def remove_deployment(self, deployment: Deployment) -> None:
        """Forget a deployment."""
        self.deployments.remove(deployment, self.clock.now())
        self._by_endpoint[deployment.endpoint_id].remove(deployment)

    def save(self) -> None:
        """Write the state to its file, replacing it in one step."""
        if self.path is None:
            return
        document = {
            "seq": self._seq,
            "random": self._random.random(),
            "settledCents": self.settled_cents,
            **{
                name: [record.model_dump() for record in collection]
                for name, collection in self._collections().items()
            },
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(document))
        draft.replace(self.path)

    def _collections(self) -> dict[str, Collection[Any]]:
        return {
            "models": self.models,
            "imports": self.imports,
            "endpoints": self.endpoints,
            "deployments": self.deployments,
            "rollouts": self.rollouts,
        }

    def _load(self, document: dict[str, Any]) -> None:
        self._seq = document["seq"]
        self._random.seed(document["random"])
        self.settled_cents = document["settledCents"]
        for name, collection in self._collections().items():
            for item in document[name]:
                collection.add(collection.kind.model_validate(item))
        self.model_names = {(m.project_id, m.name): m.id for m in self.models}
        self.endpoint_names = {(e.project_id, e.name): e.id for e in self.endpoints}
        for deployment in self.deployments:
            self._by_endpoint.setdefault(deployment.endpoint_id, []).append(deployment)
