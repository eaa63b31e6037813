"""A week of schedule in virtual time, once over each clock change: the real reconcilers run it.

Replicas start and stop at the right minutes by the clock on the wall, and nothing is billed
outside of the windows but the seconds that a start and a stop take.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.sim import process, simulation
from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, Simulation
from tests.support.fakes import catalog, virtual_time
from tests.support.fakes.ground import Write

BERLIN = ZoneInfo("Europe/Berlin")
WINDOWS = [
    {"start": "0 8 * * MON-FRI", "stop": "0 18 * * MON-FRI"},
    {"start": "30 1 * * *", "stop": "30 3 * * *"},
]
DAYS = 7
TOLERANCE_SECONDS = 15.0
"""From the minute of the cron line until Together was asked."""


def _expected(first: date) -> list[tuple[datetime, datetime]]:
    """When replicas run, from the clock on the wall and not from cron."""
    found = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        spans = [(time(1, 30), time(3, 30))]
        if day.weekday() < 5:
            spans.append((time(8), time(18)))
        for begin, end in spans:
            local = (datetime.combine(day, moment, BERLIN) for moment in (begin, end))
            start, stop = (moment.astimezone(UTC) for moment in local)
            found.append((start, stop))
    return found


@pytest.mark.parametrize(
    ("first", "hours"),
    [
        # On March 29th, the night's two hours last one; on October 25th, they last three.
        (date(2026, 3, 25), 5 * 10 + 6 * 2 + 1),
        (date(2026, 10, 21), 5 * 10 + 6 * 2 + 3),
    ],
)
def test_a_week_over_a_clock_change(
    first: date, hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "RESYNC", 3600.0)
    begin = datetime.combine(first, time(0), BERLIN).astimezone(UTC)
    # The loop's own time stays small: far from 0, its floats can't say what is due next.
    monkeypatch.setattr(virtual_time, "EPOCH", begin)
    monkeypatch.setattr(simulation, "EPOCH", begin)
    sim = Simulation("week", strict=False)
    asked: list[tuple[datetime, int]] = []
    price = 0.0

    def note(write: Write) -> None:
        row = sim.platform.deployments.row(write.id) if write.kind == "deployment" else None
        if row is not None and row.current is not None:
            nonlocal price
            price = catalog.cents_per_hour(row.current.config)
            replicas = row.current.max_replicas
            if not asked or asked[-1][1] != replicas:
                asked.append((sim.loop.now(), replicas))

    async def week(sim: Simulation) -> None:
        furnish(sim)
        sim.platform.observers.append(note)
        sim.apply(custom_model("m", hugging_face()))
        await sim.ready(MODEL, "m")
        schedule = {"timeZone": "Europe/Berlin", "windows": WINDOWS}
        sim.apply(model_deployment("d", "m", schedule=schedule))
        end = begin + timedelta(days=DAYS)
        await sim.sleep((end - sim.loop.now()).total_seconds())
        status = sim.status(DEPLOYMENT, "d")
        assert status["phase"] == "Stopped"
        assert status["nextChange"]["action"] == "Start"
        sim.platform.observers.remove(note)

    assert sim.run(week).violations == ()

    wanted = [moment for span in _expected(first) for moment in span]
    assert [replicas for _, replicas in asked] == [1, 0] * len(_expected(first))
    late = [(at - moment).total_seconds() for (at, _), moment in zip(asked, wanted, strict=True)]
    assert all(0 <= seconds <= TOLERANCE_SECONDS for seconds in late), late
    billed = sim.platform.cents / price
    slack = len(wanted) * (TOLERANCE_SECONDS + sim.platform.timing.stop) / 3600
    assert hours - slack <= billed <= hours + slack
    print(f"{first}: {len(wanted)} changes, at most {max(late):.1f} s late, {billed:.2f} h billed")
