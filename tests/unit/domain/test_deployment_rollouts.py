"""Decisions about a change of what is served: one test a row, one case a situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.domain.served import (
    LARGE,
    NEW,
    OLD,
    SMALL,
    begun,
    expect,
    look,
    model,
    new,
    object_serving_a,
    old,
    rollout,
    target_of,
)
from tests.unit.domain.situations import NOW, PROCESS, SOON

from together_operator.api.v1alpha1 import Intent, RolloutPhase
from together_operator.domain.deployment.actions import (
    ActOnRollout,
    CreateDeployment,
    CreateRollout,
    DeleteDeployment,
    DeleteRollout,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.changing import due
from together_operator.domain.deployment.rolling import PROMOTE_ANNOTATION
from together_operator.domain.outcome import After, Done
from together_operator.domain.together import InstanceType, TrafficShare
from together_operator.domain.together_rollouts import NewRollout, RolloutStep, RolloutVerb

ROLLING_OUT = ("reconciling", "RollingOut", "RolledOut")
BACK = ("reconciling", "RollingBack", "RolledOut")
POLL = PROCESS.poll
CANARY = {"strategy": "Canary", "canary": {"steps": [{"traffic": 10}, {"traffic": 100}]}}
PAUSED = {"rollout": {"paused": True}}
ONLY_OLD = (TrafficShare(OLD, 100.0),)


def verb(name: RolloutVerb, why: str = "") -> ActOnRollout:
    """What is done to the rollout."""
    return ActOnRollout("ep_1", "rol_1", name, why)


# Beginning.


def test_another_model_begins_with_its_record_in_status_and_nothing_done() -> None:
    o = look(object_serving_a(), old())

    plan = expect(o, ROLLING_OUT, After(0))

    progress = plan.status.rollout
    assert progress is not None
    assert (progress.phase, progress.strategy) == (RolloutPhase.PREPARING, "BlueGreen")
    assert progress.target.name == target_of(o).name
    assert progress.target.config == SMALL.id
    assert plan.status.deployment == o.md.status.deployment


@pytest.mark.parametrize(
    "spec",
    [
        {"modelRef": {"name": "a"}, "hardware": {"gpu": "nvidia-h100-80gb"}},
        {"modelRef": {"name": "a"}, "config": "cr_large"},
        {"modelRef": {"name": "a"}, "placement": {"regions": ["us"]}},
        {"modelRef": {"name": "a"}, "revisionPolicy": "Pinned", "revision": "rv_0"},
    ],
    ids=str,
)
def test_whatever_can_not_be_changed_in_place_is_a_rollout(spec: dict[str, Any]) -> None:
    plan = expect(look(object_serving_a(spec), old()), ROLLING_OUT, After(0))
    assert plan.status.rollout is not None


@pytest.mark.parametrize(
    ("policy", "moves"), [("Latest", True), ("Pinned", False)], ids=["Latest", "Pinned"]
)
def test_a_new_revision_rolls_out_by_policy(policy: str, moves: bool) -> None:
    md = object_serving_a({"modelRef": {"name": "a"}, "revisionPolicy": policy})
    o = look(md, old(), model=model("a", "rv_2"))

    says = ROLLING_OUT if moves else ("ready", "Ready", "")
    expect(o, says, After(0) if moves else Done())


def test_a_model_that_is_not_ready_leaves_what_runs() -> None:
    o = look(object_serving_a(), old(), model=model(ready=False))
    expect(o, ("ready", "Ready", ""), Done())


def test_a_price_that_changes_moves_nobody() -> None:
    cheap = InstanceType(LARGE.instance_type, "H100", 1, 1.0)
    md = object_serving_a({"modelRef": {"name": "a"}, "optimization": "balanced"})
    expect(look(md, old(), instance_types=(cheap,)), ("ready", "Ready", ""), Done())


def test_a_paused_change_does_not_begin() -> None:
    expect(look(object_serving_a(PAUSED), old()), ("paused", "RolloutPaused", "RolledOut"), Done())


@pytest.mark.parametrize(
    ("facts", "says", "outcome"),
    [
        ({"refused": "quota exceeded"}, ("stalled", "QuotaExceeded", "RolledOut"), Done()),
        ({"refused": "no such model"}, ("stalled", "Rejected", "RolledOut"), Done()),
        (
            {"instance_types": (InstanceType(SMALL.instance_type, "L40S", 1, 1, None, {"us": 0}),)},
            ("reconciling", "NoCapacity", "RolledOut"),
            After(PROCESS.backoff.cap),
        ),
        ({"configs": ()}, ("stalled", "NoConfig", "RolledOut"), Done()),
    ],
    ids=["quota", "refused", "no room", "no config"],
)
def test_a_change_that_can_not_be_made_leaves_what_runs(
    facts: dict[str, Any], says: tuple[str, str, str], outcome: Any
) -> None:
    expect(look(object_serving_a(), old(), **facts), says, outcome)


def test_what_is_due_is_asked_about_before_it_begins_and_not_again() -> None:
    o = look(object_serving_a(), old())
    asked = due(o)
    assert asked is not None
    assert (asked.name, asked.min_replicas) == (target_of(o).name, 1)
    assert due(begun(o)) is None
    assert due(look(object_serving_a(PAUSED), old())) is None
    assert due(look(object_serving_a({"replicas": 0}), old())) is None
    assert due(look(object_serving_a({"modelRef": {"name": "a"}}), old())) is None


# Preparing.


def test_the_target_is_created_stopped_with_its_intent() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.PREPARING)

    plan = expect(o, ROLLING_OUT, After(0), CreateDeployment)

    assert isinstance(plan.action, CreateDeployment)
    assert plan.action.is_target
    assert (plan.action.new.min_replicas, plan.action.new.max_replicas) == (0, 0)
    assert plan.status.intent is not None
    assert plan.status.intent.name == plan.action.new.name


def test_a_target_whose_answer_was_lost_is_looked_for_first() -> None:
    o = begun(look(object_serving_a(), old()), RolloutPhase.PREPARING)
    intent = Intent(kind="Deployment", name=target_of(o).name, since=NOW, holder="another")
    status = o.md.status.model_copy(update={"intent": intent})
    o = replace(o, md=o.md.model_copy(update={"status": status}))

    expect(o, ("reconciling", "Settling", "RolledOut"), After(POLL))


@pytest.mark.parametrize(
    ("spec", "asked"),
    [
        ({}, NewRollout(OLD, NEW, "blueGreen", 1)),
        ({"rollout": {"strategy": "Rolling"}}, NewRollout(OLD, NEW, "rolling", 1)),
        (
            {"rollout": CANARY, "replicas": 3},
            NewRollout(OLD, NEW, "canary", 3, (RolloutStep(10), RolloutStep(100)), 180),
        ),
    ],
    ids=["BlueGreen", "Rolling", "Canary"],
)
def test_a_target_that_is_there_gets_its_rollout(spec: dict[str, Any], asked: NewRollout) -> None:
    o = look(object_serving_a(spec), old())
    o = begun(replace(o, deployments=(old(), new(o))), RolloutPhase.PREPARING)
    expect(o, ROLLING_OUT, After(0), CreateRollout("ep_1", asked))


def test_a_source_that_is_scaling_is_waited_for() -> None:
    o = look(object_serving_a(), old())
    o = begun(replace(o, deployments=(old("SCALING"), new(o))), RolloutPhase.PREPARING)
    expect(o, ROLLING_OUT, After(POLL))


@pytest.mark.parametrize(
    ("state", "ready", "outcome", "action"),
    [
        ("STOPPED", 0, After(SOON), ScaleDeployment("ep_1", NEW, 1)),
        ("PROVISIONING", 0, After(POLL), None),
        ("READY", 1, After(0), SetTraffic("ep_1", (TrafficShare(NEW, 100.0),), "etag-1")),
    ],
)
def test_a_source_that_is_degraded_gives_way_by_the_split(
    state: str, ready: int, outcome: After, action: Any
) -> None:
    o = look(object_serving_a(), old())
    bounds = {} if state == "STOPPED" else {"min_replicas": 1, "max_replicas": 1}
    o = begun(replace(o, deployments=(old("DEGRADED"), new(o, state, ready, **bounds))))
    expect(o, ROLLING_OUT, outcome, action)


# Following.


@pytest.mark.parametrize(
    ("spec", "state", "facts", "says", "outcome", "action"),
    [
        ({}, "PENDING", {}, ROLLING_OUT, After(SOON), verb(RolloutVerb.START)),
        ({}, "RUNNING", {"step": 0, "steps": 2}, ROLLING_OUT, After(POLL), None),
        ({}, "STABILIZING", {"step": 1, "steps": 2}, ROLLING_OUT, After(POLL), None),
        ({}, "PAUSED", {"step": 0}, ROLLING_OUT, After(SOON), verb(RolloutVerb.RESUME)),
        (PAUSED, "PENDING", {}, ROLLING_OUT, After(POLL), None),
        (
            PAUSED,
            "RUNNING",
            {"step": 0},
            ROLLING_OUT,
            After(SOON),
            verb(RolloutVerb.PAUSE, "spec.rollout.paused is true"),
        ),
        (
            PAUSED,
            "PAUSED",
            {"step": 0},
            ("paused", "RolloutPaused", "RolledOut"),
            After(POLL * 3),
            None,
        ),
    ],
)
def test_a_rollout_is_followed(
    spec: dict[str, Any], state: str, facts: Any, says: Any, outcome: After, action: Any
) -> None:
    o = look(object_serving_a(spec), old())
    o = begun(replace(o, deployments=(old(), new(o, "READY", 1))))
    o = replace(o, rollouts=(rollout(state, **facts),))
    expect(o, says, outcome, action)


@pytest.mark.parametrize(
    ("state", "step", "action"),
    [
        ("RUNNING", 0, verb(RolloutVerb.PROMOTE)),
        ("PAUSED", 0, verb(RolloutVerb.PROMOTE)),
        ("RUNNING", 1, None),
        ("PAUSED", 1, verb(RolloutVerb.RESUME)),
    ],
)
def test_a_promoted_target_gets_everything_even_when_paused(
    state: str, step: int, action: Any
) -> None:
    name = target_of(look(object_serving_a(), old())).name
    md = object_serving_a(PAUSED, annotations={PROMOTE_ANNOTATION: name})
    o = look(md, old())
    o = begun(replace(o, deployments=(old(), new(o, "READY", 1))))
    o = replace(o, rollouts=(rollout(state, step=step, steps=2),))
    expect(o, ROLLING_OUT, After(SOON if action else POLL), action)


@pytest.mark.parametrize(("ago", "action"), [(10, None), (301, verb(RolloutVerb.RESUME))])
def test_a_rollout_that_waits_for_the_platform_is_resumed_after_a_while(
    ago: float, action: Any
) -> None:
    o = look(object_serving_a(), old())
    o = begun(replace(o, deployments=(old(), new(o))))
    halted = rollout(
        "SYSTEM_PAUSED", failure="CAPACITY_EXHAUSTED", paused_at=NOW - timedelta(seconds=ago)
    )
    o = replace(o, rollouts=(halted,))
    expect(o, ROLLING_OUT, After(SOON if action else POLL), action)


def test_a_completed_rollout_makes_the_target_the_deployment() -> None:
    o = look(object_serving_a(), old())
    o = begun(replace(o, deployments=(old("STOPPED", 0), new(o, "READY", 1))))
    o = replace(o, rollouts=(rollout("COMPLETED"),))

    plan = expect(o, ROLLING_OUT, After(0))

    assert plan.status.deployment is not None
    assert plan.status.deployment.id == NEW
    assert plan.status.previous is not None
    assert plan.status.previous.id == OLD
    assert plan.status.rollout is None
    assert plan.status.model is not None
    assert plan.status.model.id == "ml_b"


def test_a_rollout_that_status_does_not_know_is_taken_up_again() -> None:
    o = look(object_serving_a(), old())
    o = replace(o, deployments=(old(), new(o, "READY", 1)), rollouts=(rollout("RUNNING", step=0),))

    plan = expect(o, ROLLING_OUT, After(0))

    assert plan.status.rollout is not None
    assert (plan.status.rollout.id, plan.status.rollout.target.id) == ("rol_1", NEW)


# Leaving.


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


# What goes before, and after.


@pytest.mark.parametrize(
    ("deployment", "traffic", "outcome", "action"),
    [
        (old(), {OLD: 100.0}, After(SOON), ScaleDeployment("ep_1", OLD, 0)),
        (old("STOPPING", 0, max_replicas=0), {OLD: 100.0}, After(SOON), None),
        (
            old("STOPPED", 0, max_replicas=0),
            {OLD: 100.0},
            After(0),
            SetTraffic("ep_1", (), "etag-1"),
        ),
        (old("STOPPED", 0, max_replicas=0), {}, After(SOON), DeleteDeployment("ep_1", OLD)),
    ],
    ids=["running", "stopping", "routed", "stopped"],
)
def test_recreate_takes_the_old_one_down_first(
    deployment: Any, traffic: Any, outcome: After, action: Any
) -> None:
    md = object_serving_a({"rollout": {"strategy": "Recreate"}})
    o = look(md, deployment, traffic=traffic)
    expect(o, ("reconciling", "Replacing", "RolledOut"), outcome, action)


def test_one_that_does_not_serve_is_replaced_with_every_strategy() -> None:
    o = look(object_serving_a(), old("FAILED", 0))
    expect(
        o,
        ("reconciling", "Replacing", "RolledOut"),
        After(0),
        SetTraffic("ep_1", (), "etag-1"),
    )


def test_what_nothing_wants_any_more_is_taken_down() -> None:
    o = look(object_serving_a({"modelRef": {"name": "a"}}), old())
    stray = new(look(object_serving_a(), old()), "READY", 1)
    o = replace(o, deployments=(old(), stray))
    expect(
        o,
        ("reconciling", "RemovingPrevious", "RolledOut"),
        After(SOON),
        ScaleDeployment("ep_1", NEW, 0),
    )
