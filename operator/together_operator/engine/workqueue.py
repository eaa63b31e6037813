"""A work queue for keys: deduplicating, serial per key, urgent before periodic, with delays.

The contract is that of client-go's workqueue: a key that is added while it is being worked on is
handed out again afterwards, and never to two workers at once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Urgency(IntEnum):
    """Which queue a key waits in.

    The first step of an object is a small one, and tells its owner that somebody is there. Then
    what was begun goes on before something else is begun, so that a burst's first objects are done
    early instead of all of them late; what people changed comes before what is merely due.
    """

    NEW = 0
    CONTINUED = 1
    CHANGED = 2
    PERIODIC = 3


class ShutDown(Exception):
    """The queue was shut down; workers end."""


class WorkQueue(Generic[K]):
    """See the module. Not thread-safe: it belongs to one event loop.

    Args:
        clock: monotonic seconds, the event loop's own by default.
        sift: of keys whose time has come, says which need a worker. The others it has to add
            again itself, for another time.
    """

    def __init__(
        self,
        clock: Callable[[], float] | None = None,
        sift: Callable[[Sequence[K]], Iterable[K]] = lambda keys: keys,
    ) -> None:
        self._sift = sift
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._ready: tuple[deque[tuple[K, float]], ...] = tuple(deque() for _ in Urgency)
        self._waiting: dict[K, tuple[Urgency, float]] = {}
        self._processing: set[K] = set()
        self._again: dict[K, Urgency] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._wakeups: deque[asyncio.Future[None]] = deque()
        self._stopped = False

    def __len__(self) -> int:
        """Keys that wait for a worker now."""
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._due)

    @property
    def processing(self) -> int:
        """Keys that a worker has."""
        return len(self._processing)

    def longest_wait(self) -> float:
        """Seconds that the key has waited which has waited longest; 0.0 where none waits."""
        now = self._clock()
        return now - min((since for _, since in self._waiting.values()), default=now)

    def add(self, key: K, urgency: Urgency = Urgency.CHANGED) -> None:
        """Hand `key` out as soon as possible; an earlier delay of it is overtaken."""
        if self._stopped:
            return
        self._due.pop(key, None)
        if key in self._processing:
            self._again[key] = min(urgency, self._again.get(key, urgency))
            return
        waiting = self._waiting.get(key)
        if waiting is not None and waiting[0] <= urgency:
            return
        # A key that becomes more urgent is queued twice; its older place is skipped in `get`.
        since = waiting[1] if waiting is not None else self._clock()
        self._waiting[key] = (urgency, since)
        self._ready[urgency].append((key, since))
        self._wake()

    def add_after(self, key: K, seconds: float, urgency: Urgency = Urgency.PERIODIC) -> None:
        """Hand `key` out in `seconds`, or earlier if it is already due earlier."""
        if seconds <= 0:
            self.add(key, urgency)
            return
        if self._stopped or key in self._waiting or key in self._again:
            return
        due = self._clock() + seconds
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._sequence), key))
        self._arm()

    async def get(self) -> tuple[K, float]:
        """The next key and how many seconds it has waited. Call `done(key)` after the work.

        Raises:
            ShutDown: the queue was shut down.
        """
        while True:
            if self._stopped:
                raise ShutDown
            for urgency, ready in enumerate(self._ready):
                while ready:
                    key, since = ready.popleft()
                    if self._waiting.get(key) != (urgency, since):
                        continue
                    del self._waiting[key]
                    self._processing.add(key)
                    return key, self._clock() - since
            wakeup: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakeups.append(wakeup)
            try:
                await wakeup
            except asyncio.CancelledError:
                if wakeup.done() and not wakeup.cancelled():
                    self._wake()  # the wake-up was meant for somebody: pass it on
                raise

    def done(self, key: K) -> None:
        """The work on `key` ended; if it was added meanwhile, it waits again."""
        self._processing.discard(key)
        urgency = self._again.pop(key, None)
        if urgency is not None:
            self.add(key, urgency)

    def shut_down(self) -> None:
        """Hand out nothing more; workers that wait get `ShutDown`."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        while self._wakeups:
            self._wake()

    def _wake(self) -> None:
        while self._wakeups:
            wakeup = self._wakeups.popleft()
            if not wakeup.done():
                wakeup.set_result(None)
                return

    def _arm(self) -> None:
        """Have one timer for the earliest delay."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + max(due - self._clock(), 0.0), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._clock()
        keys = []
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                keys.append(key)
        busy: Iterable[K] = keys
        try:
            busy = self._sift(keys)
        finally:  # a bug in it must not lose a round of keys
            for key in busy:
                self.add(key, Urgency.PERIODIC)
            self._arm()
