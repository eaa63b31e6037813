"""A change that must not go on: why, and the way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.domain.served import (
    NEW,
    OLD,
    begun,
    expect,
    look,
    model,
    new,
    object_serving_a,
    old,
    rollout,
)
from tests.unit.domain.situations import SOON

from together_operator.api.v1alpha1 import RolloutPhase
from together_operator.domain.deployment.actions import (
    ActOnRollout,
    DeleteDeployment,
    DeleteRollout,
    ScaleDeployment,
    SetTraffic,
)
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


def test_what_failed_is_remembered_once_it_is_gone_and_not_tried_again() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.RETURNING, message="out of memory")

    plan = expect(o, BACK, After(0))

    assert plan.status.rollout is not None
    assert plan.status.rollout.phase == RolloutPhase.FAILED
    after = replace(o, md=o.md.model_copy(update={"status": plan.status}))
    expect(after, ("stalled", "RolloutFailed", "RolledOut"), Done())
    other = after.md.model_copy(update={"spec": object_serving_a({"rollout": CANARY}).spec})
    expect(replace(after, md=other), ROLLING_OUT, After(0))


def test_what_was_given_up_leaves_no_trace() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.CANCELING, message="changed")
    plan = expect(o, ("reconciling", "CancelingRollout", "RolledOut"), After(0))
    assert plan.status.rollout is None
