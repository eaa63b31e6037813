"""Decisions about a CustomModel whose API is v1, and about adopting a model with its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import ANOTHER, FOUND, HUB, MODEL, PASSED
from together_operator.api.v1alpha1 import CustomModel, ModelStatus
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import Action, CreateModel, StartImport
from together_operator.domain.custom_model.observed import Observed, is_imported, may_adopt
from together_operator.domain.outcome import After, Done, Failed, Outcome
from together_operator.domain.plan import RemoveFinalizer
from together_operator.domain.together import V1

NAME = "acme/team-model"
LISTED = replace(MODEL, id=NAME)
UNBORN = replace(LISTED, placeholder=True)
ADOPT = {**HUB, "adoptionPolicy": "Adopt"}
STALLED = Failed("UnsupportedByAPI", 1.0, terminal=True)


def named(cm: CustomModel) -> CustomModel:
    """The object with the id that v1's models have."""
    record = cm.status.model or ModelStatus()
    return s.given(cm, model=record.model_copy(update={"id": NAME}))


def look(cm: CustomModel, **facts: Any) -> Observed:
    """An observation through v1."""
    return s.look(cm, abilities=V1, **facts)


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(
            look(s.found(), source=FOUND),
            ("reconciling", "Registering", "Registered"),
            After(0),
            CreateModel,
            id="no catalog is needed to create a placeholder",
        ),
        pytest.param(
            look(named(s.registered()), model=UNBORN),
            ("reconciling", "Importing", "Imported"),
            After(0),
            StartImport,
            id="the import creates the model",
        ),
        pytest.param(
            look(named(s.registered()), model=LISTED),
            ("stalled", "UnsupportedByAPI", "Imported"),
            STALLED,
            None,
            id="v1 imports into no model that is there",
        ),
        pytest.param(
            look(
                named(s.import_announced(ANOTHER, ago=3600)),
                model=LISTED,
                imports=(s.remote_import("SUCCEEDED", f"listed:{NAME}"),),
            ),
            ("reconciling", "Importing", "Imported"),
            After(0),
            None,
            id="a lost upload is found by the model that it made",
        ),
        pytest.param(
            look(named(s.import_announced(ANOTHER, ago=3600)), model=UNBORN),
            ("reconciling", "Importing", "Imported"),
            After(0),
            StartImport,
            id="a lost upload that shows nothing after the settle window is repeated",
        ),
        pytest.param(
            look(
                named(s.import_announced(spec=ADOPT)),
                model=LISTED,
                imports=(s.remote_import("SUCCEEDED", f"listed:{NAME}"),),
            ),
            ("reconciling", "Importing", "Imported"),
            After(0),
            None,
            id="what another upload made meanwhile may be adopted",
        ),
        pytest.param(
            look(named(s.imported()), model=UNBORN),
            ("reconciling", "Registering", "Registered"),
            After(0),
            None,
            id="an imported model that is not listed any more was deleted",
        ),
        pytest.param(
            look(named(s.imported({**HUB, "description": "words"})), model=LISTED),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="v1 does not tell a description: nothing to compare",
        ),
        pytest.param(
            look(named(s.imported({**HUB, "visibility": "Internal"})), model=LISTED),
            ("stalled", "UnsupportedByAPI", ""),
            STALLED,
            None,
            id="v1 has no visibility",
        ),
    ],
)
def test_the_way_up(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: Action | None
) -> None:
    s.expect(observed, says, outcome, action)


def test_what_v1_cannot_do_is_told_with_every_way_out() -> None:
    cm = named(s.imported(deleted=True))
    plan = decide(look(cm, model=LISTED), s.NOW)
    assert s.told(plan.status)[:2] == ("stalled", "UnsupportedByAPI")
    assert (plan.outcome, plan.action) == (After(s.PROCESS.poll), None)
    words = s.message(plan.status)
    for way in ("console", "spec.deletionPolicy", "together.ai/release=true", "API_VERSION=v2"):
        assert way in words


@pytest.mark.parametrize(
    ("observed", "outcome", "action"),
    [
        pytest.param(
            look(named(s.imported(deleted=True)), model=UNBORN),
            Done(),
            RemoveFinalizer(),
            id="a person deleted the model at Together",
        ),
        pytest.param(
            look(
                named(s.importing(deleted=True)),
                model=UNBORN,
                imports=(s.remote_import("RUNNING"),),
            ),
            After(s.PROCESS.poll),
            None,
            id="an import that runs will make a model: waited for",
        ),
        pytest.param(
            look(
                named(s.importing(deleted=True)), model=UNBORN, imports=(s.remote_import("FAILED"),)
            ),
            Done(),
            RemoveFinalizer(),
            id="an import that failed makes none",
        ),
        pytest.param(
            s.sent(look(named(s.import_announced(deleted=True)), model=UNBORN), ago=1),
            After(s.PROCESS.poll),
            None,
            id="an upload whose answer was lost may make one: waited for",
        ),
        pytest.param(
            s.sent(look(named(s.import_announced(deleted=True)), model=UNBORN), ago=3600),
            Done(),
            RemoveFinalizer(),
            id="nothing came of it within the settle window",
        ),
    ],
)
def test_the_way_down(observed: Observed, outcome: Outcome, action: Action | None) -> None:
    plan = decide(observed, s.NOW)
    assert (plan.outcome, plan.action) == (outcome, action), s.show(plan)


@pytest.mark.parametrize("seen", [{}, {"abilities": V1}])
def test_a_model_is_adopted_with_its_weights(seen: dict[str, Any]) -> None:
    cm = s.found(ADOPT)
    assert may_adopt(cm)
    observed = s.look(cm, model=MODEL, revision=PASSED, source=FOUND, **seen)
    plan = s.expect(observed, ("reconciling", "Importing", "Imported"), After(0))
    after = s.given(cm, **dict(plan.status))
    assert is_imported(after)
    s.expect(s.look(after, model=MODEL, **seen), ("ready", "Ready", ""), Done())


@pytest.mark.parametrize("validation", ["PENDING", "FAILED"])
def test_a_revision_that_is_not_validated_is_not_adopted(validation: str) -> None:
    revision = replace(PASSED, validation=validation)
    observed = s.look(s.found(ADOPT), model=MODEL, revision=revision, source=FOUND)
    plan = s.expect(observed, ("reconciling", "Importing", "Imported"), After(0))
    assert plan.status.import_ is None


def test_an_adopted_model_is_imported_anew_when_its_source_changes() -> None:
    observed = s.look(s.found(ADOPT), model=MODEL, revision=PASSED, source=FOUND)
    after = s.given(s.found(ADOPT), **dict(decide(observed, s.NOW).status))
    changed = s.edited(after, {**s.OTHER_HUB, "adoptionPolicy": "Adopt"})
    assert not is_imported(changed)
