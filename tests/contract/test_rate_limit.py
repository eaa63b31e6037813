"""The rate limiter, in virtual time."""

import asyncio

import pytest

from together_operator.adapters.rate_limit import Limits, RateLimiter
from together_operator.domain.errors import RateLimited
from together_operator.ports import Priority

pytestmark = pytest.mark.looptime


def limiter(**limits: float) -> RateLimiter:
    whole = {k: int(v) if k in ("burst", "concurrency") else v for k, v in limits.items()}
    return RateLimiter(Limits(**whole), jitter=lambda: 0.0)  # type: ignore[arg-type]


def now() -> float:
    return asyncio.get_running_loop().time()


async def call(
    gate: RateLimiter, log: list[tuple[str, float]], name: str, priority: Priority, lasts: float = 0
) -> None:
    async with gate.slot(priority):
        log.append((name, round(now(), 3)))
        await asyncio.sleep(lasts)


async def run(gate: RateLimiter, names: str, lasts: float = 0) -> list[tuple[str, float]]:
    """Start a call for each letter; capitals are interactive. Gives who passed, and when."""
    log: list[tuple[str, float]] = []
    start = now()
    calls = []
    for name in names:
        priority = Priority.INTERACTIVE if name.isupper() else Priority.POLLING
        calls.append(asyncio.create_task(call(gate, log, name, priority, lasts)))
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    return [(name, round(at - start, 3)) for name, at in log]


async def test_a_burst_passes_and_the_rest_at_the_rate() -> None:
    gate = limiter(per_second=2, burst=3, concurrency=10)
    assert await run(gate, "ABCDE") == [("A", 0), ("B", 0), ("C", 0), ("D", 0.5), ("E", 1)]


async def test_tokens_come_back_while_nothing_is_asked() -> None:
    gate = limiter(per_second=2, burst=2, concurrency=10)
    await run(gate, "AB")
    await asyncio.sleep(10)
    assert await run(gate, "ABC") == [("A", 0), ("B", 0), ("C", 0.5)]


async def test_only_so_many_run_at_once() -> None:
    gate = limiter(concurrency=2)
    assert await run(gate, "ABCD", lasts=1) == [("A", 0), ("B", 0), ("C", 1), ("D", 1)]


async def test_interactive_calls_go_before_polling_ones() -> None:
    gate = limiter(concurrency=1)
    passed = await run(gate, "abcXY", lasts=1)
    assert [name for name, _ in passed] == ["a", "X", "Y", "b", "c"]


async def test_polling_is_not_starved() -> None:
    gate = limiter(concurrency=1)
    passed = await run(gate, "Ap" + "BCDEFGHIJKLMNOP", lasts=1)
    order = "".join(name for name, _ in passed)
    assert order.index("p") == 7


async def test_a_short_pause_is_waited_for() -> None:
    gate = limiter(patience=5)
    gate.refused(3.0)
    assert await run(gate, "A") == [("A", 3)]


async def test_a_long_pause_turns_callers_away_with_what_is_left_of_it() -> None:
    gate = limiter(patience=5)
    gate.refused(60.0)
    await asyncio.sleep(10)
    with pytest.raises(RateLimited) as caught:
        await run(gate, "A")
    assert caught.value.retry_after == pytest.approx(50)
    await asyncio.sleep(46)
    assert await run(gate, "A") == [("A", 4)]


async def test_who_waits_when_a_long_pause_begins_is_turned_away() -> None:
    gate = limiter(concurrency=1, patience=5)
    log: list[tuple[str, float]] = []
    running = asyncio.create_task(call(gate, log, "A", Priority.INTERACTIVE, 1))
    waiting = asyncio.create_task(call(gate, log, "B", Priority.INTERACTIVE))
    await asyncio.sleep(0.5)
    gate.refused(60.0)
    with pytest.raises(RateLimited):
        await waiting
    await running
    assert [name for name, _ in log] == ["A"]


async def test_a_pause_is_never_shortened() -> None:
    gate = limiter(patience=100)
    gate.refused(30.0)
    gate.refused(1.0)
    assert await run(gate, "A") == [("A", 30)]


async def test_without_a_hint_pauses_double_until_a_success() -> None:
    gate = limiter(first_pause=1, longest_pause=10)
    for pause in (1, 2, 4, 8, 10, 10):
        assert gate.refused(None) == pause
        await asyncio.sleep(pause)
    gate.succeeded()
    assert gate.refused(None) == 1


async def test_jitter_only_lengthens_a_pause() -> None:
    gate = RateLimiter(Limits(), jitter=lambda: 1.0)
    assert gate.refused(4.0) == 5.0
    assert gate.refused(100.0) == 105.0


async def test_calls_that_are_refused_together_are_one_refusal() -> None:
    gate = limiter(concurrency=32, burst=500, first_pause=1, patience=5)

    async def refused() -> float:
        async with gate.slot(Priority.INTERACTIVE):
            await asyncio.sleep(1)
        return gate.refused(None)

    pauses = await asyncio.gather(*(refused() for _ in range(32)))

    assert pauses == [1] * 32
    passed = [at for _, at in await run(gate, "A" * 32, lasts=100)]
    assert passed[0] == 1
    assert sum(at < 100 for at in passed) == 16, "half as many at once, and not one of 32"


async def test_a_longer_pause_that_is_asked_for_during_another_is_kept() -> None:
    gate = limiter(patience=100)
    gate.refused(None)
    assert gate.refused(30.0) == 30
    assert await run(gate, "A") == [("A", 30)]


async def test_a_pause_of_our_own_is_not_said_to_be_asked_for() -> None:
    gate = limiter(first_pause=60, patience=5)
    gate.refused(None)
    with pytest.raises(RateLimited, match=r"rate of calls: the next one goes in 60 seconds"):
        await run(gate, "A")


async def test_after_an_outage_calls_come_back_slowly() -> None:
    gate = limiter(concurrency=8, burst=100, per_second=100, patience=100)
    for _ in range(2):
        gate.refused(1.0)
        await asyncio.sleep(1)
    gate.refused(1.0)
    passed = await run(gate, "ABCDEF", lasts=1)
    assert [at for _, at in passed] == [1, 2, 3, 4, 5, 6], "one at a time instead of eight"
    for _ in range(100):
        gate.succeeded()
    await asyncio.sleep(10)
    assert {at for _, at in await run(gate, "ABCDEFGH", lasts=1)} == {0}


async def test_a_cancelled_caller_gives_its_place_up() -> None:
    gate = limiter(concurrency=1)
    log: list[tuple[str, float]] = []
    running = asyncio.create_task(call(gate, log, "A", Priority.INTERACTIVE, 1))
    waiting = asyncio.create_task(call(gate, log, "B", Priority.INTERACTIVE))
    last = asyncio.create_task(call(gate, log, "C", Priority.INTERACTIVE))
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.gather(running, last)
    assert [name for name, _ in log] == ["A", "C"]


async def test_a_caller_cancelled_in_its_very_turn_gives_the_slot_back() -> None:
    gate = limiter(concurrency=1)
    log: list[tuple[str, float]] = []
    running = asyncio.create_task(call(gate, log, "A", Priority.INTERACTIVE, 1))
    waiting = asyncio.create_task(call(gate, log, "B", Priority.INTERACTIVE))
    # `running` ends and hands its slot over before `waiting` gets to run: cancelled in between.
    running.add_done_callback(lambda _: waiting.cancel())
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert await run(gate, "C") == [("C", 0)]


async def test_a_failing_call_gives_its_slot_back() -> None:
    gate = limiter(concurrency=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="oops"):
            async with gate.slot(Priority.POLLING):
                raise ValueError("oops")
    assert await run(gate, "A") == [("A", 0)]
