"""Conditions: what kstatus and people read, computed in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.api.v1alpha1 import Condition
from together_operator.domain.conditions import (
    DELETION,
    MAX_MESSAGE,
    Health,
    Reason,
    Situation,
    Stage,
    conditions_for,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
STAGES = (
    Stage("Found", Reason.FOUND, "the source"),
    Stage("Registered", Reason.REGISTERED, "the model"),
    Stage("Imported", Reason.IMPORTED, "the revision"),
)
TYPES = ("Ready", "Reconciling", "Stalled", "Found", "Registered", "Imported")


def computed(
    situation: Situation, previous: list[Condition] | None = None, now: datetime = NOW
) -> dict[str, Condition]:
    """Conditions by type, of generation 7."""
    made = conditions_for(STAGES, situation, 7, previous or [], now)
    assert tuple(condition.type for condition in made) == TYPES
    return {condition.type: condition for condition in made}


def line(condition: Condition) -> tuple[str, str, str]:
    """Status, reason and message."""
    return condition.status.value, condition.reason, condition.message


@pytest.mark.parametrize(
    ("health", "flags"),
    [
        pytest.param(Health.READY, ("True", "False", "False"), id="ready"),
        pytest.param(Health.PROGRESSING, ("False", "True", "False"), id="progressing"),
        pytest.param(Health.STALLED, ("False", "False", "True"), id="stalled"),
        pytest.param(Health.PAUSED, ("False", "False", "False"), id="paused"),
    ],
)
def test_health_is_told_by_three_conditions(health: Health, flags: tuple[str, ...]) -> None:
    made = computed(Situation(health, Reason.SETTLING, "words"))
    assert tuple(made[t].status for t in ("Ready", "Reconciling", "Stalled")) == flags


def test_stages_before_are_true_and_stages_after_are_pending() -> None:
    made = computed(Situation(Health.STALLED, Reason.NAME_TAKEN, "taken", "Registered"))
    assert [line(made[stage.type]) for stage in STAGES] == [
        ("True", "Found", "the source"),
        ("False", "NameTaken", "taken"),
        ("False", "Pending", "waits for Registered"),
    ]


def test_ready_says_the_reason_and_the_words_of_the_situation() -> None:
    made = computed(Situation(Health.STALLED, Reason.NAME_TAKEN, "taken", "Registered"))
    assert line(made["Ready"]) == ("False", "NameTaken", "taken")
    assert line(made["Stalled"]) == ("True", "NameTaken", "taken")
    assert line(made["Reconciling"]) == ("False", "NameTaken", "")


def test_all_stages_are_done_without_one_that_is_not() -> None:
    made = computed(Situation(Health.READY, Reason.READY, "can be used"))
    assert {made[stage.type].status for stage in STAGES} == {"True"}


def test_a_deletion_leaves_the_stages_as_they_were() -> None:
    before = computed(Situation(Health.PROGRESSING, Reason.REGISTERING, "…", "Registered"))
    deleting = Situation(Health.PROGRESSING, Reason.DELETING, "going", DELETION)
    later = conditions_for(STAGES, deleting, 8, list(before.values()), NOW + timedelta(minutes=1))
    for condition in later[3:]:
        was = before[condition.type]
        assert line(condition) == line(was)
        assert condition.last_transition_time == was.last_transition_time
        assert condition.observed_generation == 8
    assert line(later[0]) == ("False", "Deleting", "going")


def test_a_deletion_before_anything_was_said_makes_no_stage_true() -> None:
    made = computed(Situation(Health.PROGRESSING, Reason.DELETING, "going", DELETION))
    assert {made[stage.type].status for stage in STAGES} == {"False"}


def test_a_long_message_is_cut() -> None:
    made = computed(Situation(Health.STALLED, Reason.REJECTED, "x" * 5000, "Found"))
    assert made["Ready"].message == "x" * MAX_MESSAGE


def test_a_time_changes_with_the_status_and_not_with_the_reason() -> None:
    first = computed(Situation(Health.PROGRESSING, Reason.REGISTERING, "a", "Registered"))
    later = NOW + timedelta(seconds=90)
    second = computed(
        Situation(Health.PROGRESSING, Reason.IMPORTING, "b", "Imported"),
        list(first.values()),
        later,
    )
    moved = {t for t in TYPES if second[t].last_transition_time == later}
    assert moved == {"Registered"}


def test_every_reason_is_one_word_that_the_crd_accepts() -> None:
    for reason in Reason:
        assert reason.value.isalnum(), reason
        assert reason.value[0].isupper(), reason


situations = st.builds(
    Situation,
    st.sampled_from(Health),
    st.sampled_from(Reason),
    st.text(max_size=2000),
    st.sampled_from(["", DELETION, *(stage.type for stage in STAGES)]),
)


@given(st.lists(st.tuples(situations, st.integers(0, 10**6)), min_size=1, max_size=6))
def test_what_holds_in_every_history(history: list[tuple[Situation, int]]) -> None:
    before: list[Condition] = []
    now = NOW
    for generation, (situation, seconds) in enumerate(history):
        now += timedelta(seconds=seconds)
        after = conditions_for(STAGES, situation, generation, before, now)
        made = {condition.type: condition for condition in after}
        assert tuple(made) == TYPES, "Ready is there from the first write"
        assert {c.status for c in after} <= {"True", "False"}
        assert not (made["Reconciling"].status == made["Stalled"].status == "True")
        if made["Ready"].status == "True":
            assert made["Reconciling"].status == made["Stalled"].status == "False"
        assert {c.observed_generation for c in after} == {generation}
        old = {condition.type: condition for condition in before}
        for condition in after:
            was = old.get(condition.type)
            kept = was is not None and was.status == condition.status
            expected = was.last_transition_time if kept and was is not None else now
            assert condition.last_transition_time == expected
            assert len(condition.message) <= MAX_MESSAGE
        assert (
            conditions_for(STAGES, situation, generation, after, now + timedelta(days=1)) == after
        )
        before = after
