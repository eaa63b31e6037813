"""When replicas run: schedule windows and the lifetime, decided from nothing but the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from together_operator.api.v1alpha1 import (
    ModelDeployment,
    NextChange,
    Schedule,
    ScheduleWindow,
    TtlAction,
)
from together_operator.domain.conditions import Reason

START, STOP, DELETE = "Start", "Stop", "Delete"

MAX_FIRINGS = 2000
"""Firings looked through for the next change; a schedule that has none among them never changes."""


@dataclass(frozen=True, slots=True)
class Due:
    """What the clock says now.

    Args:
        runs: whether replicas may run.
        reason: why they may not.
        deletes: the lifetime is over and asks for the object's deletion.
        next_change: what comes next, if anything does.
    """

    runs: bool = True
    reason: Reason = Reason.STOPPED
    deletes: bool = False
    next_change: NextChange | None = None


def due(md: ModelDeployment, now: datetime) -> Due:
    """What schedule and ttl of an object mean at `now`; a schedule with a problem means nothing."""
    end = end_of_life(md)
    if end is not None and end <= now:
        deletes = md.spec.ttl is not None and md.spec.ttl.action is TtlAction.DELETE
        return Due(runs=False, reason=Reason.EXPIRED, deletes=deletes)
    runs, flip = True, None
    if md.spec.schedule is not None and problem(md.spec.schedule) is None:
        # Cron knows no seconds: within a minute nothing changes, and the answer can be kept.
        runs, flip = _now_and_next(md.spec.schedule, now.replace(second=0, microsecond=0))
    changes = []
    if flip is not None and md.spec.replicas > 0:
        changes.append(NextChange(time=flip, action=STOP if runs else START))
    if end is not None and md.spec.ttl is not None:
        deletes = md.spec.ttl.action is TtlAction.DELETE
        if deletes or md.spec.replicas > 0:
            changes.append(NextChange(time=end, action=DELETE if deletes else STOP))
    first = min(changes, key=lambda change: change.time, default=None)
    return Due(runs=runs, reason=Reason.OUTSIDE_SCHEDULE, next_change=first)


def end_of_life(md: ModelDeployment) -> datetime | None:
    """When the object's lifetime is over."""
    created = md.metadata.creation_timestamp
    if md.spec.ttl is None or created is None:
        return None
    return created + timedelta(seconds=md.spec.ttl.seconds)


@lru_cache(maxsize=4096)
def problem(schedule: Schedule) -> str | None:
    """What is wrong with a schedule, naming field and remedy; None when it can be followed."""
    try:
        zone = ZoneInfo(schedule.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return (
            f"spec.schedule.timeZone {schedule.time_zone} is not in the time zone database: use "
            "a name such as Europe/Berlin"
        )
    for number, window in enumerate(schedule.windows):
        for field, line in (("start", window.start), ("stop", window.stop)):
            found = _problem_of(line, zone)
            if found is not None:
                return f'spec.schedule.windows[{number}].{field} "{line}" {found}'
    return None


def _problem_of(line: str, zone: ZoneInfo) -> str | None:
    try:
        fires = next(CronSim(line, datetime(2026, 1, 1, tzinfo=zone)), None)
    except CronSimError as error:
        words = str(error)
        if words == "Bad day-of-month":
            return "never fires, or its day of month is wrong: correct the cron line"
        return f"is no cron line ({words}): correct it"
    return None if fires is not None else "never fires: correct the cron line"


@lru_cache(maxsize=4096)
def _now_and_next(schedule: Schedule, now: datetime) -> tuple[bool, datetime | None]:
    """Whether a window is open, and when that changes next."""
    zone = ZoneInfo(schedule.time_zone)
    local = now.astimezone(zone)
    runs = _is_open(schedule, local)
    for moment in _firings(schedule, local):
        if _is_open(schedule, moment) != runs:
            return runs, moment.astimezone(UTC)
    return runs, None


def _is_open(schedule: Schedule, local: datetime) -> bool:
    return any(_is_window_open(window, local) for window in schedule.windows)


def _is_window_open(window: ScheduleWindow, local: datetime) -> bool:
    started, stopped = _last(window.start, local), _last(window.stop, local)
    return started is not None and (stopped is None or started > stopped)


def _last(line: str, local: datetime) -> datetime | None:
    """When a line last fired, `local` included; in UTC, since local times repeat."""
    # Going back, the library begins before the moment that it is given.
    begin = _unambiguous(local, 1).replace(microsecond=0)
    for fired in CronSim(line, begin, reverse=True):
        moment = fired.astimezone(UTC)
        if moment <= local.astimezone(UTC):
            return moment
    return None


def _unambiguous(local: datetime, seconds: int) -> datetime:
    """`local` moved by `seconds`, or farther, out of an hour that a clock change repeats.

    The library forgets which of the two hours is meant, and would fire in the second one again.
    """
    moved = local.astimezone(UTC) + timedelta(seconds=seconds)
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset():
        moved += timedelta(hours=3 if seconds > 0 else -3)
    return moved.astimezone(local.tzinfo)


def _firings(schedule: Schedule, local: datetime) -> Iterable[datetime]:
    """When any of the lines fires after `local`, in order."""
    lines = {line for window in schedule.windows for line in (window.start, window.stop)}
    iterators = {line: CronSim(line, _unambiguous(local, -1)) for line in lines}
    now, upcoming = local.astimezone(UTC), dict[str, datetime | None]()
    for line, iterator in iterators.items():
        upcoming[line] = next((m for m in iterator if m.astimezone(UTC) > now), None)
    for _ in range(MAX_FIRINGS):
        moments = [(m.astimezone(UTC), line) for line, m in upcoming.items() if m is not None]
        if not moments:
            return
        first, line = min(moments)
        yield first.astimezone(local.tzinfo)
        upcoming[line] = next(iterators[line], None)
