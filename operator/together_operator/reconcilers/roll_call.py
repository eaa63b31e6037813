"""Compares what is known of all objects with what there is: a watch can miss what it never told.

After a 410 kopf lists anew, and an object that vanished in the gap yields no DELETED. A settled one
would be believed in for ever, with the money that it reserves and the model that it uses.

After an etcd was restored from a backup, objects have older versions than those that are known, and
what the watch tells of them looks like old news until theirs are known instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from together_operator.domain.errors import OperatorError
from together_operator.engine.store import Body, Key, Store
from together_operator.reconcilers import attendance

log = structlog.get_logger(__name__)


class Roll(attendance.Roll, Protocol):
    """All objects of one kind in the namespaces that are served."""

    async def get(self, key: Key) -> Body | None:
        """The live object, or None."""
        ...


class Meter(Protocol):
    """Where a roll call reports what it found."""

    def missed(self, kind: str, number: int) -> None:
        """The watch had not told of so many changes."""


class RollCall:
    """See the module.

    Args:
        kind: name for logs and metrics.
        store: the newest bodies that are known.
        tell: takes a body, and whether its object is gone, as the watch would have told it.
    """

    def __init__(
        self,
        kind: str,
        roll: Roll,
        store: Store,
        tell: Callable[[Body, bool], None],
        meter: Meter,
    ) -> None:
        self._kind = kind
        self._roll = roll
        self._store = store
        self._tell = tell
        self._meter = meter

    async def run(self, seconds: float) -> None:
        """Compare every `seconds`."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.call()
            except OperatorError as error:
                log.warning("cannot call the roll", kind=self._kind, error=str(error))
            except Exception:  # a bug in one object's way must not end it for the process's life
                log.exception("roll call crashed", kind=self._kind)

    async def call(self) -> int:
        """Tell of what the watch has not told, and how often that was.

        Raises:
            OperatorError: Kubernetes can't be asked.
        """
        # What the watch tells while the roll is read is newer than the roll, and no miss.
        before = self._store.versions()
        there = await self._roll.versions()
        missed = 0
        for key in sorted(before.keys() | there.keys()):
            if before.get(key) != there.get(key):
                missed += await self._look_at(key)
        if missed:
            log.warning("the watch missed changes", kind=self._kind, number=missed)
        self._meter.missed(self._kind, missed)
        return missed

    async def _look_at(self, key: Key) -> bool:
        """One that seems to be other than it is known. True when it was."""
        before = self._store.version(key)
        live = await self._roll.get(key)
        # What is known is what is known now: the watch may have told meanwhile.
        if live is None:
            known = self._store.get(key)
            if known is not None:
                self._tell(known, True)
            return known is not None
        if self._store.is_restored(live, before):
            self._store.forget(key)  # else what is told would be old news
        if self._store.version(key) >= int(live["metadata"]["resourceVersion"]):
            return False
        self._tell(live, False)
        return True
