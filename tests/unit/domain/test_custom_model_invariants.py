"""What holds for every plan, whatever was observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.domain import situations as s
from tests.unit.domain.situations import ANOTHER, ME, MODEL, NOW
from together_operator.api.v1alpha1 import (
    ArchiveStatus,
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    Progress,
)
from together_operator.domain.archive_job import JobState
from together_operator.domain.conditions import Reason
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import CreateModel, ModelPlan, StartImport
from together_operator.domain.custom_model.observed import Observed
from together_operator.domain.custom_model.status import failure
from together_operator.domain.errors import (
    Ambiguous,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    Rejected,
    SecretUnavailable,
    Unauthorized,
    Unavailable,
)
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After
from together_operator.domain.plan import AddFinalizer, RemoveFinalizer, has_finalizer, is_deleting
from together_operator.domain.source import SourceFacts
from together_operator.domain.together import Revision

ERRORS = (
    Ambiguous("lost"),
    Conflict("taken"),
    Forbidden("not yours"),
    NotFound("not there"),
    RateLimited("slow down", retry_after=7.0),
    Rejected("no"),
    SecretUnavailable("secret", "key", "does not exist"),
    Unauthorized("who are you"),
    Unavailable("away"),
)
STAGES = ("", "SourceReady", "Archived", "Registered", "Imported")
TYPES = ("Ready", "Reconciling", "Stalled", "SourceReady", "Archived", "Registered", "Imported")
SLOW = Progress(stage="Archive", done_bytes=1, total_bytes=9, percent=11, bytes_per_second=0)
FAST = Progress(stage="Archive", done_bytes=5, total_bytes=9, percent=55, bytes_per_second=3)

moments = st.integers(-7200, 7200).map(lambda ago: NOW + s.seconds(ago))
holders = st.sampled_from([ME, ANOTHER])
ages = st.integers(0, 120)
specs = st.builds(
    lambda spec, suspend, adopt: {
        **spec,
        "suspend": suspend,
        "adoptionPolicy": "Adopt" if adopt else "Never",
    },
    st.sampled_from([*s.SPECS.values(), s.OTHER_HUB]),
    st.booleans(),
    st.booleans(),
)


@st.composite
def objects(draw: st.DrawFn) -> CustomModel:
    """An object anywhere on its way, perhaps edited since, perhaps being deleted."""
    spec = draw(specs)
    about: dict[str, Any] = {
        "finalizer": draw(st.booleans()) or draw(st.booleans()),
        "deleted": draw(st.integers(0, 3)) == 0,
        "released": draw(st.integers(0, 5)) == 0,
    }
    makers: list[Callable[[], CustomModel]] = [
        lambda: s.custom_model(spec, **about),
        lambda: s.found(spec, **about),
        lambda: s.model_announced(draw(holders), draw(ages), spec=spec, **about),
        lambda: s.registered(spec, **about),
        lambda: s.import_announced(
            draw(holders), draw(ages), draw(st.sampled_from(["", s.JOB_ID])), spec=spec, **about
        ),
        lambda: s.importing(
            draw(st.sampled_from(["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "ERROR"])),
            draw(st.integers(1, 4)),
            spec=spec,
            **about,
        ),
        lambda: s.imported(spec, **about),
    ]
    cm = draw(st.sampled_from(makers))()
    if draw(st.booleans()):
        cm = s.given(cm, retry=s.retry(draw(st.integers(0, 12)), draw(st.integers(-60, 300))))
    if draw(st.integers(0, 2)) == 0:
        after = s.edited(cm, draw(specs))
        cm = cm.model_copy(
            update={
                "spec": after.spec,
                "metadata": cm.metadata.model_copy(update={"generation": 2}),
            }
        )
    return cm


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    """An object, and anything that a look might find."""
    cm = draw(objects())
    facts: dict[str, Any] = {"jitter": draw(st.floats(0, 0.999))}
    facts["source"] = draw(
        st.sampled_from([s.FOUND, SourceFacts("commit-2", base_model="meta/unknown")])
    )
    if draw(st.booleans()):
        facts["model"] = MODEL
    if draw(st.booleans()):
        facts["base_models"] = s.CATALOG
    states = st.sampled_from(["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "ERROR"])
    ids = draw(st.lists(st.sampled_from([s.JOB_ID, "job_2", "job_3"]), unique=True, max_size=3))
    facts["imports"] = tuple(s.remote_import(draw(states), job_id) for job_id in ids)
    if draw(st.booleans()):
        validation = draw(st.sampled_from(["PENDING", "SUCCESS", "FAILED", "ERROR"]))
        facts["revision"] = Revision("rv_1", validation, created_at=draw(moments))
    if draw(st.booleans()) and cm.spec.archive is not None:
        result = st.sampled_from(
            [None, ArchiveStatus(uri="s3://bucket/archives/a.zip"), ArchiveStatus(uri="s3://x/y")]
        )
        facts["job"] = s.job(
            cm,
            draw(st.sampled_from(JobState)),
            draw(st.integers(1, 6)),
            is_final=draw(st.booleans()),
            deleting=draw(st.booleans()),
            result=draw(result),
            running_since=draw(st.none() | moments),
            progress=draw(st.sampled_from([None, SLOW, FAST])),
        )
    facts["users"] = draw(st.sampled_from([(), ("chat",)]))
    observed = s.look(cm, **facts)
    if draw(st.booleans()):
        observed = s.sent(observed, draw(ages))
    return observed


@st.composite
def announced(draw: st.DrawFn) -> Observed:
    """A create is announced, and nothing of it is seen; it may have been sent."""
    if draw(st.booleans()):
        cm, model = s.model_announced(draw(holders), draw(ages)), None
    else:
        cm, model = s.import_announced(draw(holders), draw(ages)), MODEL
    observed = s.look(cm, source=s.FOUND, base_models=s.CATALOG, model=model)
    return s.sent(observed, draw(ages)) if draw(st.booleans()) else observed


def written(plan: ModelPlan, observed: Observed) -> bool:
    """True for a plan that says something new."""
    return plan.status != observed.cm.status


def check_conditions(before: CustomModelStatus, after: CustomModelStatus, now: datetime) -> None:
    """kstatus, and what readers of conditions rely on."""
    conditions = {c.type: c for c in after.conditions}
    assert tuple(conditions) == TYPES
    assert not (conditions["Reconciling"].status == conditions["Stalled"].status == "True")
    assert {c.status for c in after.conditions} <= {"True", "False"}
    assert {c.reason for c in after.conditions} <= set(Reason)
    old = {c.type: c for c in before.conditions}
    for type_, condition in conditions.items():
        kept = type_ in old and old[type_].status == condition.status
        assert condition.last_transition_time == (old[type_].last_transition_time if kept else now)


@given(observations())
def test_every_plan_that_is_written_has_true_conditions_of_this_generation(o: Observed) -> None:
    plan = decide(o, NOW)
    if written(plan, o) or plan.status.conditions:
        check_conditions(o.cm.status, plan.status, NOW)
        generation = o.cm.metadata.generation
        assert plan.status.observed_generation == generation, s.show(plan)
        assert {c.observed_generation for c in plan.status.conditions} == {generation}


@given(objects(), st.sampled_from(ERRORS), st.sampled_from(STAGES), st.floats(0, 0.999))
def test_every_failure_is_written_counted_and_tried_again(
    cm: CustomModel, error: Any, stage: str, jitter: float
) -> None:
    plan = failure(s.look(cm, jitter=jitter), NOW, StageError(stage, error))
    check_conditions(cm.status, plan.status, NOW)
    before = cm.status.retry.failures if cm.status.retry is not None else 0
    assert plan.status.retry is not None
    assert plan.status.retry.failures == before + 1
    assert 0 < plan.outcome.seconds <= 300  # type: ignore[union-attr]
    assert plan.action is None


@given(announced() | observations())
def test_nothing_is_created_without_finalizer_and_stored_intent(o: Observed) -> None:
    plan = decide(o, NOW)
    if not isinstance(plan.action, CreateModel | StartImport):
        return
    assert has_finalizer(o.cm), s.show(plan)
    assert not is_deleting(o.cm), s.show(plan)
    assert not o.cm.spec.suspend, s.show(plan)
    intent = plan.status.intent
    assert intent is not None, s.show(plan)
    kind = "Model" if isinstance(plan.action, CreateModel) else "Import"
    assert (intent.kind, intent.holder) == (kind, ME), s.show(plan)


@given(announced() | observations())
def test_nothing_is_created_while_an_earlier_request_may_still_take_effect(o: Observed) -> None:
    plan, intent = decide(o, NOW), o.cm.status.intent
    if not isinstance(plan.action, CreateModel | StartImport) or intent is None:
        return
    if plan.status.intent is None or plan.status.intent.kind != intent.kind:
        return
    if o.last_sent is not None:
        assert o.last_sent + s.seconds(30) <= NOW, s.show(plan)
    elif intent.holder != ME:
        assert intent.since + s.seconds(30) <= NOW, s.show(plan)


@given(observations())
def test_no_second_model_is_created_beside_one_that_is_there(o: Observed) -> None:
    if o.model is not None:
        plan = decide(o, NOW)
        assert not isinstance(plan.action, CreateModel), s.show(plan)


@given(observations())
def test_no_second_import_is_started_beside_one_that_runs(o: Observed) -> None:
    last = o.cm.status.import_
    running = {j.id for j in o.imports if j.state.value in {"PENDING", "RUNNING"}}
    if last is not None and last.job_id in running and last.state not in {"SUCCEEDED", "FAILED"}:
        plan = decide(o, NOW)
        assert not isinstance(plan.action, StartImport), s.show(plan)


@given(observations())
def test_a_plan_that_comes_back_at_once_has_changed_something(o: Observed) -> None:
    """Otherwise the object would be decided about for ever, without a pause."""
    plan = decide(o, NOW)
    if plan.outcome == After(0) and plan.action is None:
        assert written(plan, o), s.show(plan)


@given(observations())
@settings(max_examples=200)
def test_decisions_without_an_action_come_to_rest(o: Observed) -> None:
    """With the same facts, statuses alone lead to an action, a wait or an end."""
    for _ in range(8):
        plan = decide(o, NOW)
        if plan.outcome != After(0) or plan.action is not None:
            return
        o = o.with_status(plan.status)
    raise AssertionError(f"no rest: {s.show(plan)}")


@given(observations())
def test_deciding_again_after_a_wait_writes_nothing(o: Observed) -> None:
    """Only what is observed changes a status; time alone does not."""
    plan = decide(o, NOW)
    if plan.action is not None or plan.outcome == After(0) or plan.status.retry is not None:
        return
    at = o.with_status(plan.status)
    again = decide(at, NOW + s.seconds(1))
    if again.action is None and again.outcome != After(0) and again.status.retry is None:
        assert again.status == plan.status, s.show(again)


@given(observations())
def test_the_finalizer_goes_only_from_what_is_deleted_and_comes_to_what_is_not(
    o: Observed,
) -> None:
    plan = decide(o, NOW)
    if isinstance(plan.action, RemoveFinalizer):
        assert is_deleting(o.cm), s.show(plan)
        assert has_finalizer(o.cm), s.show(plan)
    if isinstance(plan.action, AddFinalizer):
        assert not is_deleting(o.cm), s.show(plan)
        assert not has_finalizer(o.cm), s.show(plan)


@given(observations())
def test_the_finalizer_stays_as_long_as_a_record_of_ours_is_there(o: Observed) -> None:
    plan, cm = decide(o, NOW), o.cm
    known = cm.status.model is not None and o.model is not None
    if known and isinstance(plan.action, RemoveFinalizer):
        assert cm.metadata.annotations or cm.spec.deletion_policy == "Retain", s.show(plan)


@given(observations())
def test_a_status_survives_being_stored(o: Observed) -> None:
    plan = decide(o, NOW)
    stored = CustomModelStatus.model_validate(plan.status.to_body())
    assert stored == plan.status, s.show(plan)


@given(observations())
def test_ready_means_imported_and_done(o: Observed) -> None:
    plan = decide(o, NOW)
    ready = next((c for c in plan.status.conditions if c.type == "Ready"), None)
    if ready is None or not written(plan, o):
        return
    if ready.status == "True":
        assert plan.status.phase == CustomModelPhase.READY
        assert plan.status.model is not None
        assert plan.status.model.revision is not None
        assert plan.status.intent is None
        assert all(c.status == "True" for c in plan.status.conditions[3:])


@given(observations(), st.floats(0, 0.999), moments)
def test_a_decision_depends_on_its_inputs_alone(o: Observed, jitter: float, now: datetime) -> None:
    again = replace(o, jitter=jitter)
    assert decide(again, now) == decide(again, now)


def test_the_list_of_conditions_is_what_the_crd_documents() -> None:
    status = decide(s.look(s.found(), source=s.FOUND, base_models=s.CATALOG), NOW).status
    assert tuple(c.type for c in status.conditions) == TYPES
    documented = CustomModelStatus.model_fields["conditions"].description or ""
    assert documented == ", ".join(TYPES) + "."
