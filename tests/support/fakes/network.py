"""Between a process and everything outside of it: numbers each call, and fails where it is told.

A call takes a moment to arrive, has its effect there, and takes a moment to come back. What was
sent has its effect although the sender dies meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from together_operator.domain import errors

T = TypeVar("T")

ACTING_FOR: ContextVar[str | None] = ContextVar("ACTING_FOR", default=None)
"""UID of the object on whose behalf the operator acts; None: it only looks, or is not at work."""


class Fault(Enum):
    """What happens to one call."""

    KILL_BEFORE = "killed before the request was sent"
    KILL_AFTER = "killed after the effect, before the answer"
    KILL_LATE = "killed, and the request takes effect later"
    LOST_BEFORE = "no answer, no effect"
    LOST_AFTER = "no answer, although it took effect"
    LOST_LATE = "no answer, and it takes effect later"
    RATE_LIMITED = "429"
    UNAVAILABLE = "5xx, no effect"
    GARBLED = "HTML or wrong JSON, although it took effect"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    CONFLICT = "409"
    SLOW = "answered only after the Lease is lost"
    STALE = "answered from an old copy"


KILLS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.KILL_LATE)

_REFUSALS: Mapping[Fault, Callable[[], errors.RemoteError]] = {
    Fault.RATE_LIMITED: lambda: errors.RateLimited("Too many calls", retry_after=7.0),
    Fault.UNAUTHORIZED: lambda: errors.Unauthorized("Invalid credential", status=401),
    Fault.FORBIDDEN: lambda: errors.Forbidden("Not permitted", status=403),
    Fault.NOT_FOUND: lambda: errors.NotFound("Not found", status=404),
    Fault.CONFLICT: lambda: errors.Conflict("Conflict", status=409),
}


_UNHEARD = frozenset({Fault.LOST_AFTER, Fault.LOST_LATE})


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a process made, numbered over all processes of a run."""

    number: int
    name: str
    time: float
    writes: bool
    lags: bool
    """Whether its answer may come from an old copy."""


@dataclass(frozen=True, slots=True)
class Lags:
    """Seconds. A create shows in lists `commit + stale` after it was sent, at the latest.

    Args:
        commit: until a request without an answer takes its effect.
        stale: age of an answer from an old copy.
        timeout: until a caller gives up.
        slow: until a slow answer comes.
    """

    commit: float = 4.0
    stale: float = 3.0
    timeout: float = 2.0
    slow: float = 25.0


class Network:
    """All calls of a run, and what goes wrong with which of them.

    Args:
        choose: what happens to a call.
        kill: ends the process that a wire belongs to.
        oust: has another process take over from the one that a wire belongs to.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        choose: Callable[[Call], Fault | None],
        lags: Lags,
        kill: Callable[[Wire], None],
        oust: Callable[[Wire], None],
    ) -> None:
        self.loop = loop
        self.rng = rng
        self.lags = lags
        self.choose = choose
        self.calls: list[Call] = []
        self.met: list[tuple[Call, Fault]] = []
        """The faults that calls have met."""

        self.in_flight = 0
        """Requests that were sent and have not had their effect yet."""

        self.kill = kill
        self.oust = oust

    def begin(self, name: str, *, writes: bool, lags: bool) -> Fault | None:
        """Number a call."""
        call = Call(len(self.calls), name, self.loop.time(), writes, lags)
        self.calls.append(call)
        fault = self.choose(call)
        if fault is not None:
            self.met.append((call, fault))
        return fault

    def delay(self) -> float:
        """Seconds that a message takes."""
        return self.rng.uniform(0.002, 0.05)


class Wire:
    """One process's way to the outside."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.dead = False
        self._unanswered: list[asyncio.Future[Any]] = []
        """What a dead process waits for, kept so that nobody collects its tasks."""

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return not self.dead

    async def read(self, name: str, answer: Callable[[float], T], *, lags: bool = False) -> T:
        """Ask; `answer` is given how many seconds old the copy is that it speaks of."""
        return await self._call(name, answer, None, lags=lags)

    async def write(self, name: str, effect: Callable[[], T], lost: type[errors.RemoteError]) -> T:
        """Change something; `lost` is how the adapter reports that no answer came."""
        return await self._call(name, lambda _: effect(), lost, lags=False)

    async def _call(
        self,
        name: str,
        effect: Callable[[float], T],
        lost: type[errors.RemoteError] | None,
        *,
        lags: bool,
    ) -> T:
        loop, network = self.network.loop, self.network
        reply: asyncio.Future[T] = loop.create_future()
        self._unanswered = [f for f in self._unanswered if not f.done()] + [reply]
        if self.dead:
            return await reply  # whoever asks is about to be cancelled
        fault = network.begin(name, writes=lost is not None, lags=lags)
        if not self.alive:  # what people do at this moment may have ended this process
            return await reply
        refusal = self._refusal(name, fault, lost)
        if refusal is not None:
            wait = network.lags.timeout if fault is Fault.LOST_BEFORE else 2 * network.delay()
            loop.call_later(wait, _fail, reply, refusal)
            return await reply
        if fault is Fault.KILL_BEFORE:
            network.kill(self)
            return await reply
        if fault in _UNHEARD:
            loop.call_later(network.lags.timeout, _fail, reply, _lost(name, lost))
        late = fault in {Fault.KILL_LATE, Fault.LOST_LATE}
        network.in_flight += 1
        loop.call_later(
            network.lags.commit if late else network.delay(), self._arrive, effect, reply, fault
        )
        if fault is Fault.KILL_LATE:
            network.kill(self)
        if fault is Fault.SLOW:
            network.oust(self)
        if fault is Fault.GARBLED:
            loop.call_later(0.2, _fail, reply, _lost(name, lost))
        return await reply

    @staticmethod
    def _refusal(
        name: str, fault: Fault | None, lost: type[errors.RemoteError] | None
    ) -> errors.RemoteError | None:
        """The error of a call that has no effect and whose caller lives on."""
        if fault in {Fault.LOST_BEFORE, Fault.UNAVAILABLE}:
            return _lost(name, lost)
        refuse = _REFUSALS.get(fault) if fault is not None else None
        return refuse() if refuse is not None else None

    def _arrive(
        self, effect: Callable[[float], T], reply: asyncio.Future[T], fault: Fault | None
    ) -> None:
        network = self.network
        network.in_flight -= 1
        error: errors.OperatorError | None = None
        try:
            result = effect(network.lags.stale if fault is Fault.STALE else 0.0)
        except errors.OperatorError as refused:
            error = refused
        if fault is Fault.KILL_AFTER and not self.dead:
            network.kill(self)
        if self.dead or fault in _UNHEARD or fault is Fault.GARBLED:
            return
        delay = network.lags.slow if fault is Fault.SLOW else network.delay()
        if error is not None:
            network.loop.call_later(delay, _fail, reply, error)
        else:
            network.loop.call_later(delay, _answer, reply, result)


def applicable(call: Call) -> Sequence[Fault]:
    """The faults, kills aside, that a call can meet."""
    found = [
        Fault.LOST_BEFORE,
        Fault.RATE_LIMITED,
        Fault.UNAVAILABLE,
        Fault.GARBLED,
        Fault.UNAUTHORIZED,
        Fault.FORBIDDEN,
        Fault.SLOW,
    ]
    if call.writes:
        found += [Fault.LOST_AFTER, Fault.LOST_LATE, Fault.CONFLICT]
    if call.lags:
        found.append(Fault.STALE)
    if call.name.startswith("together.get"):
        found.append(Fault.NOT_FOUND)
    return found


def _lost(name: str, lost: type[errors.RemoteError] | None) -> errors.RemoteError:
    """As adapters report it: a write may have happened, a read is just not answered."""
    return (lost or errors.Unavailable)(f"The answer of {name} was lost")


def _fail(reply: asyncio.Future[T], error: errors.OperatorError) -> None:
    if not reply.done():
        reply.set_exception(error)


def _answer(reply: asyncio.Future[T], result: T) -> None:
    if not reply.done():
        reply.set_result(result)
