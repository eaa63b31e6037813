"""The work queue: once, one worker a key, urgent first, in time, and nothing lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.unit.engine.queues import drain, now, take
from together_operator.engine.workqueue import ShutDown, Urgency, WorkQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.looptime

NEW, CONTINUED, CHANGED, PERIODIC = Urgency


@pytest.fixture
async def queue() -> WorkQueue[str]:
    """An empty queue."""
    return WorkQueue()


# Once.


async def test_a_key_is_handed_out(queue: WorkQueue[str]) -> None:
    queue.add("a")
    assert await take(queue) == "a"
    assert (len(queue), queue.processing, queue.delayed) == (0, 1, 0)
    queue.done("a")
    assert queue.processing == 0


async def test_a_key_that_is_added_twice_is_handed_out_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    queue.add("a", PERIODIC)
    assert await drain(queue) == ["a"]


async def test_keys_of_one_urgency_come_in_the_order_of_their_adding(
    queue: WorkQueue[str],
) -> None:
    for key in "cab":
        queue.add(key)
    queue.add("a")
    assert await drain(queue) == ["c", "a", "b"]


# Urgency.


async def test_what_is_new_comes_first_then_what_was_begun_what_changed_and_what_is_due(
    queue: WorkQueue[str],
) -> None:
    queue.add("due", PERIODIC)
    queue.add("changed", CHANGED)
    queue.add("begun", CONTINUED)
    queue.add("new", NEW)
    assert await drain(queue) == ["new", "begun", "changed", "due"]


async def test_a_key_that_becomes_more_urgent_moves_up(queue: WorkQueue[str]) -> None:
    queue.add("a", PERIODIC)
    queue.add("b", PERIODIC)
    queue.add("b", CHANGED)
    assert await drain(queue) == ["b", "a"]


async def test_a_key_never_becomes_less_urgent(queue: WorkQueue[str]) -> None:
    queue.add("a", CHANGED)
    queue.add("b", CHANGED)
    queue.add("a", PERIODIC)
    assert await drain(queue) == ["a", "b"]


async def test_the_former_place_of_a_key_that_moved_up_is_nobody_s(
    queue: WorkQueue[str],
) -> None:
    queue.add("a", PERIODIC)
    queue.add("a", CHANGED)
    assert await drain(queue) == ["a"]
    await asyncio.sleep(1)
    queue.add("b", PERIODIC)
    queue.add("a", PERIODIC)
    assert await drain(queue) == ["b", "a"]


async def test_the_time_a_key_waited_is_told(queue: WorkQueue[str]) -> None:
    queue.add("a", PERIODIC)
    await asyncio.sleep(3)
    queue.add("a", CHANGED)
    await asyncio.sleep(2)
    assert await queue.get() == ("a", 5.0)
    queue.done("a")
    queue.add("a", PERIODIC)
    assert await queue.get() == ("a", 0.0)


# One worker a key.


async def test_a_key_that_is_worked_on_is_not_handed_out(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a")
    assert len(queue) == 0
    with pytest.raises(TimeoutError):
        await take(queue)


async def test_a_key_that_was_added_while_it_was_worked_on_comes_again(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a", PERIODIC)
    queue.add("a", CHANGED)
    queue.add("a", PERIODIC)
    queue.add("b", PERIODIC)
    queue.done("a")
    assert await drain(queue) == ["a", "b"], "once, and as urgent as the most urgent adding"


async def test_a_key_that_was_not_added_again_is_gone(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await take(queue)
    queue.done("a")
    with pytest.raises(TimeoutError):
        await take(queue)


async def test_done_with_an_unknown_key_changes_nothing(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.done("a")
    queue.done("b")
    assert await drain(queue) == ["a"]


# Delays.


async def test_a_delayed_key_comes_when_it_is_due(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 5)
    assert (len(queue), queue.delayed) == (0, 1)
    await asyncio.sleep(4.9)
    assert len(queue) == 0
    key, waited = await queue.get()
    assert (key, now(), waited, queue.delayed) == ("a", 5.0, 0.0, 0)


async def test_delayed_keys_come_in_the_order_of_their_times(queue: WorkQueue[str]) -> None:
    for key, seconds in (("c", 3), ("a", 1), ("b", 2)):
        queue.add_after(key, seconds)
    found = [(await queue.get())[0] for _ in range(3)]
    assert (found, now()) == (["a", "b", "c"], 3.0)


@pytest.mark.parametrize(("first", "second"), [(5.0, 2.0), (2.0, 5.0)])
async def test_the_earlier_of_two_delays_counts(
    queue: WorkQueue[str], first: float, second: float
) -> None:
    queue.add_after("a", first)
    queue.add_after("a", second)
    assert queue.delayed == 1
    await queue.get()
    assert now() == 2.0
    queue.done("a")
    await asyncio.sleep(10)
    assert len(queue) == 0, "the later one is void"


async def test_adding_overtakes_a_delay(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    assert await drain(queue) == ["a"]
    await asyncio.sleep(10)
    assert len(queue) == 0, "the delay is void"


async def test_a_delay_does_not_hold_back_a_key_that_waits(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add_after("a", 5)
    assert queue.delayed == 0
    assert await drain(queue) == ["a"]


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_no_delay_is_adding(queue: WorkQueue[str], seconds: float) -> None:
    queue.add_after("a", seconds)
    assert await drain(queue) == ["a"]


async def test_a_delay_that_ends_while_the_key_is_worked_on_lets_it_come_again(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await take(queue)
    queue.add_after("a", 2)
    await asyncio.sleep(3)
    assert len(queue) == 0
    queue.done("a")
    assert await drain(queue) == ["a"]


async def test_a_delay_of_a_key_that_will_come_again_anyway_is_not_needed(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add_after("a", 2)
    assert queue.delayed == 0


async def test_delays_are_measured_by_the_clock_that_is_handed_in() -> None:
    """One that is far ahead of the loop's: an earlier delay is noticed all the same."""
    queue: WorkQueue[str] = WorkQueue(clock=lambda: now() + 1e6)
    queue.add_after("late", 60)
    queue.add_after("early", 1)
    assert (await queue.get())[0] == "early"
    assert now() == pytest.approx(1.0)
    assert (await queue.get())[0] == "late"
    assert now() == pytest.approx(60.0)


# Waiting workers.


async def test_workers_that_wait_get_one_key_each(queue: WorkQueue[str]) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)
    for key in "abc":
        queue.add(key)
    assert sorted([(await worker)[0] for worker in workers]) == ["a", "b", "c"]


async def test_a_worker_that_is_cancelled_while_it_waits_takes_no_key_along(
    queue: WorkQueue[str],
) -> None:
    waiting = asyncio.create_task(queue.get())
    other = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    waiting.cancel()
    queue.add("a")
    assert (await other)[0] == "a"


async def test_a_worker_that_is_cancelled_when_it_was_just_woken_passes_it_on(
    queue: WorkQueue[str],
) -> None:
    woken = asyncio.create_task(queue.get())
    other = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add("a")  # wakes the first, which has not run yet
    woken.cancel()
    async with asyncio.timeout(1):
        assert (await other)[0] == "a"


async def test_shutting_down_lets_workers_end_and_hands_out_nothing_more(
    queue: WorkQueue[str],
) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(1)
    queue.shut_down()
    for worker in workers:
        with pytest.raises(ShutDown):
            await worker
    queue.add("a")
    queue.add_after("b", 1)
    await asyncio.sleep(2)
    assert (len(queue), queue.delayed) == (0, 0)


async def test_shutting_down_holds_back_what_waits_and_what_is_due(
    queue: WorkQueue[str],
) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 1)
    queue.shut_down()
    queue.done("a")
    await asyncio.sleep(2)
    with pytest.raises(ShutDown):
        await queue.get()


# Sifting.


async def test_of_what_is_due_a_worker_gets_what_the_sift_leaves() -> None:
    rounds: list[list[str]] = []

    def sift(keys: Sequence[str]) -> list[str]:
        rounds.append(list(keys))
        return [key for key in keys if key != "calm"]

    queue: WorkQueue[str] = WorkQueue(sift=sift)
    for key in ("busy", "calm", "later"):
        queue.add_after(key, 9.0 if key == "later" else 2.0)
    queue.add("calm", CHANGED)
    assert await drain(queue) == ["calm"], "what was added at once is nobody's to sift"
    queue.add_after("calm", 2.0)

    await asyncio.sleep(3.0)
    assert rounds == [["busy", "calm"]]
    assert (len(queue), queue.delayed) == (1, 1)
    assert await drain(queue) == ["busy"]


async def test_a_sift_may_put_a_key_back() -> None:
    looked: list[float] = []

    def sift(keys: Sequence[str]) -> list[str]:
        looked.append(now())
        for key in keys:
            own.add_after(key, 5.0)
        return []

    own: WorkQueue[str] = WorkQueue(sift=sift)
    own.add_after("a", 5.0)
    await asyncio.sleep(26.0)
    assert len(looked) == 5
    assert (len(own), own.delayed) == (0, 1)


async def test_a_sift_that_fails_loses_no_key() -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what["message"]))

    def sift(keys: Sequence[str]) -> list[str]:
        raise KeyError(*keys)

    queue: WorkQueue[str] = WorkQueue(sift=sift)
    queue.add_after("a", 1.0)
    queue.add_after("b", 2.0)
    await asyncio.sleep(3.0)
    assert await drain(queue) == ["a", "b"]
    assert len(told) == 2
