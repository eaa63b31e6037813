"""What all ModelDeployments together reserve and cost, in one place for the whole process.

A decision about money and its reservation are made in one step without any wait between them, so
that two objects can't both be told that the same dollars are free. Amounts are US cents an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.domain.deployment.observed import Ceiling
from together_operator.domain.text import cents_of
from together_operator.engine.store import Body, Key, key_of


@dataclass(frozen=True, slots=True)
class Limits:
    """The operator's ceilings in cents an hour; None: there is none.

    Args:
        total: of all objects.
        by_namespace: of single namespaces.
        each_namespace: of every other namespace.
    """

    total: float | None = None
    by_namespace: Mapping[str, float] = field(default_factory=dict)
    each_namespace: float | None = None

    def of(self, namespace: str) -> float | None:
        """The ceiling of one namespace."""
        return self.by_namespace.get(namespace, self.each_namespace)


@dataclass(slots=True)
class _Bill:
    """What an object costs since `since`, and what it has cost before, in cents."""

    rate: float
    since: datetime
    untold: float = 0.0


class Spending:
    """See the module."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._reserved: dict[Key, float] = {}
        self._waiting: set[Key] = set()
        self._bills: dict[Key, _Bill] = {}
        self.on_freed: Callable[[Key], None] = lambda _: None
        """Called for each object that waits for money, when some became free."""

    @property
    def is_limited(self) -> bool:
        """Whether there is any ceiling, so that what others reserve matters."""
        limits = self._limits
        return bool(limits.by_namespace) or (limits.total, limits.each_namespace) != (None, None)

    def seed(self, bodies: Iterable[Body]) -> None:
        """Take over what the statuses of all objects say, before anything is decided."""
        for body in bodies:
            self._reserved[key_of(body)] = _told(body, "reservedPerHour")

    def ceilings(self, md: ModelDeployment) -> tuple[Ceiling, ...]:
        """The ceilings that an object is under, and what the others use of them."""
        mine, namespace = Key.of(md.metadata), md.metadata.namespace
        found = []
        limit = self._limits.of(namespace)
        if limit is not None:
            others = (k for k in self._reserved if k != mine and k.namespace == namespace)
            used = sum(self._reserved[key] for key in others)
            found.append(Ceiling(f"the ceiling of namespace {namespace}", limit, used))
        if self._limits.total is not None:
            used = sum(cents for key, cents in self._reserved.items() if key != mine)
            found.append(Ceiling("the operator's ceiling", self._limits.total, used))
        return tuple(found)

    def reserve(self, md: ModelDeployment, cents: float, *, waits: bool) -> None:
        """An object reserves so much from now on; `waits`: it would like to have more."""
        key = Key.of(md.metadata)
        before = self._reserved.get(key, 0.0)
        self._reserved[key] = cents
        if waits:
            self._waiting.add(key)
        else:
            self._waiting.discard(key)
        if cents < before:
            self._freed(key)

    def bill(self, md: ModelDeployment, cents: float, now: datetime) -> None:
        """Together bills an object so much an hour from now on."""
        self._bill(Key.of(md.metadata), cents, now)

    def assume(self, body: Body, now: datetime) -> None:
        """Together bills a settled object as its status says, which nobody has looked at yet."""
        self._bill(key_of(body), _told(body, "perHour"), now)

    def forget(self, key: Key) -> None:
        """The object is gone, and what it had with it."""
        self._waiting.discard(key)
        self._bills.pop(key, None)
        if self._reserved.pop(key, 0.0) > 0:
            self._freed(key)

    def take_bills(self, now: datetime) -> dict[Key, tuple[float, float]]:
        """Rate in cents an hour, and cents since this was last asked, of each object."""
        taken = {}
        for key, bill in self._bills.items():
            _accrue(bill, now)
            taken[key] = bill.rate, bill.untold
            bill.untold = 0.0
        return taken

    def _bill(self, key: Key, cents: float, now: datetime) -> None:
        bill = self._bills.setdefault(key, _Bill(0.0, now))
        _accrue(bill, now)
        bill.rate = cents

    def _freed(self, by: Key) -> None:
        for key in sorted(self._waiting - {by}):
            self.on_freed(key)


def _accrue(bill: _Bill, now: datetime) -> None:
    hours = max(0.0, (now - bill.since).total_seconds()) / 3600
    bill.untold += hours * bill.rate
    bill.since = now


def _told(body: Body, amount: str) -> float:
    """Of the body as it is: one object that can't be read must not hold up the others."""
    cost = (body.get("status") or {}).get("cost") or {}
    return cents_of(cost.get(amount)) or 0.0
