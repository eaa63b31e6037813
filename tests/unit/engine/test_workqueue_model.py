"""The work queue against a model that is too simple to be wrong, by any course of events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import looptime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engine.queues import now, take
from together_operator.engine.workqueue import ShutDown, Urgency, WorkQueue

pytestmark = pytest.mark.looptime

NEW, CONTINUED, CHANGED, PERIODIC = Urgency


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
