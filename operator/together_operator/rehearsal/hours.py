"""How long something runs of the time that comes: what a price is multiplied by."""

from __future__ import annotations

from datetime import datetime, timedelta

from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.domain.deployment.timetable import due

DAY, MONTH = 24, 730
"""Hours; a month is a twelfth of a year."""


def running_hours(md: ModelDeployment, start: datetime, hours: float) -> float:
    """Of the `hours` from `start` on, those in which schedule and ttl let replicas run."""
    at, end, ran = start, start + timedelta(hours=hours), timedelta()
    while at < end:
        clock = due(md, at)
        until = min(clock.next_change.time, end) if clock.next_change is not None else end
        if clock.runs:
            ran += until - at
        at = until
    return ran / timedelta(hours=1)
