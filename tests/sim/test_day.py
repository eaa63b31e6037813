"""Objects that are gone leave nothing behind in the controllers."""

from __future__ import annotations

from tests.sim.day import HOURS, OBJECTS, ROUNDS, day


def test_in_the_second_half_of_a_day_of_churn_no_more_is_kept_than_in_the_first() -> None:
    violations, kept = day("1")

    assert violations == ()
    assert len(kept) == HOURS
    half = HOURS // 2
    places = set().union(*kept)
    assert {"Store._packed", "Calm._still", "WorkQueue._heap", "Listing._writes"} <= places
    before = {place: max(hour[place] for hour in kept[:half]) for place in places}
    after = {place: max(hour[place] for hour in kept[half:]) for place in places}
    grown = {p: (before[p], after[p]) for p in places if after[p] > before[p]}
    assert not grown, "places, and how many things were there in each half of the day"
    # One thing of each object that came and went would be many times all that there is.
    assert sum(after.values()) < HOURS * ROUNDS * OBJECTS / 4
