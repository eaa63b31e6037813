"""Which runs are made: every call of every scenario, with everything that can befall it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tests.sim import archiving, scenarios, serving, tampering
from tests.sim.simulation import Outcome, Simulation
from tests.support.fakes.api_server import Weather
from tests.support.fakes.network import KILLS, Call, Fault, applicable

SCENARIOS = {
    **scenarios.SCENARIOS,
    **tampering.SCENARIOS,
    **serving.SCENARIOS,
    **archiving.SCENARIOS,
}
SEED = "1"
SPARE_CALLS = 120
"""How many calls more than the undisturbed run one with faults may make, besides twice as many."""


@dataclass(frozen=True, slots=True)
class Case:
    """One run: what befalls which calls of a scenario."""

    scenario: str
    faults: tuple[tuple[int, Fault], ...]
    delete_at: int | None = None
    """The call at which somebody deletes everything."""

    def __str__(self) -> str:
        befallen = [f"call {number} {fault.name}" for number, fault in self.faults]
        if self.delete_at is not None:
            befallen.append(f"all deleted at call {self.delete_at}")
        return f"{self.scenario}: {', '.join(befallen)}"


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A scenario's run in which nothing fails, and what there was at each of its calls."""

    calls: tuple[Call, ...]
    situations: tuple[str, ...]
    prelude: int
    """How many of the calls only lead to what the scenario is about."""


@lru_cache
def undisturbed(scenario: str) -> Undisturbed:
    """The run that the faults are put into."""
    simulation = Simulation(SEED, record=True)
    outcome = simulation.run(SCENARIOS[scenario])
    assert outcome.violations == (), f"{scenario}: {outcome.violations}"
    return Undisturbed(outcome.calls, tuple(simulation.situations), simulation.prelude)


def run_case(case: Case, *, strict: bool = True) -> tuple[str, ...]:
    """Violations of one run."""
    faults = dict(case.faults)
    simulation = Simulation(
        SEED,
        lambda call: faults.get(call.number),
        strict=strict,
        delete_at=case.delete_at,
    )
    return judged(case.scenario, simulation.run(SCENARIOS[case.scenario]))


def judged(scenario: str, outcome: Outcome) -> tuple[str, ...]:
    """Violations, too many calls among them."""
    most = 2 * len(undisturbed(scenario).calls) + SPARE_CALLS * max(1, len(outcome.met))
    if len(outcome.calls) > most:
        return *outcome.violations, f"{len(outcome.calls)} calls, of {most} at most"
    return outcome.violations


def kills(call: Call) -> Sequence[Fault]:
    """The moments of one call that a process can die at; a read has no effect to be late."""
    return KILLS if call.writes else (Fault.KILL_BEFORE,)


def points(scenario: str, seen: set[tuple[str, str]] | None) -> Iterator[Call]:
    """Calls of a scenario; with `seen`, without its prelude and what was in the same situation."""
    run = undisturbed(scenario)
    for number, (call, situation) in enumerate(zip(run.calls, run.situations, strict=True)):
        if seen is not None:
            if number < run.prelude or (call.name, situation) in seen:
                continue
            seen.add((call.name, situation))
        yield call


def kill_cases(seen: set[tuple[str, str]] | None) -> Iterator[Case]:
    """The process dies once."""
    for scenario in SCENARIOS:
        for call in points(scenario, seen):
            for fault in kills(call):
                yield Case(scenario, ((call.number, fault),))


def fault_cases(seen: set[tuple[str, str]] | None) -> Iterator[Case]:
    """One call fails."""
    for scenario in SCENARIOS:
        for call in points(scenario, seen):
            for fault in applicable(call):
                yield Case(scenario, ((call.number, fault),))


def deletion_cases(seen: set[tuple[str, str]] | None) -> Iterator[Case]:
    """Somebody deletes everything during a call, whose answer may never come."""
    for scenario in SCENARIOS:
        for call in points(scenario, seen):
            yield Case(scenario, (), call.number)
            if call.writes:
                for fault in (Fault.KILL_LATE, Fault.LOST_LATE):
                    yield Case(scenario, ((call.number, fault),), call.number)


def twice_cases(seen: set[tuple[str, str]] | None) -> Iterator[Case]:
    """The process dies, and its successor dies at one of its first calls."""
    for scenario in SCENARIOS:
        for call in points(scenario, seen):
            for fault in kills(call):
                for later in range(1, 13):
                    for second in (Fault.KILL_BEFORE, Fault.KILL_AFTER):
                        yield Case(scenario, ((call.number, fault), (call.number + later, second)))


def stormy(scenario: str, seed: str, share: float) -> Simulation:
    """A simulation in which a share of all calls fails somehow, for a while, in bad weather."""
    rng = random.Random(f"{scenario} {seed}")
    calm = 3 * len(undisturbed(scenario).calls)

    def choose(call: Call) -> Fault | None:
        if call.number > calm or rng.random() > share:
            return None
        return rng.choice([*kills(call), *applicable(call)])

    return Simulation(seed, choose, Weather(delay=1.0, gaps=0.1, repeats=0.1))


def run_storm(scenario: str, seed: str, share: float) -> tuple[str, ...]:
    """Violations of one storm, and what had befallen it."""
    simulation = stormy(scenario, seed, share)
    violations = judged(scenario, simulation.run(SCENARIOS[scenario]))
    if not violations:
        return ()
    met = [f"{call.number} {call.name} {fault.name}" for call, fault in simulation.network.met]
    return *violations, f"after {met}"
