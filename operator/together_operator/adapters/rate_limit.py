"""One gate for all calls made with one API key.

Calls pass when three things allow it: a token bucket (calls per second, with a burst), a bound on
calls at the same time, and no pause after a 429. The bound follows the remote:
a 429, a 5xx or a lost connection halves it and takes the burst away, successes let it grow back,
so that an outage does not end in a herd.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from together_operator.domain.errors import RateLimited
from together_operator.ports import Priority

_FAIR = 8
"""One call in so many goes to the less urgent queue, which would else wait for ever."""

_MOMENT = 1e-6
"""Seconds that are not waited for: a clock need not be fine enough to ever show less."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one key may ask. Times are in seconds."""

    per_second: float = 100.0
    burst: int = 500
    concurrency: int = 32
    patience: float = 5.0
    """A longer pause is not waited for: callers get `RateLimited` and come back later."""

    first_pause: float = 1.0
    """Pause after a 429 that names none; it doubles with each further one."""

    longest_pause: float = 300.0


class RateLimiter:
    """The gate. All times are those of the running event loop.

    Args:
        jitter: gives numbers from 0 to 1; processes that share a key should not wake together.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits or Limits()
        self._jitter = jitter
        self._queues: dict[Priority, deque[asyncio.Future[None]]] = {p: deque() for p in Priority}
        self._tokens = float(self._limits.burst)
        self._refilled: float | None = None
        self._paused_until = 0.0
        self._refusals = 0
        self._allowed = float(self._limits.concurrency)
        self._in_flight = 0
        self._passed = 0
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, priority: Priority) -> AsyncIterator[None]:
        """Wait for a turn, and hold it while the call runs.

        Raises:
            RateLimited: after a 429 there is a pause longer than the limiter's patience.
        """
        await self._enter(priority)
        try:
            yield
        finally:
            self._in_flight -= 1
            self._let_pass()

    def succeeded(self) -> None:
        """The remote answered something else than 429."""
        self._refusals = 0
        self._allowed = min(self._limits.concurrency, self._allowed + 1 / self._allowed)

    def failed(self) -> None:
        """The remote could not be reached, or answered 5xx: when it is back, begin gently."""
        self._allowed = max(min(2.0, self._allowed), self._allowed / 2)
        self._tokens = min(self._tokens, 1.0)

    def refused(self, retry_after: float | None) -> float:
        """The remote answered 429, and perhaps for how long (seconds); gives the pause.

        Nothing is sent while a pause lasts: who is refused during one was sent before it, with
        those that brought it about. So many calls at once are one refusal, not one each.
        """
        limits, now = self._limits, asyncio.get_running_loop().time()
        left = self._paused_until - now
        if left <= 0:
            self._allowed = max(1.0, self._allowed / 2)
            self._refusals += 1
        elif retry_after is None:
            return left
        doubled = limits.first_pause * 2 ** min(self._refusals - 1, 16)
        seconds = doubled if retry_after is None else max(0.0, retry_after)
        seconds = min(seconds, limits.longest_pause)
        seconds += self._jitter() * min(seconds / 4, 5.0)
        self._paused_until = max(self._paused_until, now + seconds)
        self._tokens = min(self._tokens, 1.0)
        if self._paused_until - now > limits.patience:
            self._turn_away(self._paused_until - now)
        self._let_pass()
        return seconds

    async def _enter(self, priority: Priority) -> None:
        loop = asyncio.get_running_loop()
        pause = self._paused_until - loop.time()
        if pause > self._limits.patience:
            raise _asked_to_wait(pause)
        turn: asyncio.Future[None] = loop.create_future()
        self._queues[priority].append(turn)
        self._let_pass()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._in_flight -= 1
                self._let_pass()
            raise

    def _let_pass(self) -> None:
        """Wake as many as may go now, and come back when the next one may."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = loop.time()
        self._refill(now)
        while self._in_flight < int(self._allowed):
            turn = self._next()
            if turn is None:
                return
            wait = max(self._paused_until - now, (1.0 - self._tokens) / self._limits.per_second)
            if wait > _MOMENT:
                self._timer = loop.call_later(wait, self._let_pass)
                return
            self._take(turn)

    def _refill(self, now: float) -> None:
        since = now if self._refilled is None else self._refilled
        self._tokens = min(
            float(self._limits.burst), self._tokens + (now - since) * self._limits.per_second
        )
        self._refilled = now

    def _next(self) -> deque[asyncio.Future[None]] | None:
        """The queue whose head goes next; those who gave up are dropped on the way."""
        for queue in self._queues.values():
            while queue and queue[0].done():
                queue.popleft()
        waiting = [self._queues[priority] for priority in Priority if self._queues[priority]]
        if not waiting:
            return None
        return waiting[-1] if self._passed % _FAIR == _FAIR - 1 else waiting[0]

    def _take(self, queue: deque[asyncio.Future[None]]) -> None:
        self._tokens -= 1.0
        self._in_flight += 1
        self._passed += 1
        queue.popleft().set_result(None)

    def _turn_away(self, pause: float) -> None:
        for queue in self._queues.values():
            for turn in queue:
                if not turn.done():
                    turn.set_exception(_asked_to_wait(pause))
            queue.clear()


def _asked_to_wait(pause: float) -> RateLimited:
    message = f"Together limits the rate of calls: the next one goes in {pause:.0f} seconds"
    return RateLimited(message, retry_after=pause)
