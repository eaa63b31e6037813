"""Registering: the model record is created once, and only under an intent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import (
    ANOTHER,
    CATALOG,
    FOUND,
    HUB,
    ME,
    MODEL,
    NOW,
    PASSED,
    PREFIX,
    SOON,
)
from together_operator.api.v1alpha1 import CustomModel
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import CreateJob, CreateModel
from together_operator.domain.custom_model.observed import Observed
from together_operator.domain.custom_model.status import failure
from together_operator.domain.errors import Unauthorized
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Failed, Outcome
from together_operator.domain.together import NewModel

NEEDED: dict[str, Any] = {"source": FOUND, "base_models": CATALOG}
OURS = MODEL.description
ADOPT = {**HUB, "adoptionPolicy": "Adopt"}
CREATING = ("reconciling", "Registering", "Registered")
SETTLING = ("reconciling", "Settling", "Registered")
TAKEN = ("stalled", "NameTaken", "Registered")
GOT_IT = ("reconciling", "Importing", "Imported")


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(
            s.look(s.found(), **NEEDED),
            CREATING,
            After(0),
            CreateModel,
            id="nothing carries the name: created",
        ),
        pytest.param(
            s.look(s.found(), model=MODEL, **NEEDED),
            TAKEN,
            Failed("NameTaken", 1.0, terminal=True),
            None,
            id="found without an intent: somebody else's",
        ),
        pytest.param(
            s.look(s.found(ADOPT), model=MODEL, **NEEDED),
            GOT_IT,
            After(0),
            None,
            id="found without an intent, and it may be adopted",
        ),
        pytest.param(
            s.look(s.model_announced(), **NEEDED),
            CREATING,
            After(0),
            CreateModel,
            id="announced by us and not sent: created at once",
        ),
        pytest.param(
            s.look(s.model_announced(), model=MODEL, **NEEDED),
            TAKEN,
            Failed("NameTaken", 1.0, terminal=True),
            None,
            id="announced by us, not sent, and found: somebody else was faster",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=5), model=MODEL, **NEEDED), ago=4),
            GOT_IT,
            After(0),
            None,
            id="sent by us, answer lost, and found: ours",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=5), **NEEDED), ago=4),
            SETTLING,
            After(10.0),
            None,
            id="sent by us 4 s ago, answer lost, not found: wait, and look every poll",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=28), **NEEDED), ago=27),
            SETTLING,
            After(3.0),
            None,
            id="sent 27 s ago of a window of 30: the rest of it",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=31), **NEEDED), ago=30),
            CREATING,
            After(0),
            CreateModel,
            id="the window is over and it is not there: created again",
        ),
        pytest.param(
            s.sent(s.look(s.model_announced(ago=600), **NEEDED), ago=2),
            SETTLING,
            After(10.0),
            None,
            id="an old intent that was sent again just now: the window starts with the sending",
        ),
        pytest.param(
            s.look(s.model_announced(ANOTHER, ago=5), model=MODEL, **NEEDED),
            GOT_IT,
            After(0),
            None,
            id="announced by an earlier process, and found: ours",
        ),
        pytest.param(
            s.look(s.model_announced(ANOTHER, ago=5), **NEEDED),
            SETTLING,
            After(10.0),
            None,
            id="announced by an earlier process, not found: it may have sent it",
        ),
        pytest.param(
            s.look(s.model_announced(ANOTHER, ago=32), **NEEDED),
            CREATING,
            After(0),
            CreateModel,
            id="announced by an earlier process, and its window is over",
        ),
        pytest.param(
            s.look(s.found({**HUB, "baseModel": "meta/unheard-of"}), **NEEDED),
            ("stalled", "BaseModelUnknown", "Registered"),
            Failed("BaseModelUnknown", 1.0, terminal=True),
            None,
            id="the base model is not in the catalog",
        ),
        pytest.param(
            s.look(s.found(), source=replace(FOUND, base_model=None), base_models=CATALOG),
            ("stalled", "BaseModelUnknown", "Registered"),
            Failed("BaseModelUnknown", 1.0, terminal=True),
            None,
            id="neither spec nor source say a base model",
        ),
    ],
)
def test_row(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object
) -> None:
    s.expect(observed, says, outcome, action)


def test_an_earlier_process_may_have_sent_until_just_before_this_one_began() -> None:
    cm = s.model_announced(ANOTHER, ago=600)
    fresh = replace(s.PROCESS, started=NOW - s.seconds(10))
    observed = replace(s.look(cm, **NEEDED), process=fresh)
    s.expect(observed, SETTLING, After(10.0))
    late = replace(observed, process=replace(fresh, started=NOW - s.seconds(30)))
    s.expect(late, CREATING, After(0), CreateModel)


@pytest.mark.parametrize(
    ("cm", "attempt", "stays"),
    [
        pytest.param(s.found(), 1, False, id="none yet"),
        pytest.param(s.model_announced(ME, ago=5), 1, True, id="ours: kept"),
        pytest.param(s.model_announced(ANOTHER, ago=60), 2, False, id="another process's: renewed"),
    ],
)
def test_the_intent_is_stored_with_the_plan_that_creates(
    cm: CustomModel, attempt: int, stays: bool
) -> None:
    plan = s.expect(s.look(cm, **NEEDED), CREATING, After(0), CreateModel)
    intent = plan.status.intent
    assert intent is not None, s.show(plan)
    assert (intent.kind, intent.name, intent.holder) == ("Model", "team-model", ME)
    assert intent.attempt == attempt
    assert (intent == cm.status.intent) is stays
    assert stays or intent.since == NOW


@pytest.mark.parametrize(
    ("spec", "facts", "new"),
    [
        pytest.param(
            HUB,
            NEEDED,
            NewModel("team-model", "ml_base", "model", OURS),
            id="name of namespace and object, base model of the source",
        ),
        pytest.param(
            {
                **HUB,
                "modelName": "mine",
                "type": "Adapter",
                "baseModel": "meta/larger",
                "description": "words",
            },
            NEEDED,
            NewModel("mine", "ml_larger", "adapter", "words"),
            id="all of it in the spec",
        ),
        pytest.param(
            {**HUB, "type": "Embedding", "baseModel": "ml_unlisted"},
            NEEDED,
            NewModel("team-model", "ml_unlisted", "model", OURS),
            id="an id that the catalog doesn't list is taken as it is",
        ),
        pytest.param(
            {**HUB, "deletionPolicy": "Retain"},
            NEEDED,
            NewModel("team-model", "ml_base", "model"),
            id="a model that shall be kept is not marked as this cluster's",
        ),
    ],
)
def test_what_is_created(spec: s.Spec, facts: dict[str, Any], new: NewModel) -> None:
    assert decide(s.look(s.found(spec), **facts), NOW).action == CreateModel(new)


@pytest.mark.parametrize("cm", [s.found(ADOPT), s.model_announced(ANOTHER, ago=1, spec=ADOPT)])
def test_a_record_that_becomes_ours_is_kept_by_id_and_ends_the_intent(cm: CustomModel) -> None:
    cm = s.given(cm, retry=s.retry(failures=2))
    plan = decide(s.look(cm, model=MODEL, **NEEDED), NOW)
    assert plan.status.model is not None, s.show(plan)
    assert plan.status.model.to_body() == {"id": "ml_1", "name": "acme/team-model"}
    assert plan.status.intent is None
    assert plan.status.retry is None


def test_a_taken_name_is_told_with_the_remedy_and_ends_the_intent() -> None:
    plan = decide(s.look(s.model_announced(), model=MODEL, **NEEDED), NOW)
    words = s.message(plan.status)
    assert "acme/team-model is already at Together" in words
    assert "spec.modelName" in words
    assert "spec.adoptionPolicy" in words
    assert plan.status.intent is None


def test_a_taken_name_is_looked_at_again_with_growing_delays() -> None:
    cm, delays = s.found(), []
    for _ in range(4):
        plan = decide(s.look(cm, model=MODEL, **NEEDED), NOW)
        assert isinstance(plan.outcome, Failed)
        delays.append(plan.outcome.seconds)
        cm = s.given(cm, **dict(plan.status))
    assert delays == [1.0, 2.0, 4.0, 8.0]


def test_an_unknown_base_model_names_the_nearest() -> None:
    cm = s.found({**HUB, "baseModel": "meta/bases"})
    words = s.message(decide(s.look(cm, **NEEDED), NOW).status)
    assert "'meta/bases' is not in Together's catalog; the nearest are meta/base" in words
    assert "spec.baseModel" in words


@pytest.mark.parametrize(
    ("cm", "stage"),
    [
        pytest.param(s.registered(), "Registered", id="registered"),
        pytest.param(s.import_announced(), "Registered", id="import announced"),
        pytest.param(s.importing("RUNNING"), "Registered", id="importing"),
        pytest.param(s.importing("SUCCEEDED"), "Registered", id="validating"),
        pytest.param(s.imported(), "Registered", id="ready"),
        pytest.param(s.registered(s.PREFIX), "Registered", id="archived"),
        pytest.param(
            s.edited(s.importing("RUNNING"), s.PREFIX), "SourceReady", id="importing an old source"
        ),
    ],
)
def test_a_record_that_was_deleted_at_together_is_begun_again(cm: CustomModel, stage: str) -> None:
    plan = s.expect(s.look(cm, source=FOUND), ("reconciling", "Registering", stage), After(0))
    assert plan.status.model is None, s.show(plan)
    assert plan.status.import_ is None
    assert plan.status.intent is None
    assert plan.status.archive == cm.status.archive, "what was archived is kept"
    assert "acme/team-model was deleted at Together" in s.message(plan.status)


# Before hours are spent on packing.

TYPO = {**PREFIX, "baseModel": "meta/bsae"}
MAY_ADOPT = {**PREFIX, "adoptionPolicy": "Adopt"}


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(
            s.look(s.custom_model(PREFIX), **NEEDED),
            ("reconciling", "Archiving", "Archived"),
            After(SOON),
            CreateJob,
            id="nothing is wrong: packed",
        ),
        pytest.param(
            s.look(s.custom_model(TYPO), source=FOUND),
            ("reconciling", "Archiving", "Archived"),
            After(SOON),
            CreateJob,
            id="Together did not answer: packed, and told later",
        ),
        pytest.param(
            s.look(s.custom_model(TYPO), **NEEDED),
            ("stalled", "BaseModelUnknown", "Archived"),
            Failed("BaseModelUnknown", 1.0, terminal=True),
            None,
            id="its base model is unknown: told before it is packed",
        ),
        pytest.param(
            s.look(s.custom_model(PREFIX), model=MODEL, source=FOUND),
            ("stalled", "NameTaken", "Archived"),
            Failed("NameTaken", 1.0, terminal=True),
            None,
            id="its name is taken: told before it is packed",
        ),
        pytest.param(
            s.look(s.custom_model(MAY_ADOPT), model=MODEL, revision=PASSED, source=FOUND),
            ("reconciling", "Importing", "Imported"),
            After(0),
            None,
            id="adopted with its weights: not packed at all",
        ),
        pytest.param(
            s.look(s.custom_model(MAY_ADOPT), model=MODEL, source=FOUND),
            ("reconciling", "Archiving", "Archived"),
            After(0),
            None,
            id="adopted without weights: packed for it",
        ),
    ],
)
def test_row_before_packing(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object
) -> None:
    s.expect(observed, says, outcome, action)


def conditions(cm: CustomModel) -> dict[str, tuple[str, str]]:
    """Status and reason of each stage."""
    return {c.type: (c.status, c.reason) for c in cm.status.conditions[3:]}


def test_what_stalls_before_packing_says_that_nothing_is_packed() -> None:
    cm = s.custom_model(TYPO)
    plan = decide(s.look(cm, **NEEDED), NOW)
    assert conditions(s.given(cm, **dict(plan.status))) == {
        "SourceReady": ("True", "Found"),
        "Archived": ("False", "Pending"),
        "Registered": ("False", "BaseModelUnknown"),
        "Imported": ("False", "Pending"),
    }


def test_a_key_that_is_refused_before_anything_was_seen_says_so_of_nothing_else() -> None:
    cm = s.custom_model(PREFIX)
    plan = failure(s.look(cm), NOW, StageError("Registered", Unauthorized("no")))
    assert conditions(s.given(cm, **dict(plan.status))) == {
        "SourceReady": ("False", "Pending"),
        "Archived": ("False", "Pending"),
        "Registered": ("False", "Unauthorized"),
        "Imported": ("False", "Pending"),
    }


def test_a_model_that_was_adopted_instead_of_packed_is_ready_without_an_archive() -> None:
    cm = s.custom_model(MAY_ADOPT)
    plan = decide(s.look(cm, model=MODEL, revision=PASSED, source=FOUND), NOW)
    cm = s.given(cm, **dict(plan.status))
    plan = s.expect(s.look(cm, model=MODEL), ("ready", "Ready", ""), Done())
    assert conditions(s.given(cm, **dict(plan.status)))["Archived"] == ("True", "NotRequired")
