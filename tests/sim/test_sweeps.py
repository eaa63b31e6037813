"""Every scenario, killed and disturbed at every call: no invariant is ever violated.

By default, a call that comes in the same situation in several scenarios is disturbed in the first
of them only, and faults and double kills are sampled. `SIM_EXHAUSTIVE=1` makes every run; it takes
hours. The runs are shared out among processes, one a processor: each is alone with its seed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache, partial
from types import FrameType
from typing import TypeVar

import pytest

from tests.sim import sweep
from tests.sim.sweep import SCENARIOS, Case
from tests.sim.tally import TALLY, floors

EXHAUSTIVE = bool(os.environ.get("SIM_EXHAUSTIVE"))
EVERY_FAULT, EVERY_DELETION, EVERY_TWICE = 29, 7, 449
"""One of so many is run; primes to each other and to the numbers of faults a call."""

STORMS, SHARE = 3, 0.08
SHOWN = 3
RUN_SECONDS = 60
"""Real ones for one run, which takes a tenth of a second: more is a loop that never waits."""

each_scenario = pytest.mark.parametrize("scenario", list(SCENARIOS))


T = TypeVar("T")
Make = Callable[[set[tuple[str, str]] | None], Iterable[Case]]


@lru_cache
def plan(make: Make, every: int) -> tuple[list[Case], Counter[str]]:
    """The cases that are run, and how many there are of each scenario without sampling."""
    everything = list(make(None))
    possible = Counter(case.scenario for case in everything)
    return everything if EXHAUSTIVE else list(make(set()))[::every], possible


def cases_of(scenario: str, make: Make, every: int) -> tuple[list[Case], int]:
    """The part of a plan that belongs to a scenario."""
    chosen, possible = plan(make, every)
    return [case for case in chosen if case.scenario == scenario], possible[scenario]


@pytest.fixture(scope="module")
def processors() -> Iterator[Executor]:
    """Processes of their own; not forked, since other tests may have left threads in this one."""
    anew = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), anew) as pool:
        yield pool


def in_time(judge: Callable[[T], tuple[str, ...]], run: T) -> tuple[str, ...]:
    """Violations of a run in a process of its own, which ends with the run's name if it hangs."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{run} has not ended after {RUN_SECONDS} s")

    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(RUN_SECONDS)
    try:
        return judge(run)
    finally:
        signal.alarm(0)


def run_all(processors: Executor, what: str, cases: Sequence[Case], possible: int) -> None:
    found = processors.map(partial(in_time, sweep.run_case), cases)
    bad = {
        str(case): violations for case, violations in zip(cases, found, strict=True) if violations
    }
    TALLY.add(what, len(cases), possible, len(bad))
    shown = "\n\n".join(
        "\n  ".join([case, *(v[:1500] for v in violations[:SHOWN])])
        for case, violations in list(bad.items())[:SHOWN]
    )
    assert not bad, f"{len(bad)} of {len(cases)} runs:\n{shown}"


@each_scenario
def test_a_process_that_dies_at_any_call_leaves_nothing_wrong(
    processors: Executor, scenario: str
) -> None:
    cases, possible = cases_of(scenario, sweep.kill_cases, 1)
    run_all(processors, "kill points", cases, possible)


@each_scenario
def test_any_call_may_fail_in_any_way(processors: Executor, scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.fault_cases, EVERY_FAULT)
    run_all(processors, "faults", cases, possible)


@each_scenario
def test_everything_may_be_deleted_during_any_call(processors: Executor, scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.deletion_cases, EVERY_DELETION)
    run_all(processors, "deletions", cases, possible)


@each_scenario
def test_a_process_may_die_twice_in_a_row(processors: Executor, scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.twice_cases, EVERY_TWICE)
    run_all(processors, "double kills", cases, possible)


@each_scenario
def test_anything_may_fail_in_a_storm(processors: Executor, scenario: str) -> None:
    seeds = [str(seed) for seed in range(STORMS)]
    judge = partial(sweep.run_storm, scenario, share=SHARE)
    judged = zip(seeds, processors.map(partial(in_time, judge), seeds), strict=True)
    bad = {seed: violations for seed, violations in judged if violations}
    TALLY.add("storms", STORMS, STORMS, len(bad))
    assert not bad, bad


def test_the_numbers_of_runs_only_grow() -> None:
    """The floors are of the default run: of its plan, whichever of it was run just now."""
    planned = {
        "scenarios": len(SCENARIOS),
        "kill points": len(plan(sweep.kill_cases, 1)[0]),
        "faults": len(plan(sweep.fault_cases, EVERY_FAULT)[0]),
        "deletions": len(plan(sweep.deletion_cases, EVERY_DELETION)[0]),
        "double kills": len(plan(sweep.twice_cases, EVERY_TWICE)[0]),
        "storms": STORMS * len(SCENARIOS),
    }
    low = {
        what: f"{planned[what]} < {least}"
        for what, least in floors().items()
        if planned[what] < least
    }
    assert not low, f"fewer than before: {low}; add scenarios rather than lower the floor"
