"""Hundreds of callers with one key against a remote that refuses, or was away. In virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from pydantic import SecretStr

from together_operator.adapters.rate_limit import Limits, RateLimiter
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.domain.backoff import Backoff
from together_operator.domain.errors import RateLimited, Unavailable
from together_operator.ports import ModelProvider, Priority
from together_operator.reconcilers.account import Accounts

pytestmark = pytest.mark.looptime
CALLERS = 120
BACKOFF = Backoff(base=1.0, cap=60.0)


def now() -> float:
    return asyncio.get_running_loop().time()


class Remote:
    """Answers lists of models within a limit of its own, refuses what is beyond it, or is away."""

    def __init__(self, per_second: float, *, away: float = 0.0) -> None:
        self.per_second = per_second
        self.away_until = now() + away
        self.arrivals: list[float] = []
        self.refused_at: list[float] = []
        self.lost = 0
        self._tokens = per_second
        self._at = now()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("whoami"):
            return httpx.Response(200, json={"project": {"id": "p", "slug": "acme"}})
        if now() < self.away_until:
            self.lost += 1
            raise httpx.ConnectError("away")
        self.arrivals.append(now())
        self._tokens = min(self.per_second, self._tokens + (now() - self._at) * self.per_second)
        self._at = now()
        if self._tokens < 1:
            self.refused_at.append(now())
            error = {"error": {"message": "slow down"}}
            return httpx.Response(429, json=error, headers={"Retry-After": "2"})
        self._tokens -= 1
        await asyncio.sleep(0.05)
        return httpx.Response(200, json={"object": "list", "data": [], "next_cursor": None})

    def busiest_second(self) -> int:
        """Most calls that arrived within a second."""
        return max(Counter(int(at) for at in self.arrivals).values())


def provider(remote: Remote, limits: Limits | None = None) -> TogetherV2:
    rng = random.Random(1)
    http = httpx.AsyncClient(transport=httpx.MockTransport(remote))
    limiter = RateLimiter(limits, jitter=rng.random)
    return TogetherV2(SecretStr("key"), "http://together", http=http, limiter=limiter)


async def until_answered(
    ask: Callable[[], object], rng: random.Random, done: Callable[[], None]
) -> None:
    """As the work queue: again after the backoff, or after what the remote asked for."""
    failures = 0
    while True:
        try:
            await ask()  # type: ignore[misc]
        except RateLimited as error:
            failures += 1
            await asyncio.sleep(
                max(error.retry_after or 0.0, BACKOFF.delay(failures, rng.random()))
            )
        except Unavailable:
            failures += 1
            await asyncio.sleep(BACKOFF.delay(failures, rng.random()))
        else:
            done()
            return


async def storm(remote: Remote, ask: TogetherV2) -> dict[Priority, list[float]]:
    """Everybody at once; gives when who was answered."""
    rng = random.Random(2)
    answered: dict[Priority, list[float]] = {priority: [] for priority in Priority}
    await ask.project_slug()

    def caller(priority: Priority) -> asyncio.Task[None]:
        return asyncio.create_task(
            until_answered(
                lambda: ask.list_models(priority), rng, lambda: answered[priority].append(now())
            )
        )

    await asyncio.gather(*(caller(Priority(number % 2)) for number in range(CALLERS)))
    return answered


async def test_a_storm_of_429_ends_in_order() -> None:
    remote = Remote(per_second=20)
    began = now()

    answered = await storm(remote, provider(remote))

    assert sum(map(len, answered.values())) == CALLERS
    # It can't be faster than the remote's limit, and should not be much slower.
    assert CALLERS / 20 - 2 <= now() - began <= 4 * CALLERS / 20
    assert len(remote.refused_at) < CALLERS / 2, (
        "fewer are refused than there are callers, whatever they do"
    )
    first = {priority: sum(times) / len(times) for priority, times in answered.items()}
    assert first[Priority.INTERACTIVE] < first[Priority.POLLING]


async def test_nothing_is_sent_while_the_remote_asked_for_a_pause() -> None:
    remote = Remote(per_second=5)
    ask = provider(remote, Limits(burst=50))

    await storm(remote, ask)

    assert remote.refused_at
    # What was under way already when it was refused may still arrive.
    early = [
        (refused, at)
        for refused in remote.refused_at
        for at in remote.arrivals
        if refused + 0.1 < at < refused + 2.0
    ]
    assert early == [], "Retry-After is honoured by everybody"


async def test_after_an_outage_no_herd_comes() -> None:
    """A remote that takes 1,000 calls a second would not refuse a herd: it must not be sent one."""
    remote = Remote(per_second=1000, away=60)

    answered = await storm(remote, provider(remote))

    assert sum(map(len, answered.values())) == CALLERS
    assert remote.refused_at == []
    assert remote.busiest_second() <= 110, "the rate, and not the whole burst of 500"
    assert remote.lost < 12 * CALLERS, "backoff keeps callers from asking all the time"


async def test_objects_with_the_same_key_share_one_limiter_whatever_secret_it_is_in() -> None:
    made: list[SecretStr] = []

    class Secrets:
        async def read(self, namespace: str, name: str) -> dict[str, SecretStr]:
            return {"TOGETHER_API_KEY": SecretStr(" other " if name == "other" else "shared\n")}

    def connect(key: SecretStr) -> ModelProvider:
        made.append(key)
        return provider(Remote(1))

    from together_operator.api.v1alpha1 import SecretKeyRef

    accounts = Accounts(lambda: SecretStr("shared"), connect, Secrets())
    own = await accounts.of("a", None)
    same = await accounts.of("b", SecretKeyRef(name="mine", key="TOGETHER_API_KEY"))
    other = await accounts.of("b", SecretKeyRef(name="other", key="TOGETHER_API_KEY"))
    assert own is same
    assert own is not other
    assert [key.get_secret_value() for key in made] == ["shared", "other"]
