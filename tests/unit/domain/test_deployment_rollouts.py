"""A change under way: its target, and the rollout that moves traffic to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.served import (
    NEW,
    OLD,
    SMALL,
    begun,
    expect,
    look,
    new,
    object_serving_a,
    old,
    rollout,
    target_of,
)
from tests.unit.domain.situations import NOW, PROCESS, SOON
from together_operator.api.v1alpha1 import DeploymentStatus, Intent, RolloutPhase
from together_operator.domain.deployment import decide
from together_operator.domain.deployment.actions import (
    ActOnRollout,
    CreateDeployment,
    CreateRollout,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.rolling import PROMOTE_ANNOTATION
from together_operator.domain.outcome import After
from together_operator.domain.together import Deployment, TrafficShare
from together_operator.domain.together_rollouts import NewRollout, RolloutStep, RolloutVerb

ROLLING_OUT = ("reconciling", "RollingOut", "RolledOut")
POLL = PROCESS.poll
CANARY = {"strategy": "Canary", "canary": {"steps": [{"traffic": 10}, {"traffic": 100}]}}
PAUSED = {"rollout": {"paused": True}}


def verb(name: RolloutVerb, why: str = "") -> ActOnRollout:
    """What is done to the rollout."""
    return ActOnRollout("ep_1", "rol_1", name, why)


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


@pytest.mark.parametrize(
    ("spec", "ready", "replicas"),
    [
        # Four serve, and fewer are wanted from now on: money was asked for these only.
        ({"replicas": 1}, 4, 1),
        ({"replicas": 1, "autoscaling": {"maxReplicas": 2}}, 4, 2),
        # Autoscaling has grown the source, and may keep what it has.
        ({"replicas": 1, "autoscaling": {"maxReplicas": 4}}, 3, 3),
        ({"replicas": 2}, 1, 2),
    ],
)
def test_a_rollout_starts_no_more_than_the_most_that_are_wanted(
    spec: dict[str, Any], ready: int, replicas: int
) -> None:
    source = old(ready=ready, min_replicas=ready, max_replicas=ready)
    o = look(object_serving_a(spec), source)
    o = begun(replace(o, deployments=(source, new(o))), RolloutPhase.PREPARING)
    asked = NewRollout(OLD, NEW, "blueGreen", replicas)
    expect(o, ROLLING_OUT, After(0), CreateRollout("ep_1", asked))


def test_a_source_that_is_scaling_is_waited_for() -> None:
    o = look(object_serving_a(), old())
    o = begun(replace(o, deployments=(old("SCALING"), new(o))), RolloutPhase.PREPARING)
    expect(o, ROLLING_OUT, After(POLL))


@pytest.mark.parametrize(
    "source",
    [
        old("SCALING", message="Cannot place replicas: no capacity", min_replicas=4),
        old("PROVISIONING", 0),
        old("SCALING", 0),
    ],
    ids=["it waits for room", "it never started", "nothing of it is ready"],
)
def test_a_source_that_may_never_be_ready_is_not_waited_for(source: Deployment) -> None:
    o = look(object_serving_a(), source)
    o = begun(replace(o, deployments=(source, new(o))), RolloutPhase.PREPARING)
    expect(o, ROLLING_OUT, After(SOON), ScaleDeployment("ep_1", NEW, 1))


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
        (
            PAUSED,
            "PENDING",
            {},
            ("paused", "RolloutPaused", "RolledOut"),
            After(POLL * 3),
            None,
        ),
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
        ("PENDING", None, verb(RolloutVerb.START)),
        ("RUNNING", 0, verb(RolloutVerb.PROMOTE)),
        ("PAUSED", 0, verb(RolloutVerb.PROMOTE)),
        ("RUNNING", 1, None),
        ("PAUSED", 1, verb(RolloutVerb.RESUME)),
    ],
)
def test_a_promoted_target_gets_everything_even_when_paused(
    state: str, step: int | None, action: Any
) -> None:
    name = target_of(look(object_serving_a(), old())).name
    md = object_serving_a(PAUSED, annotations={PROMOTE_ANNOTATION: name})
    o = look(md, old())
    o = begun(replace(o, deployments=(old(), new(o, "READY", 1))))
    o = replace(o, rollouts=(rollout(state, step=step, steps=2),))
    expect(o, ROLLING_OUT, After(SOON if action else POLL), action)


@pytest.mark.parametrize(
    ("spec", "ago", "failure", "action"),
    [
        ({}, 10, "CAPACITY_EXHAUSTED", None),
        ({}, 301, "CAPACITY_EXHAUSTED", verb(RolloutVerb.RESUME)),
        ({}, 301, "INTERNAL", verb(RolloutVerb.RESUME)),
        ({}, 301, "ROUTING_ERROR", verb(RolloutVerb.RESUME)),
        (PAUSED, 301, "CAPACITY_EXHAUSTED", None),
    ],
)
def test_a_rollout_that_waits_for_the_platform_is_resumed_after_a_while(
    spec: dict[str, Any], ago: float, failure: str, action: Any
) -> None:
    o = look(object_serving_a(spec), old())
    o = begun(replace(o, deployments=(old(), new(o))))
    halted = rollout("SYSTEM_PAUSED", failure=failure, paused_at=NOW - timedelta(seconds=ago))
    o = replace(o, rollouts=(halted,))
    if spec:
        expect(o, ("paused", "RolloutPaused", "RolledOut"), After(POLL * 3), None)
    else:
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


@pytest.mark.parametrize("state", ["STOPPING", "STOPPED"])
@pytest.mark.parametrize(("spec", "moved"), [({"inactiveTimeout": 30}, True), ({}, False)])
def test_a_target_that_idled_after_its_rollout_has_completed_is_the_deployment(
    spec: dict[str, Any], moved: bool, state: str
) -> None:
    o = look(object_serving_a(spec), old("STOPPED", 0), traffic={NEW: 100.0})
    target = new(o, state, min_replicas=1, max_replicas=1)
    o = begun(replace(o, deployments=(old("STOPPED", 0, max_replicas=0), target)))

    plan = decide(replace(o, rollouts=(rollout("COMPLETED"),)), NOW)

    assert (plan.status.rollout is None) is moved
    assert plan.status.deployment is not None
    assert (plan.status.deployment.id == NEW) is moved


def test_a_rollout_that_status_does_not_know_is_taken_up_again() -> None:
    o = look(object_serving_a(), old())
    o = replace(o, deployments=(old(), new(o, "READY", 1)), rollouts=(rollout("RUNNING", step=0),))

    plan = expect(o, ROLLING_OUT, After(0))

    assert plan.status.rollout is not None
    assert (plan.status.rollout.id, plan.status.rollout.target.id) == ("rol_1", NEW)


def test_a_record_that_was_lost_is_mended_by_what_together_says() -> None:
    o = look(object_serving_a({"modelRef": {"name": "a"}}), old())
    lost = DeploymentStatus(id=OLD, name="serve-serve-old")
    status = o.md.status.model_copy(update={"deployment": lost})

    record = decide(
        replace(o, md=o.md.model_copy(update={"status": status})), NOW
    ).status.deployment

    assert record is not None
    assert (record.model, record.revision) == ("ml_a", "rv_1")
    assert (record.config, record.hardware) == (SMALL.id, SMALL.instance_type)
