"""Importing: never two at a time, followed to its end, validated, and tried a bounded number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import (
    ANOTHER,
    HUB,
    JOB_ID,
    ME,
    MODEL,
    NOW,
    OTHER_HUB,
    PASSED,
    SOON,
)
from together_operator.api.v1alpha1 import CustomModel
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import StartImport, UpdateModel
from together_operator.domain.custom_model.observed import Observed, is_imported
from together_operator.domain.custom_model.registering import new_model
from together_operator.domain.custom_model.status import failure
from together_operator.domain.errors import Unavailable
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Failed, Outcome
from together_operator.domain.plan import RETRY_ANNOTATION
from together_operator.domain.source import source_digest
from together_operator.domain.together import Import, ModelChange, Revision

DIGEST = source_digest(s.custom_model().spec)
IMPORTING = ("reconciling", "Importing", "Imported")
SETTLING = ("reconciling", "Settling", "Imported")
RETRYING = ("reconciling", "ImportRetrying", "Imported")
NEW = new_model(s.look(s.registered()))
START = StartImport(MODEL, 1, DIGEST, NEW)
OLDER = Revision("rv_0", "SUCCESS", created_at=NOW - s.seconds(3600))
PENDING = replace(PASSED, validation="PENDING")
DRIFTED = replace(MODEL, description="by hand")
BAD = replace(PASSED, validation="FAILED", messages=("config.json is missing", "no tokenizer"))


def at(cm: CustomModel, *imports: Import, **facts: Any) -> Observed:
    """A look at a registered model's imports."""
    return s.look(cm, model=MODEL, imports=imports, **facts)


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        # Starting.
        pytest.param(at(s.registered()), IMPORTING, After(0), START, id="registered: started"),
        pytest.param(
            at(s.import_announced()),
            IMPORTING,
            After(0),
            START,
            id="announced by us and not sent: started",
        ),
        pytest.param(
            at(s.import_announced(before="job_0"), s.remote_import("FAILED", "job_0")),
            IMPORTING,
            After(0),
            START,
            id="announced and not sent, and only the former import is there: started",
        ),
        pytest.param(
            s.sent(at(s.import_announced(ago=5), s.remote_import("PENDING")), ago=4),
            IMPORTING,
            After(0),
            None,
            id="answer lost, and a newer import is there: ours",
        ),
        pytest.param(
            s.sent(
                at(s.import_announced(ago=5, before="job_0"), s.remote_import("FAILED", "job_0")),
                ago=4,
            ),
            SETTLING,
            After(10.0),
            None,
            id="answer lost, and only the former import is there: wait",
        ),
        pytest.param(
            s.sent(at(s.import_announced(ago=29)), ago=28),
            SETTLING,
            After(2.0),
            None,
            id="answer lost 28 s ago of a window of 30: the rest of it",
        ),
        pytest.param(
            s.sent(at(s.import_announced(ago=31)), ago=30),
            IMPORTING,
            After(0),
            START,
            id="answer lost, and the window is over: started again",
        ),
        pytest.param(
            at(s.import_announced(ANOTHER, ago=5), s.remote_import("RUNNING")),
            IMPORTING,
            After(0),
            None,
            id="announced by an earlier process, and a newer import is there: ours",
        ),
        pytest.param(
            at(s.import_announced(ANOTHER, ago=5)),
            SETTLING,
            After(10.0),
            None,
            id="announced by an earlier process, nothing there: it may have sent it",
        ),
        pytest.param(
            at(s.import_announced(ANOTHER, ago=32)),
            IMPORTING,
            After(0),
            START,
            id="announced by an earlier process, and its window is over",
        ),
        # Following.
        pytest.param(
            at(s.importing("PENDING"), s.remote_import("PENDING")),
            IMPORTING,
            After(10.0),
            None,
            id="queued",
        ),
        pytest.param(
            at(s.importing("PENDING"), s.remote_import("RUNNING")),
            IMPORTING,
            After(10.0),
            None,
            id="running",
        ),
        pytest.param(
            at(s.importing(), s.remote_import("ERROR", restarts=1, max_restarts=3)),
            ("reconciling", "ImportRestarting", "Imported"),
            After(10.0),
            None,
            id="ERROR that the platform restarts: followed",
        ),
        pytest.param(
            at(s.importing(), s.remote_import("ERROR", restarts=3, max_restarts=3)),
            RETRYING,
            Failed("ImportRetrying", 1.0),
            None,
            id="ERROR without restarts left: failed",
        ),
        pytest.param(
            at(s.importing(), s.remote_import("FAILED")),
            RETRYING,
            Failed("ImportRetrying", 1.0),
            None,
            id="failed: tried again after a delay",
        ),
        pytest.param(
            at(s.importing(), s.remote_import("RUNNING", "job_of_somebody")),
            RETRYING,
            Failed("ImportRetrying", 1.0),
            None,
            id="gone from Together: tried again",
        ),
        pytest.param(
            at(s.importing(attempt=3), s.remote_import("FAILED")),
            ("stalled", "ImportFailed", "Imported"),
            Failed("ImportFailed", 1.0, terminal=True),
            None,
            id="the last attempt failed: a person's turn",
        ),
        pytest.param(
            at(s.importing("FAILED", attempt=1), s.remote_import("FAILED")),
            IMPORTING,
            After(0),
            StartImport(MODEL, 2, DIGEST, NEW),
            id="after the delay: the second attempt",
        ),
        pytest.param(
            at(s.importing("FAILED", attempt=3), s.remote_import("FAILED")),
            ("stalled", "ImportFailed", "Imported"),
            Failed("ImportFailed", 1.0, terminal=True),
            None,
            id="after the last attempt: not once more",
        ),
        pytest.param(
            at(
                s.annotated(s.importing("FAILED", attempt=3), RETRY_ANNOTATION, "now"),
                s.remote_import("FAILED"),
            ),
            IMPORTING,
            After(0),
            START,
            id="a retry asked for after the last attempt: attempts are counted anew",
        ),
        # Validating.
        pytest.param(
            at(s.importing(), s.remote_import("SUCCEEDED"), revision=PASSED),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="succeeded, and its revision passed: ready in the same write",
        ),
        pytest.param(
            s.look(
                s.importing(),
                model=DRIFTED,
                imports=(s.remote_import("SUCCEEDED"),),
                revision=PASSED,
            ),
            ("reconciling", "Updating", ""),
            After(0),
            UpdateModel(MODEL.id, ModelChange(description=MODEL.description)),
            id="succeeded and passed, and something else is left: that is next",
        ),
        pytest.param(
            s.look(
                s.importing(),
                model=replace(MODEL, placeholder=True),
                imports=(s.remote_import("SUCCEEDED"),),
                revision=PASSED,
            ),
            ("reconciling", "Imported", "Imported"),
            After(0),
            None,
            id="succeeded and passed, and the list of models is older than that: looked at anew",
        ),
        pytest.param(
            at(s.importing(), s.remote_import("SUCCEEDED")),
            IMPORTING,
            After(SOON),
            None,
            id="succeeded, and no revision shows yet",
        ),
        pytest.param(
            at(s.importing("SUCCEEDED"), s.remote_import("SUCCEEDED"), revision=PENDING),
            IMPORTING,
            After(SOON),
            None,
            id="succeeded, and its revision is being validated",
        ),
        pytest.param(
            at(s.importing("SUCCEEDED"), s.remote_import("SUCCEEDED"), revision=OLDER),
            IMPORTING,
            After(SOON),
            None,
            id="succeeded, and only an earlier import's revision shows",
        ),
        pytest.param(
            at(
                s.importing("SUCCEEDED"),
                s.remote_import("SUCCEEDED"),
                revision=replace(OLDER, validation="FAILED"),
            ),
            IMPORTING,
            After(SOON),
            None,
            id="succeeded, and an earlier import's revision had failed: no verdict on this one",
        ),
        pytest.param(
            at(s.importing("SUCCEEDED"), s.remote_import("SUCCEEDED"), revision=BAD),
            RETRYING,
            Failed("ImportRetrying", 1.0),
            None,
            id="succeeded, and its revision did not pass",
        ),
        pytest.param(
            at(s.importing("SUCCEEDED", attempt=3), revision=BAD),
            ("stalled", "ImportFailed", "Imported"),
            Failed("ImportFailed", 1.0, terminal=True),
            None,
            id="the last attempt's revision did not pass",
        ),
    ],
)
def test_row(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object
) -> None:
    s.expect(observed, says, outcome, action)


def test_the_intent_names_the_source_and_the_newest_import_before() -> None:
    newest, old = s.remote_import("FAILED", "job_9", ago=10), s.remote_import("FAILED", "job_8")
    plan = s.expect(at(s.registered(), newest, old), IMPORTING, After(0), START)
    intent = plan.status.intent
    assert intent is not None, s.show(plan)
    assert (intent.kind, intent.name, intent.attempt) == ("Import", f"{DIGEST}:job_9", 1)
    assert (intent.holder, intent.since) == (ME, NOW)


def test_the_intent_of_an_earlier_process_is_renewed_before_it_is_sent() -> None:
    cm = s.import_announced(ANOTHER, ago=60, before="job_9")
    plan = s.expect(at(cm, s.remote_import("FAILED", "job_9")), IMPORTING, After(0), START)
    intent = plan.status.intent
    assert intent is not None, s.show(plan)
    assert (intent.holder, intent.since) == (ME, NOW)
    assert intent.name == f"{DIGEST}:job_9", "what was there before stays what it was"


def test_our_own_unsent_intent_is_kept_as_it_is() -> None:
    cm = s.import_announced()
    assert decide(at(cm), NOW).status.intent == cm.status.intent


def test_an_import_that_is_found_is_taken_over() -> None:
    observed = s.sent(at(s.import_announced(ago=5), s.remote_import("PENDING")), ago=4)
    status = decide(observed, NOW).status
    assert status.import_ is not None
    assert status.import_.to_body() == {
        "jobID": JOB_ID,
        "attempt": 1,
        "state": "PENDING",
        "sourceDigest": DIGEST,
        "startedAt": "2026-03-01T12:00:00Z",
    }
    assert status.intent is None
    assert status.retry is None


def test_an_import_that_is_found_is_that_of_the_source_it_was_announced_for() -> None:
    cm = s.edited(s.import_announced(ANOTHER, ago=5), OTHER_HUB)
    status = decide(at(cm, s.remote_import("RUNNING")), NOW).status
    assert status.import_ is not None
    assert status.import_.source_digest == DIGEST != source_digest(cm.spec)


@pytest.mark.parametrize(
    ("holder", "ago"),
    [pytest.param(ME, 1, id="never sent"), pytest.param(ANOTHER, 60, id="window over")],
)
def test_an_intent_for_a_former_source_is_dropped_when_nothing_came_of_it(
    holder: str, ago: float
) -> None:
    cm = s.edited(s.import_announced(holder, ago), OTHER_HUB)
    plan = s.expect(at(cm), IMPORTING, After(0))
    assert plan.status.intent is None


def test_an_intent_for_a_former_source_is_waited_for_like_any_other() -> None:
    cm = s.edited(s.import_announced(ANOTHER, ago=5), OTHER_HUB)
    plan = s.expect(at(cm), SETTLING, After(10.0))
    assert plan.status.intent == cm.status.intent


def test_together_s_words_are_told() -> None:
    job = s.remote_import("RUNNING", message="Downloading: 5 of 10 MB")
    status = decide(at(s.importing(), job), NOW).status
    assert s.message(status) == "Downloading: 5 of 10 MB"
    assert status.import_ is not None
    assert status.import_.message == "Downloading: 5 of 10 MB"


def test_a_restart_by_the_platform_is_told_with_its_count() -> None:
    job = s.remote_import("ERROR", message="cannot fetch", restarts=1, max_restarts=3)
    words = s.message(decide(at(s.importing(), job), NOW).status)
    assert words == "Together restarts it (1 of 3): cannot fetch"


def test_a_failed_attempt_is_told_with_its_count_and_the_reason() -> None:
    job = s.remote_import("FAILED", message="the archive has a wrapping directory.")
    words = s.message(decide(at(s.importing(attempt=2), job), NOW).status)
    assert words == "Attempt 2 of 3 failed: the archive has a wrapping directory"


def test_the_last_failure_tells_the_reason_and_the_remedy() -> None:
    observed = at(s.importing("SUCCEEDED", attempt=3), revision=BAD)
    words = s.message(decide(observed, NOW).status)
    assert words.startswith("config.json is missing; no tokenizer. All 3 attempts failed")
    assert "mend the source" in words
    assert "edit the spec" in words


def test_after_the_last_attempt_the_looks_get_rarer_and_nothing_is_started() -> None:
    cm = s.importing("FAILED", attempt=3)
    for failures, delay in ((0, 1.0), (3, 8.0), (20, 300.0)):
        tried = s.given(cm, retry=s.retry(failures)) if failures else cm
        plan = decide(at(tried, s.remote_import("FAILED")), NOW)
        assert plan.action is None
        assert plan.outcome == Failed("ImportFailed", delay, terminal=True)


def test_an_edit_asks_for_new_attempts() -> None:
    cm = s.edited(s.importing("FAILED", attempt=3), {**HUB, "description": "try again"})
    again = replace(START, new=replace(NEW, description="try again"))
    s.expect(at(cm, s.remote_import("FAILED")), IMPORTING, After(0), again)


def test_an_edit_is_not_forgotten_when_the_first_look_after_it_fails() -> None:
    cm = s.edited(s.importing("FAILED", attempt=3), {**HUB, "description": "try again"})
    plan = failure(s.look(cm), NOW, StageError("Registered", Unavailable("away")))
    assert plan.status.observed_generation == 2
    later = s.given(cm, **dict(plan.status))
    again = replace(START, new=replace(NEW, description="try again"))
    s.expect(at(later, s.remote_import("FAILED")), IMPORTING, After(0), again)


def test_a_passed_revision_makes_the_model_imported_and_then_ready() -> None:
    cm = s.importing()
    facts = (s.remote_import("SUCCEEDED"),)
    first = decide(at(cm, *facts, revision=PASSED), NOW)
    after = s.given(cm, **dict(first.status))
    assert is_imported(after), s.show(first)
    assert first.status.model is not None
    assert first.status.model.revision == "rv_1"
    assert first.status.progress is not None
    assert first.status.progress.text == "100%"
    s.expect(at(after), ("ready", "Ready", ""), Done())


def test_the_revision_of_a_former_import_does_not_pass_for_the_new_one() -> None:
    cm = s.edited(s.imported(), OTHER_HUB)
    start = decide(at(cm, source=s.FOUND), NOW)
    observed = s.sent(at(s.given(cm, **dict(start.status)), s.remote_import("RUNNING", ago=0)), 0)
    running = s.given(cm, **dict(decide(observed, NOW).status))
    assert running.status.model is not None
    assert running.status.model.revision is None
    ended = decide(at(running, s.remote_import("SUCCEEDED", ago=0), revision=PASSED), NOW)
    assert not is_imported(s.given(cm, **dict(ended.status))), s.show(ended)


def test_without_times_the_newest_revision_is_taken() -> None:
    untimed = replace(PASSED, created_at=None)
    observed = at(s.importing(), s.remote_import("SUCCEEDED"), revision=untimed)
    s.expect(observed, ("ready", "Ready", ""), Done())
