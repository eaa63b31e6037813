"""Every scenario, killed and disturbed at every call: no invariant is ever violated.

By default, a call that comes in the same situation in several scenarios is disturbed in the first
of them only, and faults and double kills are sampled. `SIM_EXHAUSTIVE=1` makes every run; it takes
hours.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import pytest

from tests.sim import sweep
from tests.sim.sweep import SCENARIOS, Case
from tests.sim.tally import TALLY, floors

EXHAUSTIVE = bool(os.environ.get("SIM_EXHAUSTIVE"))
EVERY_FAULT, EVERY_DELETION, EVERY_TWICE = 29, 7, 449
"""One of so many is run; primes to each other and to the numbers of faults a call."""

STORMS, SHARE = 3, 0.08
SHOWN = 3

each_scenario = pytest.mark.parametrize("scenario", list(SCENARIOS))


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


def run_all(what: str, cases: Sequence[Case], possible: int) -> None:
    bad = {}
    for case in cases:
        violations = sweep.run_case(case)
        if violations:
            bad[str(case)] = violations
    TALLY.add(what, len(cases), possible, len(bad))
    shown = "\n\n".join(
        "\n  ".join([case, *(v[:1500] for v in violations[:SHOWN])])
        for case, violations in list(bad.items())[:SHOWN]
    )
    assert not bad, f"{len(bad)} of {len(cases)} runs:\n{shown}"


@each_scenario
def test_a_process_that_dies_at_any_call_leaves_nothing_wrong(scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.kill_cases, 1)
    run_all("kill points", cases, possible)


@each_scenario
def test_any_call_may_fail_in_any_way(scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.fault_cases, EVERY_FAULT)
    run_all("faults", cases, possible)


@each_scenario
def test_everything_may_be_deleted_during_any_call(scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.deletion_cases, EVERY_DELETION)
    run_all("deletions", cases, possible)


@each_scenario
def test_a_process_may_die_twice_in_a_row(scenario: str) -> None:
    cases, possible = cases_of(scenario, sweep.twice_cases, EVERY_TWICE)
    run_all("double kills", cases, possible)


@each_scenario
def test_anything_may_fail_in_a_storm(scenario: str) -> None:
    bad = {}
    for seed in range(STORMS):
        simulation = sweep.stormy(scenario, str(seed), SHARE)
        violations = sweep.judged(scenario, simulation.run(SCENARIOS[scenario]))
        if violations:
            met = [f"{c.number} {c.name} {f.name}" for c, f in simulation.network.met]
            bad[seed] = (*violations, f"after {met}")
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
