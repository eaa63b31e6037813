"""What a reconcile looks at: what the decision needs in a situation, and nothing else."""

from __future__ import annotations

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import CLAIM, HUB, NOW, OTHER_HUB, PREFIX
from together_operator.api.v1alpha1 import CustomModel, JobStatus
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.observed import Fact, wanted_facts, wanted_name

SOURCE, JOB, MODEL = Fact.SOURCE, Fact.JOB, Fact.MODEL
BASES, IMPORTS, REVISION = Fact.BASE_MODELS, Fact.IMPORTS, Fact.REVISION

BEFORE_PACKING = {SOURCE, JOB, MODEL, BASES}


@pytest.mark.parametrize(
    ("cm", "facts"),
    [
        pytest.param(s.custom_model(finalizer=False), set(), id="before the finalizer: nothing"),
        pytest.param(s.custom_model(), {SOURCE, MODEL, BASES}, id="new"),
        pytest.param(s.custom_model(PREFIX), BEFORE_PACKING, id="new, to be packed"),
        pytest.param(s.found(PREFIX), BEFORE_PACKING, id="seen, and not begun to be packed"),
        pytest.param(
            s.given(s.found(PREFIX), job=JobStatus(name="job", attempt=1)),
            {JOB},
            id="being packed: nothing else is read again",
        ),
        pytest.param(
            s.edited(s.given(s.found(PREFIX), job=JobStatus(name="job", attempt=1)), CLAIM),
            BEFORE_PACKING,
            id="being packed, another source",
        ),
        pytest.param(
            s.given(s.found(PREFIX), job=JobStatus()),
            BEFORE_PACKING,
            id="another source, seen and not begun to be packed",
        ),
        pytest.param(
            s.custom_model({**PREFIX, "suspend": True}), {SOURCE, JOB}, id="new, suspended"
        ),
        pytest.param(
            s.given(s.registered(PREFIX), archive=None, job=None),
            {JOB},
            id="registered, not packed",
        ),
        pytest.param(s.archived(), {SOURCE, MODEL, BASES}, id="packed, not registered"),
        pytest.param(s.model_announced(), {SOURCE, MODEL, BASES}, id="model announced"),
        pytest.param(s.registered(), {MODEL, IMPORTS, REVISION}, id="registered"),
        pytest.param(s.import_announced(), {MODEL, IMPORTS, REVISION}, id="import announced"),
        pytest.param(s.importing("RUNNING"), {MODEL, IMPORTS, REVISION}, id="importing"),
        pytest.param(s.importing("SUCCEEDED"), {MODEL, IMPORTS, REVISION}, id="validating"),
        pytest.param(
            s.importing("FAILED"),
            {SOURCE, MODEL, IMPORTS, REVISION},
            id="failed: the source may have been mended",
        ),
        pytest.param(
            s.given(s.found(), phase="Failed"),
            {SOURCE, MODEL, BASES},
            id="stalled before the model: the source may have been mended",
        ),
        pytest.param(s.imported(), {MODEL}, id="ready: one look, at a list that others share"),
        pytest.param(
            s.edited(s.imported(), {**HUB, "description": "new"}), {MODEL}, id="ready, edited"
        ),
        pytest.param(
            s.edited(s.imported(), OTHER_HUB),
            {SOURCE, MODEL, IMPORTS, REVISION},
            id="ready, another source",
        ),
        pytest.param(
            s.edited(s.imported(), PREFIX), {SOURCE, JOB}, id="ready, another source to be packed"
        ),
        pytest.param(
            s.edited(s.importing("RUNNING"), OTHER_HUB),
            {MODEL, IMPORTS, REVISION},
            id="importing, another source: not looked at before the import's end",
        ),
    ],
)
def test_what_is_looked_at(cm: CustomModel, facts: set[Fact]) -> None:
    assert wanted_facts(cm) == facts


@pytest.mark.parametrize(
    ("spec", "name"),
    [(HUB, "team-model"), ({**HUB, "modelName": "mine"}, "mine")],
    ids=["of namespace and object", "of the spec"],
)
def test_the_name_at_together(spec: s.Spec, name: str) -> None:
    assert wanted_name(s.custom_model(spec)) == name


def test_the_source_of_a_model_that_is_ready_is_never_read() -> None:
    status = decide(s.look(s.imported(), model=s.MODEL), NOW).status
    assert SOURCE not in wanted_facts(s.given(s.imported(), **dict(status)))
