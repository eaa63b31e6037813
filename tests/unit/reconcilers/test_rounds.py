"""When an imported source is looked at again."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from together_operator.reconcilers.rounds import Rounds

STARTED = datetime(2026, 11, 27, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENT = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("seconds", "looked", "now", "due"),
    [
        pytest.param(3600, None, HOUR, True, id="an interval after the start, whatever its share"),
        pytest.param(3600, HOUR, HOUR, False, id="looked at just now"),
        pytest.param(3600, HOUR, 2 * HOUR - MOMENT, False, id="not yet"),
        pytest.param(3600, HOUR, 2 * HOUR, True, id="an interval later"),
        pytest.param(0, None, 999 * HOUR, False, id="never"),
    ],
)
def test_an_object_is_due_once_an_interval(
    seconds: float, looked: timedelta | None, now: timedelta, due: bool
) -> None:
    rounds = Rounds(seconds, STARTED, lambda: 1)
    if looked is not None:
        rounds.looked("uid", STARTED + looked)
    assert rounds.is_due("uid", STARTED + now) is due


def test_first_looks_are_spread_evenly_over_the_interval() -> None:
    rounds, uids = Rounds(3600, STARTED, lambda: 1), [f"uid-{number}" for number in range(1000)]
    due = [
        sum(rounds.is_due(uid, STARTED + quarter * HOUR / 4) for uid in uids)
        for quarter in range(5)
    ]
    assert due[0] == 0
    assert due[4] == len(uids)
    steps = [later - earlier for earlier, later in pairwise(due)]
    assert all(200 <= step <= 300 for step in steps), steps


def test_with_very_many_objects_the_interval_is_longer() -> None:
    rounds = Rounds(3600, STARTED, lambda: 10_000)  # every two seconds one: 20,000 seconds
    rounds.looked("uid", STARTED)

    assert not rounds.is_due("uid", STARTED + 5 * HOUR)
    assert rounds.is_due("uid", STARTED + 6 * HOUR)


def test_objects_that_are_gone_are_forgotten() -> None:
    rounds = Rounds(3600, STARTED, lambda: 1)
    rounds.looked("gone", STARTED)
    for hours in range(1, 6):
        rounds.looked("there", STARTED + hours * HOUR)
    assert len(rounds) == 1
