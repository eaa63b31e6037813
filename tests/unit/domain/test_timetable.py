"""Schedules and lifetimes: when replicas run, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain.serving_situations import model_deployment
from together_operator.api.v1alpha1 import ModelDeployment, Schedule
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment import timetable
from together_operator.domain.deployment.timetable import due, problem

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
OFFICE = {"start": "0 8 * * MON-FRI", "stop": "0 18 * * MON-FRI"}


def _object(*windows: dict[str, str], zone: str = "UTC", **spec: object) -> ModelDeployment:
    return model_deployment({"schedule": {"timeZone": zone, "windows": list(windows)}, **spec})


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "runs", "change"),
    [
        ("2026-03-02 07:59:59", False, ("Start", "2026-03-02 08:00")),
        ("2026-03-02 08:00:00", True, ("Stop", "2026-03-02 18:00")),
        ("2026-03-02 17:59:59", True, ("Stop", "2026-03-02 18:00")),
        ("2026-03-02 18:00:00", False, ("Start", "2026-03-03 08:00")),
        ("2026-03-06 18:00:01", False, ("Start", "2026-03-09 08:00")),  # over the weekend
    ],
)
def test_a_window_is_open_from_its_start_until_just_before_its_stop(
    now: str, runs: bool, change: tuple[str, str]
) -> None:
    found = due(_object(OFFICE), _utc(now))

    assert found.runs is runs
    assert found.next_change is not None
    assert (found.next_change.action, found.next_change.time) == (change[0], _utc(change[1]))


def test_overlapping_windows_are_one() -> None:
    both = _object(
        {"start": "0 8 * * *", "stop": "0 12 * * *"}, {"start": "0 11 * * *", "stop": "0 18 * * *"}
    )

    found = due(both, _utc("2026-03-02 09:00"))

    assert found.runs
    assert found.next_change is not None
    assert found.next_change.time == _utc("2026-03-02 18:00")


def test_a_start_within_an_open_window_changes_nothing() -> None:
    hourly = _object({"start": "0 8-16 * * *", "stop": "0 18 * * *"})

    found = due(hourly, _utc("2026-03-02 09:30"))

    assert found.runs
    assert found.next_change is not None
    assert found.next_change.time == _utc("2026-03-02 18:00")


@pytest.mark.parametrize(
    ("zone", "line", "day", "fires"),
    [
        # Berlin: on March 29th, 2:00 to 2:59 are skipped; on October 25th they come twice.
        (BERLIN, "30 8 * * *", "2026-03-28", ["2026-03-28 07:30"]),
        (BERLIN, "30 8 * * *", "2026-03-29", ["2026-03-29 06:30"]),
        (BERLIN, "30 2 * * *", "2026-03-29", ["2026-03-29 01:00"]),
        (BERLIN, "30 2 * * *", "2026-10-25", ["2026-10-25 00:30"]),
        (BERLIN, "30 8 * * *", "2026-10-25", ["2026-10-25 07:30"]),
        # New York: March 8th and November 1st.
        (NEW_YORK, "30 2 * * *", "2026-03-08", ["2026-03-08 07:00"]),
        (NEW_YORK, "30 1 * * *", "2026-11-01", ["2026-11-01 05:30"]),
    ],
)
def test_clock_changes_neither_lose_nor_repeat_a_start(
    zone: ZoneInfo, line: str, day: str, fires: list[str]
) -> None:
    md = _object({"start": line, "stop": "45 12 * * *"}, zone=zone.key)
    begin = datetime.fromisoformat(day).replace(tzinfo=zone)
    minutes = int(
        ((begin + timedelta(days=1)).astimezone(UTC) - begin.astimezone(UTC)).total_seconds() / 60
    )

    opened, before = [], due(md, begin.astimezone(UTC) - timedelta(minutes=5)).runs
    for minute in range(0, minutes, 5):
        now = begin.astimezone(UTC) + timedelta(minutes=minute)
        runs = due(md, now).runs
        if runs and not before:
            opened.append(now)
        before = runs

    assert opened == [_utc(text) for text in fires]


@settings(deadline=None)
@given(
    st.integers(0, 365 * 24 * 60),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(
        [
            ("30 2 * * *", "0 5 * * *"),
            ("0 22 * * *", "30 1 * * *"),
            ("*/40 * * * *", "15 */2 * * *"),
        ]
    ),
)
def test_what_is_announced_is_what_happens_and_nothing_before(
    minute: int, zone: str, lines: tuple[str, str]
) -> None:
    md = _object({"start": lines[0], "stop": lines[1]}, zone=zone)
    now = _utc("2026-01-01") + timedelta(minutes=minute)

    found = due(md, now)

    assert found.next_change is not None
    change = found.next_change.time
    assert change > now
    assert due(md, change).runs is not found.runs
    assert due(md, change - timedelta(seconds=1)).runs is found.runs
    middle = now + (change - now) / 2
    assert due(md, middle.replace(microsecond=0)).runs is found.runs


EVERY_MINUTE = "* * * * *"


@pytest.mark.parametrize(
    ("windows", "now", "runs", "change"),
    [
        # A start that fires each minute, and a stop days or months away.
        ([("* 8-18 * * MON-FRI", "0 19 * * FRI")], "2026-03-02 09:00", True, "2026-03-06 19:00"),
        ([(EVERY_MINUTE, "0 0 1 1 *")], "2026-03-02 09:00", True, "2027-01-01 00:00"),
        # The stop wins whenever both fire.
        ([(EVERY_MINUTE, "* 9-17 * * *")], "2026-03-02 09:00", False, "2026-03-02 18:00"),
        ([("30 0 1 6 *", "0 * * * *")], "2026-03-02 09:00", False, "2026-06-01 00:30"),
        ([("0 0 1 1 *", EVERY_MINUTE)], "2026-03-02 09:00", False, None),
        # One takes over from the other for a week, and for ever.
        (
            [("0 0 * * MON", "0 12 * * SUN"), ("0 11 * * SUN", "0 20 * * SUN")],
            "2026-03-02 09:00",
            True,
            "2026-03-08 20:00",
        ),
        (
            [("0 0 * * *", "0 13 * * *"), ("0 12 * * *", "0 1 * * *")],
            "2026-03-02 09:00",
            True,
            None,
        ),
    ],
)
def test_a_far_change_is_found_and_what_never_changes_announces_nothing(
    windows: list[tuple[str, str]], now: str, runs: bool, change: str | None
) -> None:
    md = _object(*({"start": start, "stop": stop} for start, stop in windows))

    found = due(md, _utc(now))

    assert found.runs is runs
    said = found.next_change.time if found.next_change is not None else None
    assert said == (_utc(change) if change is not None else None)


@pytest.mark.parametrize(
    "windows",
    [
        [(f"0 0 {day} 1 *", EVERY_MINUTE) for day in range(1, 17)],
        [(EVERY_MINUTE, f"0 0 {day} 1 *") for day in range(1, 17)],
        [(EVERY_MINUTE, EVERY_MINUTE)],
        [("*/2 * * * *", "1-59/2 * * * *")] * 16,
        [("0 * * * *", "50 * * * *"), ("40 * * * *", "10 * * * *")],
    ],
    ids=["never open", "always open", "always both", "each minute", "in turn"],
)
def test_a_schedule_costs_little_to_follow_and_that_once_an_hour(
    windows: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    md = _object(*({"start": start, "stop": stop} for start, stop in windows))
    due(md, _utc("2026-03-02 08:00"))
    made = 0

    class Counted(CronSim):
        """A line that is looked at."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            nonlocal made
            made += 1
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(timetable, "CronSim", Counted)
    for minute in range(60):
        due(md, _utc("2026-03-02 09:00") + timedelta(minutes=minute, seconds=7))

    assert 0 < made <= 2 * timetable.MAX_STEPS, made


def test_a_window_that_never_opens_does_not_hide_when_another_closes() -> None:
    never = {"start": "*/7 * * * *", "stop": "*/7 * * * *"}
    md = _object(never, {"start": "*/7 * * * *", "stop": "15 */2 * * *"})

    found = due(md, _utc("2026-03-02 02:36"))

    assert found.runs
    assert found.next_change is not None
    assert found.next_change.time == _utc("2026-03-02 04:15")


LINES = ("*/7 * * * *", "0 * * * *", "30 1 * * *", "* 2 * * *", "*/5 1-3 * * *", "15,45 */2 * * *")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(LINES)), min_size=1, max_size=2),
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "UTC"]),
    st.sampled_from(["2026-03-29", "2026-10-25", "2026-04-04", "2026-10-03", "2026-06-01"]),
    st.integers(0, 24 * 60),
)
def test_each_minute_is_as_the_lines_say_whichever_is_asked_for_first(
    lines: list[tuple[str, str]], zone: str, day: str, minute: int
) -> None:
    md = _object(*({"start": start, "stop": stop} for start, stop in lines), zone=zone)
    begin = _utc(day) + timedelta(minutes=minute)
    moments = [begin + timedelta(minutes=n) for n in range(70)]
    where = ZoneInfo(zone)
    assert md.spec.schedule is not None
    windows = md.spec.schedule.windows
    truth = [
        any(timetable.is_window_open(w, moment.astimezone(where)) for w in windows)
        for moment in moments
    ]

    found = due(md, begin)

    assert [due(md, moment).runs for moment in moments] == truth
    change = next((m for m, runs in zip(moments, truth, strict=True) if runs != truth[0]), None)
    if change is not None:
        assert found.next_change is not None
        assert found.next_change.time == change


def test_with_zero_replicas_a_schedule_announces_nothing() -> None:
    assert due(_object(OFFICE, replicas=0), _utc("2026-03-02 07:00")).next_change is None


@pytest.mark.parametrize(("action", "deletes"), [("Stop", False), ("Delete", True)])
def test_a_lifetime_counts_from_creation(action: str, deletes: bool) -> None:
    created = _utc("2026-03-02 12:00")
    md = model_deployment({"ttl": {"seconds": 3600, "action": action}}, created=created)

    before = due(md, created + timedelta(seconds=3599))
    after = due(md, created + timedelta(seconds=3600))

    assert (before.runs, before.deletes) == (True, False)
    assert before.next_change is not None
    assert before.next_change.action == action
    assert before.next_change.time == created + timedelta(seconds=3600)
    assert (after.runs, after.deletes, after.reason) == (False, deletes, Reason.EXPIRED)
    assert after.next_change is None


def test_the_end_of_a_lifetime_comes_before_a_later_start() -> None:
    created = _utc("2026-03-02 06:00")
    schedule = {"timeZone": "UTC", "windows": [OFFICE]}
    md = model_deployment({"schedule": schedule, "ttl": {"seconds": 7260}}, created=created)

    at_start = due(md, created)
    running = due(md, _utc("2026-03-02 08:00"))
    over = due(md, _utc("2026-03-02 08:01"))

    assert at_start.next_change is not None
    assert at_start.next_change.action == "Start"
    assert running.next_change is not None
    assert (running.next_change.action, running.next_change.time) == (
        "Stop",
        _utc("2026-03-02 08:01"),
    )
    assert not over.runs


@pytest.mark.parametrize(
    ("start", "zone", "words"),
    [
        ("0 8 * * *", "UTC", None),
        ("0 8 29 2 *", "UTC", None),
        ("0 8 30 2 *", "UTC", "never fires"),
        ("0 8 31 4,6,9,11 *", "UTC", "never fires"),
        ("60 8 * * *", "UTC", "Bad minute"),
        ("0 8 * * FUNDAY", "UTC", "Bad day-of-week"),
        ("0 8 * * *", "Europe/Atlantis", "time zone database"),
    ],
)
def test_a_schedule_that_can_not_be_followed_is_told(
    start: str, zone: str, words: str | None
) -> None:
    schedule = Schedule.model_validate(
        {"timeZone": zone, "windows": [{"start": start, "stop": "0 18 * * *"}]}
    )

    found = problem(schedule)

    assert (found is None) if words is None else (found is not None and words in found)
