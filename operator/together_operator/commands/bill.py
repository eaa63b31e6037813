"""What planned objects cost together, by list price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from together_operator.commands.output import amount
from together_operator.rehearsal import Forecast
from together_operator.rehearsal.hours import DAY, MONTH


@dataclass(frozen=True, slots=True)
class Dollars:
    """An amount, and what it may grow to by autoscaling."""

    least: Decimal
    most: Decimal

    def text(self, places: int = 2, unit: str = "") -> str:
        """`1.49`, or `1.49 to 11.92`."""
        ends = [f"{unit}{amount:.{places}f}" for amount in (self.least, self.most)]
        return " to ".join(dict.fromkeys(ends))


def hourly(forecast: Forecast) -> Dollars | None:
    """Of an object in an hour in which it runs; None: it has no price."""
    least = amount(forecast.running.dollars_per_hour)
    if least is None:
        return None
    return Dollars(least, max(least, amount(forecast.running.most_per_hour) or least))


def _total(forecasts: Sequence[Forecast], hours: Callable[[Forecast], float]) -> Dollars:
    """Of all objects, each for so many hours."""
    priced = [(price, Decimal(hours(f))) for f in forecasts if (price := hourly(f)) is not None]
    return Dollars(
        sum((price.least * count for price, count in priced), Decimal(0)),
        sum((price.most * count for price, count in priced), Decimal(0)),
    )


def an_hour(forecasts: Sequence[Forecast]) -> Dollars:
    """Of all objects in an hour in which all of them run."""
    return _total(forecasts, lambda _: 1)


def a_month(forecasts: Sequence[Forecast]) -> Dollars:
    """Of all objects in the month that comes, with what schedules and lifetimes leave of it."""
    return _total(forecasts, lambda forecast: forecast.month)


def summary(forecasts: Sequence[Forecast]) -> str:
    """The whole in one sentence."""
    hour, month = an_hour(forecasts).text(unit="$"), a_month(forecasts).text(0, "$")
    day = _total(forecasts, lambda forecast: forecast.day).text(unit="$")
    if all((f.day, f.month) == (DAY, MONTH) for f in forecasts if hourly(f) is not None):
        return f"{hour} an hour by list price, {day} a day, {month} in a month of {MONTH} hours."
    return (
        f"{hour} an hour by list price while all run; by schedules and lifetimes {day} in the next "
        f"{DAY} hours, {month} in the next {MONTH}."
    )
