"""The order of a CustomModel's rows: what comes first, what a change leads to, what is ready."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import HUB, MODEL, NOW, OTHER_HUB, PASSED
from together_operator.api.v1alpha1 import CustomModel
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import CreateModel, StartImport, UpdateModel
from together_operator.domain.custom_model.observed import Observed, is_settled
from together_operator.domain.outcome import After, Done, Outcome
from together_operator.domain.plan import AddFinalizer
from together_operator.domain.source import SourceFacts, source_digest
from together_operator.domain.together import ModelChange, Visibility

READY = s.imported()
SUSPENDED = {**HUB, "suspend": True}


@pytest.mark.parametrize(
    ("observed", "says", "outcome", "action"),
    [
        pytest.param(
            s.look(s.custom_model(), source=s.FOUND, base_models=s.CATALOG),
            ("reconciling", "Registering", "Registered"),
            After(0),
            CreateModel,
            id="a source seen for the first time: on to the model in the same step",
        ),
        pytest.param(
            s.look(READY, model=MODEL),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="imported: ready",
        ),
        pytest.param(
            s.look(s.edited(READY, {**HUB, "description": "new"}), model=MODEL),
            ("reconciling", "Updating", ""),
            After(0),
            UpdateModel(MODEL.id, ModelChange(description="new")),
            id="another description: that alone is written",
        ),
        pytest.param(
            s.look(
                s.edited(READY, {**HUB, "description": " new\n"}),
                model=replace(MODEL, description="old"),
            ),
            ("reconciling", "Updating", ""),
            After(0),
            UpdateModel(MODEL.id, ModelChange(description="new")),
            id="a description that ends with a newline: written as Together keeps it",
        ),
        pytest.param(
            s.look(
                s.edited(READY, {**HUB, "description": "new\n"}),
                model=replace(MODEL, description="new"),
            ),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="given back trimmed: as it is wanted",
        ),
        pytest.param(
            s.look(
                s.edited(READY, {**HUB, "adoptionPolicy": "Adopt"}),
                model=replace(MODEL, description="theirs"),
            ),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="adopted, without a description in the spec: what it has is left as it is",
        ),
        pytest.param(
            s.look(READY, model=replace(MODEL, description="by hand")),
            ("reconciling", "Updating", ""),
            After(0),
            UpdateModel(MODEL.id, ModelChange(description=MODEL.description)),
            id="a description that somebody else wrote: marked as this cluster's again",
        ),
        pytest.param(
            s.look(s.edited(READY, {**HUB, "visibility": "Internal"}), model=MODEL),
            ("reconciling", "Updating", ""),
            After(0),
            UpdateModel(MODEL.id, ModelChange(visibility=Visibility.INTERNAL)),
            id="another visibility: that alone is written",
        ),
        pytest.param(
            s.look(READY),
            ("reconciling", "Registering", "Registered"),
            After(0),
            None,
            id="ready, and its record was deleted: once more from the record on",
        ),
        pytest.param(
            s.look(s.edited(READY, OTHER_HUB), model=MODEL, source=s.FOUND),
            ("reconciling", "Importing", "Imported"),
            After(0),
            StartImport,
            id="ready, and the spec names another source: imported into the same model",
        ),
        pytest.param(
            s.look(s.custom_model(SUSPENDED), source=s.FOUND, base_models=s.CATALOG),
            ("paused", "Suspended", "SourceReady"),
            Done(),
            None,
            id="suspended from the beginning: nothing is started",
        ),
        pytest.param(
            s.look(s.found(SUSPENDED), source=s.FOUND, base_models=s.CATALOG),
            ("paused", "Suspended", "Registered"),
            Done(),
            None,
            id="suspended before the model: it is not created",
        ),
        pytest.param(
            s.look(s.registered(SUSPENDED), model=MODEL),
            ("paused", "Suspended", "Imported"),
            Done(),
            None,
            id="suspended before the import: it is not started",
        ),
        pytest.param(
            s.look(s.import_announced(spec=SUSPENDED), model=MODEL),
            ("reconciling", "Importing", "Imported"),
            After(0),
            None,
            id="suspended when an import was announced and not sent: the intent is dropped",
        ),
        pytest.param(
            s.look(s.importing(spec=SUSPENDED), model=MODEL, imports=(s.remote_import(),)),
            ("reconciling", "Importing", "Imported"),
            After(10.0),
            None,
            id="suspended while an import runs: it is followed",
        ),
        pytest.param(
            s.look(s.imported(SUSPENDED), model=MODEL),
            ("ready", "Ready", ""),
            Done(),
            None,
            id="suspended once it is imported: it stays ready",
        ),
    ],
)
def test_row(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object
) -> None:
    s.expect(observed, says, outcome, action)


def test_the_finalizer_comes_before_everything_else() -> None:
    cm = s.custom_model(finalizer=False)
    plan = decide(s.look(cm, source=s.FOUND, base_models=s.CATALOG), NOW)
    assert plan.action == AddFinalizer()
    assert plan.outcome == After(0)
    assert plan.status == cm.status, "nothing is said before it"


def test_what_was_found_at_the_source_is_told() -> None:
    plan = decide(s.look(s.custom_model(), source=s.FOUND, base_models=s.CATALOG), NOW)
    seen = plan.status.source
    assert seen is not None
    assert seen.to_body() == {
        "text": "hf://org/model",
        "digest": source_digest(s.custom_model().spec),
        "revision": "commit-1",
        "files": 3,
        "sizeBytes": 1536,
        "size": "1.5KiB",
    }


def test_a_size_that_is_not_known_is_not_told() -> None:
    facts = SourceFacts(revision="etag", base_model="meta/base")
    plan = decide(s.look(s.custom_model(), source=facts, base_models=s.CATALOG), NOW)
    assert plan.status.source is not None
    assert plan.status.source.size is None


@pytest.mark.parametrize(
    ("cm", "facts"),
    [
        pytest.param(
            s.edited(s.importing("FAILED", attempt=2), OTHER_HUB), s.FOUND, id="another source"
        ),
        pytest.param(
            s.importing("FAILED", attempt=3),
            SourceFacts(revision="commit-2"),
            id="the same source, mended in place after all attempts failed",
        ),
    ],
)
def test_a_new_source_voids_what_came_of_the_old_one(cm: CustomModel, facts: SourceFacts) -> None:
    observed = s.look(cm, model=MODEL, source=facts, imports=(s.remote_import("FAILED"),))
    plan = s.expect(observed, ("reconciling", "Importing", "Imported"), After(0), StartImport)
    assert plan.status.import_ is None, s.show(plan)
    assert plan.status.source is not None
    assert plan.status.source.revision == facts.revision
    assert plan.status.intent is not None
    assert plan.status.intent.attempt == 1, "attempts are counted anew"
    assert plan.status.model is not None
    assert plan.status.model.id == MODEL.id, "the record is kept"


def test_a_source_that_changes_while_its_import_runs_waits_for_its_end() -> None:
    cm = s.edited(s.importing("RUNNING"), OTHER_HUB)
    observed = s.look(cm, model=MODEL, source=s.FOUND, imports=(s.remote_import("RUNNING"),))
    plan = s.expect(observed, ("reconciling", "Importing", "Imported"), After(10.0))
    assert plan.status.source == cm.status.source


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED"])
def test_a_source_that_changed_meanwhile_is_imported_after_the_running_one(state: str) -> None:
    cm = s.edited(s.importing(state), OTHER_HUB)
    facts = {"model": MODEL, "imports": (s.remote_import(state),), "revision": PASSED}
    plan = s.expect(
        s.look(cm, source=s.FOUND, **facts),
        ("reconciling", "Importing", "Imported"),
        After(0),
        StartImport,
    )
    assert plan.status.intent is not None
    assert plan.status.intent.name == f"{source_digest(cm.spec)}:{s.JOB_ID}"


def test_an_intent_for_a_model_survives_a_new_source() -> None:
    cm = s.edited(s.model_announced(ago=5), OTHER_HUB)
    plan = decide(s.look(cm, source=s.FOUND, base_models=s.CATALOG), NOW)
    assert plan.status.intent is not None
    assert plan.status.intent.kind == "Model"
    assert plan.status.intent.attempt == 1


def test_an_object_that_is_ready_is_settled_by_what_its_status_says() -> None:
    plan = decide(s.look(READY, model=MODEL), NOW)
    assert is_settled(s.given(READY, **dict(plan.status)))


@pytest.mark.parametrize(
    "cm",
    [
        pytest.param(s.edited(READY, {**HUB, "description": "new"}), id="edited"),
        pytest.param(s.imported(deleted=True), id="being deleted"),
        pytest.param(s.imported(finalizer=False), id="without finalizer"),
        pytest.param(s.importing("RUNNING"), id="importing"),
        pytest.param(s.given(READY, intent=s.model_announced().status.intent), id="with an intent"),
    ],
)
def test_an_object_is_not_settled(cm: CustomModel) -> None:
    assert not is_settled(cm)


def test_being_ready_ends_the_backoff() -> None:
    cm = s.given(READY, retry=s.retry(failures=3))
    plan = s.expect(s.look(cm, model=MODEL), ("ready", "Ready", ""), Done())
    assert plan.status.retry is None


def test_what_is_ready_and_stays_so_is_not_written_again() -> None:
    first = decide(s.look(READY, model=MODEL), NOW)
    again = decide(s.look(s.given(READY, **dict(first.status)), model=MODEL), NOW + s.seconds(600))
    assert again.status == first.status


def test_phases_follow_the_way() -> None:
    phases = [
        decide(observed, NOW).status.phase
        for observed in (
            s.look(s.found(), base_models=s.CATALOG, source=s.FOUND),
            s.look(s.registered(), model=MODEL),
            s.look(s.importing(), model=MODEL, imports=(s.remote_import(),)),
            s.look(READY, model=MODEL),
            s.look(s.custom_model(SUSPENDED), source=s.FOUND),
            s.look(s.imported(deleted=True), model=MODEL),
        )
    ]
    assert phases == ["Registering", "Importing", "Importing", "Ready", "Suspended", "Deleting"]
