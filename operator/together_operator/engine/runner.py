"""Runs one kind's reconcile over its work queue with bounded concurrency. Knows no kind."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import After, Done, Failed, Gone, Outcome
from together_operator.domain.plan import FINALIZER
from together_operator.engine.store import Body, Key, Store, key_of
from together_operator.engine.workqueue import ShutDown, Urgency, WorkQueue

log = structlog.get_logger(__name__)

Reconcile = Callable[[Key], Awaitable[Outcome]]

SOONEST, LATEST = 0.5, 0.7
"""When a settled object is looked at again, in resync periods. A look may rest on what is 0.3 of a
period old (`domain.plan.Process.calm`): it sees within one what was changed by hand.
"""

ROUNDS = 300
"""In how many moments of a resync period its looks are made. To wake up costs as much as a few
comparisons, so that thousands of settled objects are not looked at one by one.
"""


class Meter(Protocol):
    """Where a runner reports what it did."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None:
        """One reconcile ended after `seconds`, having waited `waited` seconds for a worker."""

    def glanced(self, kind: str, number: int) -> None:
        """So many objects were seen to have settled, without a reconcile."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a runner works: number of workers, resync period and backoff in seconds.

    Within a resync period every settled object is looked at.
    """

    workers: int
    resync: float
    backoff: Backoff


class Runner:
    """Work queue, store and workers of one kind.

    Args:
        kind: name for logs and metrics.
        reconcile: takes a key; must not raise for anything that it expects.
        store: newest bodies; `observed` feeds it.
        rng: spreads resyncs over their period.
        is_settled: true for a body that says itself that nothing is to do before the next resync.
        is_calm: true for a key of which is known already that a look would change nothing.
    """

    def __init__(
        self,
        kind: str,
        reconcile: Reconcile,
        store: Store,
        settings: Settings,
        meter: Meter,
        rng: random.Random,
        is_settled: Callable[[Body], bool] = lambda _: False,
        is_calm: Callable[[Key], bool] = lambda _: False,
    ) -> None:
        self.kind = kind
        self.store = store
        self.queue: WorkQueue[Key] = WorkQueue(sift=self._sift)
        self._reconcile = reconcile
        self._settings = settings
        self._meter = meter
        self._rng = rng
        self._is_settled = is_settled
        self._is_calm = is_calm
        self._crashes: dict[Key, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._held: dict[Key, float] = {}
        # Event loop time at which a worker last took or finished a key.
        self._last_progress = 0.0

    def observed(self, body: Body, *, deleted: bool = False) -> bool:
        """The watch delivered a body: remember it, and have its key looked at if it is news.

        True when there is nothing to do: an object that this process has not seen before and that
        has settled, as most have after a restart, waits for a moment of the coming period.
        """
        key = key_of(body)
        if deleted:
            # Only a hint, since DELETED events get lost: the reconcile reads and sees the 404.
            self.store.forget(key)
            self.queue.add(key, Urgency.CHANGED)
            return False
        is_new = key not in self.store
        if not self.store.observe(body):
            return False
        if is_new and self._is_settled(body):
            self._meter.glanced(self.kind, 1)
            self.queue.add_after(key, self._seconds_to_round(LATEST * self._rng.random()))
            return True
        self.queue.add(key, Urgency.CHANGED if _is_begun(body) else Urgency.NEW)
        return False

    def start(self) -> None:
        """Start the workers."""
        loop = asyncio.get_running_loop()
        self._last_progress = loop.time()
        self._tasks = [
            loop.create_task(self._work(), name=f"{self.kind}-worker-{n}")
            for n in range(self._settings.workers)
        ]

    async def stop(self, grace: float = 10.0) -> None:
        """Let running reconciles end for `grace` seconds, then cancel them.

        A cancelled reconcile is no worse than a crash, which every step is made to survive.
        """
        self.queue.shut_down()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def is_stuck(self, waiting: float, held: float) -> bool:
        """True when something keeps this from going on that only a new process will end.

        Args:
            waiting: seconds that keys may wait while no worker takes or finishes any.
            held: seconds that a worker may take for one key. It is more than all its calls may
                take together: somebody else's slow server is no reason to begin anew.
        """
        now = asyncio.get_running_loop().time()
        if now - min(self._held.values(), default=now) > held:
            return True
        return now - self._last_progress > waiting and self.queue.longest_wait() > waiting

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                key, waited = await self.queue.get()
            except ShutDown:
                return
            started = self._last_progress = self._held[key] = loop.time()
            outcome: Outcome | None = None
            try:
                outcome = await self._reconcile(key)
            except Exception:  # a bug in one object's way must not end the worker for all
                log.exception("reconcile crashed", kind=self.kind, object=str(key))
            finally:
                del self._held[key]
                self.queue.done(key)
            self._last_progress = loop.time()
            self._schedule(key, outcome)
            name = type(outcome).__name__.lower() if outcome is not None else "crashed"
            self._meter.reconciled(self.kind, name, loop.time() - started, waited)

    def _sift(self, keys: Sequence[Key]) -> list[Key]:
        """Those that a worker has to look at; the others' turn comes again.

        A worker's turn costs several times what it takes to see that there is nothing to do.
        """
        busy = []
        for key in keys:
            try:
                is_calm = self._is_calm(key)
            except Exception:  # a bug in one object's way must not end the timer for all
                log.exception("comparison crashed", kind=self.kind, object=str(key))
                is_calm = False
            if is_calm:
                self._schedule(key, Done())
            else:
                busy.append(key)
        if len(busy) < len(keys):
            self._meter.glanced(self.kind, len(keys) - len(busy))
        return busy

    def _seconds_to_round(self, periods: float) -> float:
        """Seconds until the last round that is at most so many resync periods away."""
        now, step = asyncio.get_running_loop().time(), self._settings.resync / ROUNDS
        return math.floor((now + periods * self._settings.resync) / step) * step - now

    def _schedule(self, key: Key, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._crashes.pop(key, None)
        match outcome:
            case Gone():
                self.store.forget(key)
            case Done():
                # Spread over the period, so that objects created together are not due together.
                self.queue.add_after(
                    key, self._seconds_to_round(self._rng.uniform(SOONEST, LATEST))
                )
            case After(0):
                self.queue.add(key, Urgency.CONTINUED)
            case After(seconds) | Failed(seconds=seconds):
                self.queue.add_after(key, seconds)
            case None:
                crashes = self._crashes[key] = self._crashes.get(key, 0) + 1
                self.queue.add_after(key, self._settings.backoff.delay(crashes, self._rng.random()))


def _is_begun(body: Body) -> bool:
    return FINALIZER in body["metadata"].get("finalizers", ())
