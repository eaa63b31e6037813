"""What a plan says about money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from together_operator.commands import bill
from together_operator.engine.store import Key
from together_operator.rehearsal import Forecast, Stage

OPENS = datetime(2026, 11, 30, 8, tzinfo=UTC)


def forecast(least: str | None, most: str | None = None) -> Forecast:
    """Of a deployment that would become ready."""
    kind, key = "ModelDeployment", Key("team", "d")
    return Forecast(kind, key, (), Stage.READY, "Ready", "", least, most or least)


def closed(least: str, day: float, month: float) -> Forecast:
    """Of one whose window opens later."""
    opened = forecast(least)
    return replace(forecast("0.00"), opens=OPENS, opened=opened, day=day, month=month)


def test_prices_are_told_for_longer_too() -> None:
    assert bill.summary([forecast("1.49"), forecast("2.00"), forecast(None)]) == (
        "$3.49 an hour by list price, $83.76 a day, $2548 in a month of 730 hours."
    )


def test_what_autoscaling_may_add_is_told() -> None:
    assert bill.summary([forecast("1.49", "11.92"), forecast("1.00")]) == (
        "$2.49 to $12.92 an hour by list price, $59.76 to $310.08 a day, "
        "$1818 to $9432 in a month of 730 hours."
    )


def test_of_a_schedule_the_open_hours_are_priced() -> None:
    assert bill.summary([closed("2.00", 0, 210), forecast("1.00")]) == (
        "$3.00 an hour by list price while all run; by schedules and lifetimes $24.00 in the next "
        "24 hours, $1150 in the next 730."
    )


def test_what_costs_nothing_says_so() -> None:
    assert bill.summary([]).startswith("$0.00 an hour by list price, $0.00 a day, $0 in a month")
