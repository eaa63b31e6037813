"""What every part of the faked platform has: a clock, ids, bills, and words about changes."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from tests.support.fakes import catalog
from tests.support.fakes.versions import Table, Versions
from together_operator.domain import errors
from together_operator.domain.together import Deployment, Endpoint, Import, Model, Revision

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that things take."""

    queue: float = 1.0
    fetch: float = 4.0
    restart: float = 2.0
    validate: float = 1.0
    schedule: float = 1.5
    load: float = 4.0
    stop: float = 3.0


@dataclass(frozen=True, slots=True)
class Write:
    """A change that was made: what was done to which thing, for which object."""

    verb: str
    kind: str
    id: str
    owner: str | None
    """UID of the object that the thing was made for."""

    actor: str | None
    """UID of the object on whose behalf it was changed now."""


@dataclass
class Ground:
    """One project of the platform.

    Args:
        clock: seconds.
        epoch: the wall clock's time at the clock's 0.
        fetch: raises an errors.RemoteError for a source (URL, token) that can't be fetched.
        keys: API keys that are valid.
    """

    clock: Callable[[], float]
    epoch: datetime
    fetch: Callable[[str, str | None], None]
    timing: Timing = field(default_factory=Timing)
    keys: set[str] = field(default_factory=set)
    project_id: str = "proj_test"
    slug: str = "acme"

    def __post_init__(self) -> None:
        self.models: Table[Model] = Table()
        self.revisions: dict[str, list[tuple[float, Revision]]] = {}
        self.imports: Table[Import] = Table()
        self.endpoints: Table[Endpoint] = Table()
        self.deployments: Table[Deployment] = Table()
        self.import_failures: list[str] = []
        """What the next imports fail with; empty words let one succeed, `restart` has it done
        once more by the platform."""

        self.start_failures: list[str] = []
        """What the next starts of deployments fail with; empty words let one succeed."""

        self.observers: list[Callable[[Write], None]] = []
        self.cents = 0.0
        """Bills so far."""

        self._billed_until = 0.0
        self._serial = itertools.count(1)
        self._due: list[tuple[float, int, Callable[[float], None]]] = []

    def advance(self) -> None:
        """Do everything that is due."""
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            due, _, step = heapq.heappop(self._due)
            self._bill(due)
            step(due)
        self._bill(now)

    def _later(self, when: float, step: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (when, next(self._serial), step))

    def _bill(self, until: float) -> None:
        hours = max(0.0, until - self._billed_until) / 3600
        self._billed_until = max(self._billed_until, until)
        for _, row in self.deployments.live():
            deployment = row.current
            if deployment is not None:
                price = catalog.cents_per_hour(deployment.config)
                self.cents += hours * deployment.scheduled_replicas * price

    def _time(self, moment: float) -> datetime:
        return datetime.fromtimestamp(self.epoch.timestamp() + moment, UTC)

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self._serial):04}"

    def _tell(self, verb: str, kind: str, id_: str, owner: str | None, actor: str | None) -> None:
        for observer in self.observers:
            observer(Write(verb, kind, id_, owner, actor))

    def _bare(self, name: str) -> str:
        slug, slash, bare = name.rpartition("/")
        if (slash and slug != self.slug) or not _NAME.fullmatch(bare):
            raise errors.Rejected(f"name: {name!r} is not acceptable")
        return bare

    def _found(
        self, table: Table[T], kind: str, id_: str, moment: float | None = None
    ) -> tuple[Versions[T], T]:
        row = table.row(id_)
        found = None if row is None else row.current if moment is None else row.at(moment)
        if row is None or found is None:
            raise errors.NotFound(f"{kind} {id_} not found", status=404)
        return row, found

    def known_key(self, key: str) -> None:
        """Refuse a key that is not valid."""
        if key not in self.keys:
            raise errors.Unauthorized("Invalid API key", status=401)
