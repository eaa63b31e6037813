"""Intents: whether something may have been created under one, and how long that is unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.situations import ANOTHER, ME, NOW, PROCESS, seconds
from together_operator.api.v1alpha1 import Intent
from together_operator.domain.plan import (
    is_untouched,
    may_not_show_yet,
    new_intent,
    seconds_until_safe,
)

HALF_A_SECOND = 0.5


def intent(holder: str | None, ago: float) -> Intent:
    """An intent that was stored some seconds ago."""
    return Intent(kind="Model", name="m", since=NOW - seconds(ago), holder=holder)


@pytest.mark.parametrize(
    ("holder", "sent", "untouched"),
    [
        pytest.param(ME, None, True, id="ours, never sent"),
        pytest.param(ME, NOW, False, id="ours, sent"),
        pytest.param(ANOTHER, None, False, id="another process's: nobody knows"),
        pytest.param(ANOTHER, NOW, False, id="another process's, and we sent"),
        pytest.param(None, None, False, id="without a holder: nobody knows"),
    ],
)
def test_what_can_not_have_been_created(
    holder: str | None, sent: datetime | None, untouched: bool
) -> None:
    assert is_untouched(intent(holder, 5), PROCESS, sent) is untouched


@pytest.mark.parametrize(
    ("stored", "sent_ago", "started_ago", "wait"),
    [
        pytest.param(intent(ME, 5), None, 3600, 0.0, id="ours, never sent: none"),
        pytest.param(intent(ME, 20), 0, 3600, 30.0, id="just sent: the whole window"),
        pytest.param(intent(ME, 20), 10, 3600, 20.0, id="sent 10 s ago"),
        pytest.param(intent(ME, 99), 30, 3600, 0.0, id="sent a window ago"),
        pytest.param(
            intent(ANOTHER, 10), None, 3600, 21.0, id="another's: a second more, for it is cut off"
        ),
        pytest.param(intent(ANOTHER, 31), None, 3600, 0.0, id="another's, window over"),
        pytest.param(intent(ANOTHER, 900), None, 4, 26.0, id="another's, and we have just begun"),
        pytest.param(
            intent(ANOTHER, 900), 10, 3600, 20.0, id="another's, and we sent it ourselves since"
        ),
    ],
)
def test_how_long_absence_is_distrusted(
    stored: Intent, sent_ago: float | None, started_ago: float, wait: float
) -> None:
    process = replace(PROCESS, started=NOW - seconds(started_ago))
    sent = None if sent_ago is None else NOW - seconds(sent_ago)
    assert seconds_until_safe(stored, process, sent, NOW) == wait


@pytest.mark.parametrize(
    ("created_ago", "started_ago", "expected"),
    [
        pytest.param(30.5, 3600, True, id="a second more, for it is cut off"),
        pytest.param(31, 3600, False, id="a window ago"),
        pytest.param(900, 30.5, True, id="we have just begun"),
        pytest.param(900, 31, False, id="we began a window ago"),
        pytest.param(None, 30.5, True, id="nobody knows when, and we have just begun"),
        pytest.param(None, 31, False, id="nobody knows when: before we began"),
    ],
)
def test_how_long_what_was_created_may_be_missing(
    created_ago: float | None, started_ago: float, expected: bool
) -> None:
    process = replace(PROCESS, started=NOW - seconds(started_ago))
    created = None if created_ago is None else NOW - seconds(created_ago)
    assert may_not_show_yet(created, process, NOW) is expected


def test_an_intent_is_stored_in_whole_seconds() -> None:
    made = new_intent("Model", "m", 2, PROCESS, NOW + seconds(HALF_A_SECOND))
    assert (made.since, made.holder, made.attempt) == (NOW, ME, 2)


@given(st.floats(0, 200), st.floats(0, 200), st.floats(0, 60))
def test_a_request_of_another_process_is_never_repeated_within_the_window(
    stored_ago: float, sent_after: float, settle: float
) -> None:
    """Whenever it sent it: after it stored the intent, and before this process began."""
    process = replace(PROCESS, settle=settle)
    began = NOW - seconds(stored_ago) + seconds(sent_after)
    stored = new_intent(
        "Model", "m", 1, replace(process, holder=ANOTHER), NOW - seconds(stored_ago)
    )
    process = replace(process, started=began)
    wait = seconds_until_safe(stored, process, None, NOW)
    assert NOW + seconds(wait) >= began + seconds(settle) - seconds(1e-3)
