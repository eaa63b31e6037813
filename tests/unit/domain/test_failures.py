"""From an error to what an object says: every class of error, at every stage."""

from __future__ import annotations

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import HUB, NOW
from together_operator.api.v1alpha1 import CustomModel, Retry
from together_operator.domain import errors
from together_operator.domain.backoff import Backoff
from together_operator.domain.conditions import Health, Reason
from together_operator.domain.custom_model.status import failure, seconds_to_wait
from together_operator.domain.failures import (
    OBJECT_STAGE,
    StageError,
    during,
    retry_delay,
    situation_of,
)
from together_operator.domain.plan import MAX_RETRY_VALUE, RETRY_ANNOTATION

SOURCE, ARCHIVE, REGISTER, IMPORT = "SourceReady", "Archived", "Registered", "Imported"
STAGES = (
    SOURCE,
    ARCHIVE,
    REGISTER,
    IMPORT,
    "",
    "ModelReady",
    "Deployed",
    "Routed",
    "Published",
    OBJECT_STAGE,
)
STALLED, PROGRESSING = Health.STALLED, Health.PROGRESSING
BACKOFF = Backoff(base=1.0, cap=300.0)

ERRORS: dict[type[errors.OperatorError], errors.OperatorError] = {
    errors.NotFound: errors.NotFound("there is no such thing"),
    errors.Conflict: errors.Conflict("the name is taken"),
    errors.Rejected: errors.Rejected("description is too long"),
    errors.Unauthorized: errors.Unauthorized("invalid api key"),
    errors.Forbidden: errors.Forbidden("not allowed"),
    errors.Unsupported: errors.Unsupported("v1 can't"),
    errors.RateLimited: errors.RateLimited("slow down"),
    errors.Unavailable: errors.Unavailable("no connection"),
    errors.Ambiguous: errors.Ambiguous("the answer was lost"),
    errors.SecretUnavailable: errors.SecretUnavailable("keys", "token", "does not exist"),
    errors.InputError: errors.InputError(Reason.URL_EXPIRED, "the URL expires too early"),
    errors.OperatorError: errors.OperatorError("something new"),
    errors.RemoteError: errors.RemoteError("something new"),
}
ELSEWHERE = {
    errors.NotFound: (STALLED, Reason.CONFLICT),
    errors.Conflict: (PROGRESSING, Reason.CONFLICT),
    errors.Rejected: (STALLED, Reason.REJECTED),
    errors.Unauthorized: (STALLED, Reason.UNAUTHORIZED),
    errors.Forbidden: (STALLED, Reason.FORBIDDEN),
    errors.Unsupported: (STALLED, Reason.UNSUPPORTED_BY_API),
    errors.RateLimited: (PROGRESSING, Reason.RATE_LIMITED),
    errors.Unavailable: (PROGRESSING, Reason.UNAVAILABLE),
    errors.Ambiguous: (PROGRESSING, Reason.ANSWER_LOST),
    errors.SecretUnavailable: (STALLED, Reason.SECRET_MISSING),
    errors.InputError: (STALLED, Reason.URL_EXPIRED),
    errors.OperatorError: (PROGRESSING, Reason.UNAVAILABLE),
    errors.RemoteError: (PROGRESSING, Reason.UNAVAILABLE),
}
AT_SOURCE = {
    **ELSEWHERE,
    errors.NotFound: (STALLED, Reason.SOURCE_NOT_FOUND),
    errors.Rejected: (STALLED, Reason.SOURCE_INVALID),
    errors.Unauthorized: (STALLED, Reason.SOURCE_UNAUTHORIZED),
    errors.Forbidden: (STALLED, Reason.SOURCE_UNAUTHORIZED),
}


def all_classes(base: type[errors.OperatorError]) -> set[type[errors.OperatorError]]:
    """A class of errors and all below it."""
    below = (all_classes(kind) for kind in base.__subclasses__())
    return {base}.union(*below)


def test_every_class_of_error_is_in_the_table() -> None:
    known = {k for k in all_classes(errors.OperatorError) if k.__module__ == errors.__name__}
    assert known == set(ERRORS) == set(ELSEWHERE) == set(AT_SOURCE)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_reason_and_health(kind: type[errors.OperatorError], stage: str) -> None:
    situation = situation_of(StageError(stage, ERRORS[kind]))
    expected = (AT_SOURCE if stage == SOURCE else ELSEWHERE)[kind]
    assert (situation.health, situation.reason) == expected
    assert situation.stage == stage


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_the_message_begins_with_the_error_s_own_words(
    kind: type[errors.OperatorError], stage: str
) -> None:
    situation = situation_of(StageError(stage, ERRORS[kind]))
    assert situation.message.startswith(str(ERRORS[kind]))
    assert ".." not in situation.message


@pytest.mark.parametrize(
    ("error", "stage", "remedy"),
    [
        pytest.param(errors.SecretUnavailable, REGISTER, "Create the Secret", id="Secret"),
        pytest.param(errors.Unauthorized, REGISTER, "spec.apiKeySecretRef", id="401, Together"),
        pytest.param(errors.Unauthorized, SOURCE, "the source refers to", id="401, source"),
        pytest.param(errors.Unauthorized, ARCHIVE, "access to Kubernetes", id="401, Kubernetes"),
        pytest.param(errors.Forbidden, IMPORT, "Give the API key the right", id="403, Together"),
        pytest.param(errors.Forbidden, SOURCE, "the right to read it", id="403, source"),
        pytest.param(errors.Forbidden, ARCHIVE, "service account", id="403, Kubernetes"),
        pytest.param(errors.Forbidden, "Published", "service account", id="403, ConfigMap"),
        pytest.param(errors.Unauthorized, "Published", "access to Kubernetes", id="401, ConfigMap"),
        pytest.param(errors.Forbidden, OBJECT_STAGE, "service account", id="403, the object"),
        pytest.param(errors.NotFound, SOURCE, "Check the name", id="404, source"),
        pytest.param(errors.Rejected, REGISTER, "Change what the message names", id="422"),
        pytest.param(errors.Ambiguous, REGISTER, "looked for before", id="answer lost"),
        pytest.param(errors.Unsupported, REGISTER, "API_VERSION=v2", id="v1"),
    ],
)
def test_where_a_person_can_do_something_the_message_says_what(
    error: type[errors.OperatorError], stage: str, remedy: str
) -> None:
    assert remedy in situation_of(StageError(stage, ERRORS[error])).message


def test_an_input_error_says_what_to_do_by_itself() -> None:
    said = situation_of(StageError(SOURCE, ERRORS[errors.InputError])).message
    assert said == "the URL expires too early"


# Carrying the stage.


def test_an_error_carries_the_innermost_stage() -> None:
    with pytest.raises(StageError) as caught, during("outer"), during("inner"):
        raise errors.NotFound("gone")
    assert caught.value.stage == "inner"
    assert isinstance(caught.value.error, errors.NotFound)
    assert str(caught.value) == "gone"


def test_what_is_no_error_of_ours_is_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), during(SOURCE):
        raise ZeroDivisionError


# When to try again.


@pytest.mark.parametrize(
    ("error", "failures", "jitter", "seconds"),
    [
        pytest.param(errors.Unavailable("x"), 1, 0.0, 1.0, id="first"),
        pytest.param(errors.Unavailable("x"), 4, 0.0, 8.0, id="doubling"),
        pytest.param(errors.Unavailable("x"), 4, 0.5, 6.0, id="jitter"),
        pytest.param(errors.Unavailable("x"), 50, 0.0, 300.0, id="cap"),
        pytest.param(ERRORS[errors.SecretUnavailable], 2, 0.0, 2.0, id="Secret, at first"),
        pytest.param(ERRORS[errors.SecretUnavailable], 50, 0.0, 15.0, id="Secret: never rare"),
        pytest.param(errors.RateLimited("x"), 1, 0.0, 1.0, id="rate limit, no time given"),
        pytest.param(
            errors.RateLimited("x", retry_after=60.0), 1, 0.0, 60.0, id="rate limit, honoured"
        ),
        pytest.param(
            errors.RateLimited("x", retry_after=0.1), 4, 0.0, 8.0, id="rate limit, and backoff"
        ),
    ],
)
def test_delays(error: errors.OperatorError, failures: int, jitter: float, seconds: float) -> None:
    assert retry_delay(StageError(REGISTER, error), failures, BACKOFF, jitter) == seconds


def failing(cm: CustomModel, error: errors.OperatorError, times: int) -> CustomModel:
    """The object after it failed so many times."""
    for _ in range(times):
        plan = failure(s.look(cm), NOW, StageError(REGISTER, error))
        cm = s.given(cm, **dict(plan.status))
    return cm


def test_failures_in_a_row_are_counted_in_the_status() -> None:
    cm = failing(s.found(), errors.Unavailable("x"), times=4)
    assert cm.status.retry is not None
    assert cm.status.retry.to_body() == {"failures": 4, "nextAttemptTime": "2026-03-01T12:00:08Z"}
    assert seconds_to_wait(cm, NOW) == 8.0
    assert seconds_to_wait(cm, NOW + s.seconds(7)) == 1.0
    assert seconds_to_wait(cm, NOW + s.seconds(9)) == 0.0


def test_an_edit_ends_the_wait() -> None:
    cm = failing(s.found(), errors.Unavailable("x"), times=8)
    assert seconds_to_wait(s.edited(cm, {**HUB, "description": "new"}), NOW) == 0.0


def test_a_new_retry_annotation_ends_the_wait_once() -> None:
    failed = failing(s.found(), errors.Unavailable("x"), times=8)
    asked = s.annotated(failed, RETRY_ANNOTATION, "now")
    assert seconds_to_wait(asked, NOW) == 0.0

    again = failing(asked, errors.Unavailable("x"), times=1)
    assert again.status.last_retry == "now"
    assert seconds_to_wait(again, NOW) > 0
    assert seconds_to_wait(s.annotated(again, RETRY_ANNOTATION, "and now"), NOW) == 0.0


def test_a_retry_annotation_of_any_length_fits_into_the_status() -> None:
    asked = s.annotated(s.found(), RETRY_ANNOTATION, "x" * 200_000)
    failed = failing(asked, errors.Unavailable("x"), times=1)
    assert len(failed.status.last_retry or "") == MAX_RETRY_VALUE
    assert seconds_to_wait(failed, NOW) > 0, "it counts as honoured"


@pytest.mark.parametrize(
    "cm",
    [
        pytest.param(s.found(), id="never failed"),
        pytest.param(s.given(s.found(), retry=Retry(failures=3)), id="no time"),
    ],
)
def test_without_a_time_nothing_is_waited_for(cm: CustomModel) -> None:
    assert seconds_to_wait(cm, NOW) == 0.0


def test_a_failure_keeps_what_was_reached() -> None:
    cm = s.registered()
    plan = failure(s.look(cm), NOW, StageError(IMPORT, errors.Unavailable("x")))
    assert plan.status.model == cm.status.model
    assert plan.status.source == cm.status.source
    assert s.told(plan.status) == ("reconciling", "Unavailable", "Imported")


def test_a_terminal_failure_is_one_that_only_a_person_ends() -> None:
    for kind, (health, _) in ELSEWHERE.items():
        plan = failure(s.look(s.found()), NOW, StageError(REGISTER, ERRORS[kind]))
        assert plan.outcome.terminal is (health is STALLED), kind  # type: ignore[union-attr]
