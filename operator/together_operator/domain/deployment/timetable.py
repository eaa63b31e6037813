"""When replicas run: schedule windows and the lifetime, decided from nothing but the clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
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

MAX_STEPS, MAX_DAYS = 2000, 370
"""How far the next change is looked for past the hour that it is; what is farther is not announced.

More than a day of cron lines that fire each minute, and more than a year of one that seldom does.
"""


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
        runs, flip = _now_and_next(md.spec.schedule, now)
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


def _now_and_next(schedule: Schedule, now: datetime) -> tuple[bool, datetime | None]:
    """Whether a window is open, and when that changes next."""
    runs, changes = _changes(schedule, now.replace(minute=0, second=0, microsecond=0))
    passed = bisect_right(changes, now)
    return runs != (passed % 2 == 1), changes[passed] if passed < len(changes) else None


@lru_cache(maxsize=4096)
def _changes(schedule: Schedule, hour: datetime) -> tuple[bool, tuple[datetime, ...]]:
    """Whether a window is open at the beginning of an hour, and all changes of that from then on
    until the first one after the hour."""
    search = _Search(schedule, hour)
    runs, changes = search.is_open(), []
    while (change := search.next_change()) is not None:
        changes.append(change)
        if change >= search.end:
            break
    return runs, tuple(changes)


class _Search:
    """Looks for the changes of a schedule, from one end of an open window to the next.

    How far it goes past the hour is bounded: by steps, and by days.
    """

    def __init__(self, schedule: Schedule, hour: datetime) -> None:
        self.end = hour + timedelta(hours=1)
        self._far = hour + timedelta(days=MAX_DAYS)
        self._steps = MAX_STEPS
        self._zone = ZoneInfo(schedule.time_zone)
        self._windows = schedule.windows
        self._now = hour
        self._spans = [self._span(window, hour) for window in schedule.windows]

    def is_open(self) -> bool:
        """Whether any window is open."""
        return any(span.opens <= self._now for span in self._spans if span is not None)

    def next_change(self) -> datetime | None:
        """When that changes next; None: never, or not as far as it is looked."""
        if not self.is_open():
            opens = min((span.opens for span in self._spans if span is not None), default=None)
            if opens is not None:
                self._go_to(opens)
            return opens
        while self.is_open():
            # Whatever else opens before the last one closes that is open now, it stays open.
            closes = [s.closes for s in self._spans if s is not None and s.opens <= self._now]
            last = max((c for c in closes if c is not None), default=None)
            if last is None or None in closes or not self._may_go_on(last, 4):
                return None
            self._go_to(last)
        return self._now

    def _go_to(self, moment: datetime) -> None:
        self._now = moment
        for index, span in enumerate(self._spans):
            if span is not None and span.closes is not None and span.closes <= moment:
                self._spans[index] = self._span(self._windows[index], moment)

    def _span(self, window: ScheduleWindow, moment: datetime) -> _Span | None:
        """The one that is open at a moment, else the first one after it."""
        opens: datetime | None = moment
        if not is_window_open(window, moment.astimezone(self._zone)):
            opens = self._opening(window, moment)
        if opens is None:
            return None
        return _Span(opens, next(_firings(window.stop, opens, self._zone), None))

    def _opening(self, window: ScheduleWindow, moment: datetime) -> datetime | None:
        """When the start fires first without the stop, which wins when both do.

        A window that never opens must not use up what the others need.
        """
        share = MAX_STEPS // (2 * len(self._windows))
        for start in islice(_firings(window.start, moment, self._zone), share):
            just_before = start - timedelta(seconds=1)
            if next(_firings(window.stop, just_before, self._zone), None) != start:
                return start
            if not self._may_go_on(start, 1):
                return None
        return None

    def _may_go_on(self, moment: datetime, steps: int) -> bool:
        if moment < self.end:
            return True
        self._steps -= steps
        return self._steps >= 0 and moment < self._far


@dataclass(frozen=True, slots=True)
class _Span:
    """From when to when a window is open; `closes` None: for ever."""

    opens: datetime
    closes: datetime | None


def is_window_open(window: ScheduleWindow, local: datetime) -> bool:
    """Whether the last start came after the last stop."""
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


def _firings(line: str, moment: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """When a line fires after `moment`, in order and in UTC."""
    for fired in CronSim(line, _unambiguous(moment.astimezone(zone), -1)):
        found = fired.astimezone(UTC)
        if found > moment:
            yield found
