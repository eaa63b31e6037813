"""Time as the simulator sees it: a clock that can be replaced, and durations that can be scaled."""

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the simulator gets the time from."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later on this clock."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that only moves when told to. Sleepers wake in the order of their deadlines."""

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._now = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved the clock past the deadline."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking every sleeper whose time has come, each at its own time."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, deadline)
            if not woken.done():
                woken.set_result(None)
            await asyncio.sleep(0)
        self._now = end
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things take, in simulated seconds; `scale` of them pass in one second of the clock.

    Bills are in simulated time too: with a scale of 60, a replica costs an hour's price a minute.
    """

    scale: float = 1.0
    import_queue: float = 2.0
    import_fixed: float = 20.0
    import_per_megabyte: float = 0.2
    import_restart: float = 15.0
    schedule: float = 45.0
    pull_image: float = 60.0
    start_container: float = 25.0
    load_weights: float = 90.0
    drain: float = 15.0
    stop: float = 20.0
    rollout_reaction: float = 10.0
    """From a request to pause or cancel a rollout until that has happened."""

    give_up: float = 6 * 3600.0

    def real(self, simulated: float) -> float:
        """Seconds of the clock that `simulated` seconds take."""
        return simulated / self.scale

    def simulated(self, real: float) -> float:
        """Simulated seconds that pass in `real` seconds of the clock."""
        return real * self.scale


def rfc3339(moment: float) -> str:
    """A moment as the API writes it: UTC with microseconds and a Z."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of a timestamp with an offset or Z; ValueError when it is neither."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return parsed.timestamp()
