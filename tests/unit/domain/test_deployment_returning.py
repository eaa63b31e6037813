"""A change that must not go on: why, and the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.served import (
    NEW,
    OLD,
    SMALL,
    SOURCE,
    begun,
    expect,
    look,
    model,
    new,
    object_serving_a,
    old,
    replaced_by_b,
    rollout,
    target_of,
)
from tests.unit.domain.situations import NOW, PROCESS, SOON, message
from together_operator.api.v1alpha1 import RolloutPhase
from together_operator.domain.deployment import decide
from together_operator.domain.deployment.actions import (
    ActOnRollout,
    CreateDeployment,
    DeleteDeployment,
    DeleteRollout,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.scaling import wanted_scaling
from together_operator.domain.outcome import After, Done
from together_operator.domain.together import TrafficShare
from together_operator.domain.together_rollouts import RolloutVerb

ROLLING_OUT = ("reconciling", "RollingOut", "RolledOut")
BACK = ("reconciling", "RollingBack", "RolledOut")
CANARY = {"strategy": "Canary", "canary": {"steps": [{"traffic": 10}, {"traffic": 100}]}}
ONLY_OLD = (TrafficShare(OLD, 100.0),)


def verb(name: RolloutVerb, why: str = "") -> ActOnRollout:
    """What is done to the rollout."""
    return ActOnRollout("ep_1", "rol_1", name, why)


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({}, "FAILED", "out of memory"),
        (
            {"rollouts": (rollout("SYSTEM_PAUSED", failure="METRIC_REGRESSION", message="0.31"),)},
            "READY",
            "METRIC_REGRESSION): 0.31",
        ),
        ({"rollouts": (rollout("CANCELED", message="not today"),)}, "READY", "not today"),
        ({}, "DEGRADED", "out of memory"),
    ],
    ids=["failed", "gate", "canceled by somebody", "crashing"],
)
def test_a_target_that_is_no_good_is_left(facts: Any, state: str, words: str) -> None:
    o = look(object_serving_a(), old())
    target = new(o, state, 1 if state == "READY" else 0, message="out of memory")
    o = begun(replace(o, deployments=(old(), target), **facts))

    plan = expect(o, BACK, After(0))

    assert plan.status.rollout is not None
    assert plan.status.rollout.phase == RolloutPhase.RETURNING
    assert words in (plan.status.rollout.message or "")


@pytest.mark.parametrize(
    "spec", [{"modelRef": {"name": "a"}}, {"replicas": 0}, {"config": "cr_large"}], ids=str
)
def test_a_spec_that_changed_meanwhile_is_followed_after_the_way_back(spec: Any) -> None:
    o = look(object_serving_a(), old())
    o = begun(replace(o, deployments=(old(), new(o, "READY", 1)), rollouts=(rollout("RUNNING"),)))
    changed = object_serving_a(spec)
    md = changed.model_copy(
        update={"status": changed.status.model_copy(update={"rollout": o.md.status.rollout})}
    )
    assert md.spec.model_ref is not None
    wanted = model(md.spec.model_ref.name)

    plan = expect(
        replace(o, md=md, model=wanted), ("reconciling", "CancelingRollout", "RolledOut"), After(0)
    )

    assert plan.status.rollout is not None
    assert plan.status.rollout.phase == RolloutPhase.CANCELING


GOING_BACK: dict[str, tuple[Any, Any, Any, Any, Any]] = {
    # by name: old deployment, (state, ready) of the new one, rollouts, traffic, (outcome, action)
    "a rollout that was not started is deleted": (
        old(),
        ("STOPPED", 0),
        (rollout("PENDING"),),
        {OLD: 100.0},
        (After(0), DeleteRollout("ep_1", "rol_1")),
    ),
    "one that runs is canceled": (
        old(),
        ("READY", 1),
        (rollout("RUNNING"),),
        {OLD: 90.0, NEW: 10.0},
        (After(SOON), verb(RolloutVerb.CANCEL, "why")),
    ),
    "one that is being canceled is waited for": (
        old(),
        ("READY", 1),
        (rollout("CANCELLING"),),
        {OLD: 90.0, NEW: 10.0},
        (After(SOON), None),
    ),
    "a source that shrank grows again": (
        old(ready=0, max_replicas=0),
        ("READY", 1),
        (rollout("CANCELED"),),
        {NEW: 100.0},
        (After(SOON), ScaleDeployment("ep_1", OLD, 1)),
    ),
    "a source that grows is waited for": (
        old("SCALING", 0),
        ("READY", 1),
        (rollout("CANCELED"),),
        {NEW: 100.0},
        (After(SOON), None),
    ),
    "then it gets the traffic": (
        old(),
        ("READY", 1),
        (rollout("CANCELED"),),
        {OLD: 90.0, NEW: 10.0},
        (After(0), SetTraffic("ep_1", ONLY_OLD, "etag-1")),
    ),
    "then the target is stopped": (
        old(),
        ("READY", 1),
        (rollout("CANCELED"),),
        {OLD: 100.0},
        (After(SOON), ScaleDeployment("ep_1", NEW, 0)),
    ),
    "then it is deleted": (
        old(),
        ("STOPPED", 0),
        (rollout("CANCELED"),),
        {OLD: 100.0},
        (After(SOON), DeleteDeployment("ep_1", NEW)),
    ),
}


@pytest.mark.parametrize("name", GOING_BACK)
def test_going_back(name: str) -> None:
    before, (state, ready), rollouts, traffic, (outcome, action) = GOING_BACK[name]
    o = look(object_serving_a(), old(), traffic=traffic)
    target = new(o, state, ready)
    o = begun(replace(o, deployments=(before, target)), RolloutPhase.RETURNING, message="why")
    expect(replace(o, rollouts=rollouts), BACK, outcome, action)


def test_a_rollout_that_goes_on_because_its_end_is_held_back_is_looked_at_soon() -> None:
    o = look(object_serving_a({"suspend": True}), old(), traffic={OLD: 90.0, NEW: 10.0})
    o = begun(replace(o, deployments=(old(), new(o, "READY", 1))), RolloutPhase.RETURNING)
    o = replace(o, rollouts=(rollout("RUNNING"),))

    plan = expect(o, ("paused", "Suspended", "Deployed"), After(PROCESS.poll))

    assert "ActOnRollout is held back" in message(plan.status)


def test_what_failed_is_remembered_once_it_is_gone_and_not_tried_again() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.RETURNING, message="out of memory")

    plan = expect(o, BACK, After(0))

    assert plan.status.rollout is not None
    assert plan.status.rollout.phase == RolloutPhase.FAILED
    after = replace(o, md=o.md.model_copy(update={"status": plan.status}))
    expect(after, ("stalled", "RolloutFailed", "RolledOut"), Done())
    other = after.md.model_copy(update={"spec": object_serving_a({"rollout": CANARY}).spec})
    expect(replace(after, md=other), ROLLING_OUT, After(0))


def test_replicas_that_a_rollout_has_left_behind_are_nobodys_drift() -> None:
    md = object_serving_a({"driftPolicy": "Report", "replicas": 2})
    shrunk = old(ready=1, min_replicas=1, max_replicas=1)
    o = begun(look(md, shrunk), RolloutPhase.RETURNING, message="b failed")
    asked = wanted_scaling(md, NOW).record.model_copy(update={"routed": OLD})
    status = o.md.status.model_copy(update={"scaling": asked})

    given_up = decide(replace(o, md=md.model_copy(update={"status": status})), NOW)
    plan = decide(look(md.model_copy(update={"status": given_up.status}), shrunk), NOW)

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 2


def test_what_recreate_has_stopped_runs_again_when_the_spec_returns() -> None:
    spec = {"driftPolicy": "Report", "rollout": {"strategy": "Recreate"}}
    md = object_serving_a(spec)
    asked = wanted_scaling(md, NOW).record
    status = md.status.model_copy(update={"scaling": asked})
    o = replaced_by_b(look(md.model_copy(update={"status": status}), old()))
    stopping = decide(o, NOW)
    assert isinstance(stopping.action, ScaleDeployment)

    back = object_serving_a({**spec, "modelRef": {"name": "a"}})
    back = back.model_copy(update={"status": stopping.status})
    plan = decide(look(back, old("STOPPED", 0, min_replicas=0, max_replicas=0)), NOW)

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 1


def test_what_was_given_up_leaves_no_trace() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.CANCELING, message="changed")
    plan = expect(o, ("reconciling", "CancelingRollout", "RolledOut"), After(0))
    assert plan.status.rollout is None


# Recreate.

RECREATE = {"rollout": {"strategy": "Recreate"}}


def in_place_of_a(state: str, ready: int = 0, phase: Any = RolloutPhase.REPLACING) -> Observed:
    """The deployment of model b, which Recreate has put in the place of that of model a."""
    o = look(object_serving_a(RECREATE), old())
    target = new(o, state, ready, message="out of memory", max_replicas=1)
    record = target_of(o).record.model_copy(update={"id": target.id})
    model = target_of(o).served.status
    status = o.md.status.model_copy(update={"deployment": record, "model": model})
    o = replace(o, md=o.md.model_copy(update={"status": status}), deployments=(target,))
    return replaced_by_b(o, phase)


@pytest.mark.parametrize("state", ["FAILED", "DEGRADED"])
def test_what_fails_in_the_place_of_another_gives_way_to_it(state: str) -> None:
    plan = expect(in_place_of_a(state), BACK, After(0))

    failed = plan.status.rollout
    assert failed is not None
    assert (failed.phase, failed.source) == (RolloutPhase.FAILED, SOURCE)
    assert "out of memory" in (failed.message or "")


@pytest.mark.parametrize("state", ["PROVISIONING", "SCALING"])
def test_what_starts_in_the_place_of_another_is_followed(state: str) -> None:
    plan = decide(in_place_of_a(state), NOW)

    assert plan.status.rollout is not None, "it may still fail"
    assert plan.status.rollout.phase == RolloutPhase.REPLACING


def test_what_serves_in_the_place_of_another_has_replaced_it() -> None:
    o = in_place_of_a("READY", 1)
    assert o.endpoint is not None
    o = replace(o, endpoint=replace(o.endpoint, traffic=(TrafficShare(NEW, 100.0),)))

    assert decide(o, NOW).status.rollout is None


def test_what_failed_is_taken_down_and_what_served_before_is_made_again() -> None:
    failed = in_place_of_a("FAILED", phase=RolloutPhase.FAILED)
    replacing = ("reconciling", "Replacing", "RolledOut")
    expect(failed, replacing, After(SOON), DeleteDeployment("ep_1", NEW))

    status = failed.md.status.model_copy(update={"deployment": None})
    nothing = replace(failed, deployments=(), md=failed.md.model_copy(update={"status": status}))
    made = decide(nothing, NOW).action

    assert isinstance(made, CreateDeployment)
    assert (made.new.model, made.new.config) == (SOURCE.model, SOURCE.config)
    assert made.model.name == "acme/a"
    assert made.record.hardware == SMALL.instance_type


def test_what_serves_again_says_why_and_is_kept_until_something_else_is_asked_for() -> None:
    told = ("stalled", "RolloutFailed", "RolledOut")
    o = replaced_by_b(look(object_serving_a(RECREATE), old()), RolloutPhase.FAILED)

    plan = expect(o, told, Done())

    assert plan.status.rollout is not None
    ready = next(c for c in plan.status.conditions if c.type == "Ready")
    assert "b failed: out of memory. " in ready.message
    assert "serves again" in ready.message
    other = object_serving_a({**RECREATE, "modelRef": {"name": "a"}})
    md = other.model_copy(
        update={"status": other.status.model_copy(update={"rollout": o.md.status.rollout})}
    )
    assert decide(look(md, old()), NOW).status.rollout is None, "the old manifest"
