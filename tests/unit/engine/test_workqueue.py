"""The work queue: once, one worker a key, urgent first, in time, and nothing lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.engine.workqueue import ShutDown, Urgency, WorkQueue

pytestmark = pytest.mark.looptime

CONTINUED, CHANGED, PERIODIC = Urgency


def now() -> float:
    """The loop's virtual time."""
    return asyncio.get_running_loop().time()


async def take(queue: WorkQueue[str]) -> str:
    """The next key, which must be there already."""
    async with asyncio.timeout(0.001):
        key, _ = await queue.get()
    return key


async def drain(queue: WorkQueue[str]) -> list[str]:
    """All keys that are ready, in order; each is done at once."""
    keys = []
    while len(queue):
        keys.append(await take(queue))
        queue.done(keys[-1])
    return keys


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


async def test_what_was_begun_comes_before_what_changed_and_that_before_what_is_due(
    queue: WorkQueue[str],
) -> None:
    queue.add("due", PERIODIC)
    queue.add("changed", CHANGED)
    queue.add("begun", CONTINUED)
    assert await drain(queue) == ["begun", "changed", "due"]


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


# A model that is too simple to be wrong, and any course of events.


@dataclass
class Model:
    """What the queue promises, in lists and dictionaries."""

    ready: dict[str, tuple[Urgency, float]] = field(default_factory=dict)
    order: list[tuple[Urgency, str]] = field(default_factory=list)
    working: set[str] = field(default_factory=set)
    again: dict[str, Urgency] = field(default_factory=dict)
    due: dict[str, float] = field(default_factory=dict)

    def add(self, key: str, urgency: Urgency, at: float) -> None:
        self.due.pop(key, None)
        if key in self.working:
            self.again[key] = min(urgency, self.again.get(key, urgency))
        elif key not in self.ready:
            self.ready[key] = (urgency, at)
            self.order.append((urgency, key))
        elif urgency < self.ready[key][0]:
            self.order.remove((self.ready[key][0], key))
            self.ready[key] = (urgency, self.ready[key][1])
            self.order.append((urgency, key))

    def add_after(self, key: str, seconds: float, at: float) -> None:
        if key not in self.ready and key not in self.again:
            self.due[key] = min(at + seconds, self.due.get(key, at + seconds))

    def ring(self, at: float) -> None:
        for key, _ in sorted(self.due.items(), key=lambda item: item[1]):
            if key in self.due and self.due[key] <= at:
                when = self.due.pop(key)
                self.add(key, PERIODIC, when)

    def take(self) -> tuple[str, float]:
        urgency = min(urgency for urgency, _ in self.order)
        place = next(place for place in self.order if place[0] == urgency)
        self.order.remove(place)
        _, since = self.ready.pop(place[1])
        self.working.add(place[1])
        return place[1], since

    def done(self, key: str, at: float) -> None:
        self.working.discard(key)
        if key in self.again:
            self.add(key, self.again.pop(key), at)


KEYS = "abcd"
operations = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(KEYS), st.sampled_from(Urgency)),
    st.tuples(st.just("add_after"), st.sampled_from(KEYS), st.integers(1, 40)),
    st.tuples(st.just("take"), st.none(), st.none()),
    st.tuples(st.just("done"), st.integers(0, 3), st.none()),
    st.tuples(st.just("sleep"), st.none(), st.integers(1, 15)),
)


def in_virtual_time(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on a loop whose time passes only by waiting."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(scenario())


@given(st.lists(operations, max_size=40))
def test_any_course_of_events_is_as_the_model_says(course: list[tuple[str, Any, Any]]) -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        model = Model()
        for step, (what, one, two) in enumerate(course):
            # Each step at a moment of its own, so that no two things are due at once.
            await asyncio.sleep(1 + (two / 100 if what == "sleep" else 0) + step / 1000)
            at = now()
            model.ring(at)
            match what:
                case "add":
                    queue.add(one, two)
                    model.add(one, two, at)
                case "add_after":
                    # Steps are at whole milliseconds: a delay ends between them, each at its own.
                    seconds = round(two / 7, 3) + 0.0005 + step / 100_000
                    queue.add_after(one, seconds)
                    model.add_after(one, seconds, at)
                case "take" if model.order:
                    key, since = model.take()
                    found, waited = await queue.get()
                    assert found == key
                    assert waited == pytest.approx(at - since, abs=1e-6)
                case "done" if model.working:
                    key = sorted(model.working)[one % len(model.working)]
                    queue.done(key)
                    model.done(key, at)
            assert len(queue) == len(model.ready)
            assert queue.processing == len(model.working)
            assert queue.delayed == len(model.due)
        for key in sorted(model.working):
            queue.done(key)
            model.done(key, now())
        await asyncio.sleep(100)
        model.ring(now())
        while model.order:
            key, _ = model.take()
            assert await take(queue) == key
        assert (len(queue), queue.delayed) == (0, 0), "nothing is left over"

    in_virtual_time(scenario)


@given(
    st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 30)), max_size=25), st.integers(1, 4)
)
def test_workers_share_any_load_without_losing_or_doubling(
    load: list[tuple[str, int]], workers: int
) -> None:
    async def scenario() -> None:
        queue: WorkQueue[str] = WorkQueue()
        wanted: dict[str, float] = {}
        begun: dict[str, float] = {}
        busy: set[str] = set()

        async def work() -> None:
            while True:
                try:
                    key, _ = await queue.get()
                except ShutDown:
                    return
                assert key not in busy, "two workers have one key"
                busy.add(key)
                begun[key] = now()
                await asyncio.sleep(0.7)
                busy.discard(key)
                queue.done(key)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for key, delay in load:
            queue.add(key) if delay < 10 else queue.add_after(key, delay / 10)
            wanted[key] = now()
            await asyncio.sleep(delay / 20)
        await asyncio.sleep(60)
        queue.shut_down()
        await asyncio.gather(*tasks)
        assert begun.keys() == wanted.keys()
        for key, when in wanted.items():
            assert begun[key] >= when, f"{key} was not looked at after it was added last"

    in_virtual_time(scenario)
