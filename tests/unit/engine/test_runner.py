"""In which order a runner's workers get what the watch delivers."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.unit.engine.queues import drain
from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import Done, Outcome
from together_operator.domain.plan import FINALIZER
from together_operator.engine.runner import (
    LATEST,
    ROUNDS,
    SOONEST,
    Meter,
    Reconcile,
    Runner,
    Settings,
)
from together_operator.engine.store import Key, Store


class Ignored:
    """A meter that nobody reads."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None: ...

    def glanced(self, kind: str, number: int) -> None: ...


RESYNC = 600.0


def a_runner(
    reconcile: Reconcile,
    workers: int,
    *,
    is_settled: bool = False,
    meter: Meter | None = None,
    is_calm: Callable[[Key], bool] = lambda _: False,
) -> Runner:
    """One that knows no object yet; all bodies are settled, or none is."""
    settings = Settings(workers, RESYNC, Backoff(base=1.0, cap=60.0))
    return Runner(
        "CustomModel",
        reconcile,
        Store(),
        settings,
        meter or Ignored(),
        random.Random(0),
        lambda _: is_settled,
        is_calm,
    )


async def nothing(key: Key) -> Outcome:
    return Done()


def body(name: str, *finalizers: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "team", "name": name, "resourceVersion": "1"}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"metadata": metadata}


async def test_the_first_step_of_an_object_comes_before_all_that_was_begun() -> None:
    runner = a_runner(nothing, 1)

    for found in (body("begun", FINALIZER), body("theirs", "example.com/other"), body("new")):
        runner.observed(found)

    assert [key.name for key in await drain(runner.queue)] == ["theirs", "new", "begun"]


class Looks:
    """When each object was looked at, by the loop's clock."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = defaultdict(list)

    async def reconcile(self, key: Key) -> Outcome:
        self.at[key.name].append(asyncio.get_running_loop().time())
        return Done()


@pytest.mark.looptime
@pytest.mark.parametrize("is_settled", [True, False], ids=["settled before the start", "new"])
async def test_all_is_looked_at_within_each_resync_period_and_many_at_a_time(
    is_settled: bool,
) -> None:
    looks = Looks()
    runner = a_runner(looks.reconcile, 4, is_settled=is_settled)
    runner.start()
    names = [f"m-{n}" for n in range(1000)]
    started = asyncio.get_running_loop().time()
    for name in names:
        runner.observed(body(name, FINALIZER))
    await asyncio.sleep(5 * RESYNC)
    await runner.stop()

    for name in names:
        moments = [started, *looks.at[name]]
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert len(moments) > 5 / LATEST
        assert max(gaps) <= RESYNC * LATEST + 0.001
        assert min(gaps[1:]) >= RESYNC * (SOONEST - 1 / ROUNDS) - 0.001
    moments_of_all = {moment for found in looks.at.values() for moment in found}
    assert len(moments_of_all) <= 5 * ROUNDS + 1


class Counted(Ignored):
    """Counts what needed no reconcile."""

    def __init__(self) -> None:
        self.number = 0

    def glanced(self, kind: str, number: int) -> None:
        self.number += number


@pytest.mark.looptime
async def test_what_is_calm_needs_no_worker_and_is_asked_about_as_often() -> None:
    looks, meter, asked = Looks(), Counted(), dict[str, list[float]]()
    bodies = [body(f"m-{n}", FINALIZER) for n in range(200)]

    def is_calm(key: Key) -> bool:
        asked.setdefault(key.name, []).append(asyncio.get_running_loop().time())
        if key.name == "m-1" and len(asked[key.name]) == 2:
            raise KeyError("a bug")
        return key.name != "m-0"

    runner = a_runner(looks.reconcile, 1, is_settled=True, meter=meter, is_calm=is_calm)
    runner.start()
    started = asyncio.get_running_loop().time()
    for found in bodies:
        runner.observed(found)
    await asyncio.sleep(5 * RESYNC)
    await runner.stop()

    at_once = {name for name, moments in looks.at.items() if moments == [started]}
    told = looks.at.keys() - at_once
    assert told == {"m-0", "m-1"}, "what is not calm, and where that can't be told"
    assert len(looks.at["m-1"]) == 1
    assert looks.at["m-0"] == asked["m-0"], "at once"
    for moments in asked.values():
        assert len(moments) > 5 / LATEST - 1
        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert max(gaps) <= RESYNC * LATEST + 0.001
    calm = sum(len(moments) for moments in asked.values()) - len(looks.at["m-0"]) - 1
    assert meter.number == len(bodies) + calm


def held_until(end: asyncio.Event) -> Runner:
    """A runner whose two workers keep what they take until then."""

    async def slow(key: Key) -> Outcome:
        del key
        await end.wait()
        return Done()

    return a_runner(slow, 2)


@pytest.mark.looptime
async def test_one_slow_object_beside_idle_workers_is_no_reason_to_begin_anew() -> None:
    end = asyncio.Event()
    runner = held_until(end)
    runner.start()
    bounds = 120.0, 900.0

    await asyncio.sleep(500)
    runner.queue.add(Key("team", "slow"))
    assert not runner.is_stuck(*bounds)
    await asyncio.sleep(899)
    assert not runner.is_stuck(*bounds)
    await asyncio.sleep(2)
    assert runner.is_stuck(*bounds)

    end.set()
    await asyncio.sleep(1)
    assert not runner.is_stuck(*bounds)
    await runner.stop()


@pytest.mark.looptime
async def test_keys_that_wait_while_no_worker_takes_one_are_a_reason() -> None:
    end = asyncio.Event()
    runner = held_until(end)
    runner.start()
    for name in ("one", "other"):
        runner.queue.add(Key("team", name))
    await asyncio.sleep(200)
    assert not runner.is_stuck(120.0, 900.0)

    runner.queue.add(Key("team", "third"))
    await asyncio.sleep(119)
    assert not runner.is_stuck(120.0, 900.0)
    await asyncio.sleep(2)
    assert runner.is_stuck(120.0, 900.0)

    end.set()
    await runner.stop()
