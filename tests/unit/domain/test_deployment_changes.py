"""Whether a spec that asks for another deployment is followed, and what goes before and after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.served import (
    LARGE,
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
    target_of,
)
from tests.unit.domain.situations import PROCESS, SOON
from together_operator.api.v1alpha1 import RolloutPhase
from together_operator.domain.deployment.actions import (
    DeleteDeployment,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.changing import due
from together_operator.domain.outcome import After, Done
from together_operator.domain.together import InstanceType

RECREATE = {"rollout": {"strategy": "Recreate"}}
ROLLING_OUT = ("reconciling", "RollingOut", "RolledOut")
PAUSED = {"rollout": {"paused": True}}


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


def test_a_model_that_is_not_ready_leaves_what_runs_and_is_waited_for() -> None:
    """What serves is not what the spec asks for: to call that Ready would be a lie."""
    o = look(object_serving_a(), old(), model=model(ready=False))
    waiting = ("reconciling", "WaitingForModel", "RolledOut")
    expect(o, waiting, After(PROCESS.backoff.cap))


def test_the_model_that_serves_may_be_imported_anew() -> None:
    md = object_serving_a({"modelRef": {"name": "a"}})
    o = look(md, old(), model=model("a", ready=False))
    expect(o, ("ready", "Ready", ""), Done())


def test_a_model_that_fails_leaves_what_runs_and_says_so() -> None:
    failed = model(ready=False)
    status = failed.status.model_copy(update={"phase": "Failed"})
    o = look(object_serving_a(), old(), model=failed.model_copy(update={"status": status}))
    expect(o, ("stalled", "ModelFailed", "RolledOut"), Done())


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
    o = replaced_by_b(look(object_serving_a(RECREATE), deployment, traffic=traffic))
    expect(o, ("reconciling", "Replacing", "RolledOut"), outcome, action)


def test_what_recreate_replaces_is_noted_before_it_goes() -> None:
    o = look(object_serving_a(RECREATE), old())

    plan = expect(o, ("reconciling", "Replacing", "RolledOut"), After(0))

    noted = plan.status.rollout
    assert noted is not None
    assert noted.source == SOURCE
    assert (noted.phase, noted.target.name) == (RolloutPhase.REPLACING, target_of(o).name)


def test_another_change_in_the_middle_keeps_what_served_last() -> None:
    o = replaced_by_b(look(object_serving_a(RECREATE), old("STOPPING", 0, max_replicas=0)))
    spec = o.md.spec.model_copy(update={"config": LARGE.id})
    o = replace(o, md=o.md.model_copy(update={"spec": spec}))

    plan = expect(o, ("reconciling", "Replacing", "RolledOut"), After(0))

    noted = plan.status.rollout
    assert noted is not None
    assert (noted.source, noted.target.config) == (SOURCE, LARGE.id)


@pytest.mark.parametrize(
    ("deployment", "spec"),
    [
        (replace(old(), model=""), {}),
        (replace(old(), config="cr_small"), {}),
        (old(), {"placement": {"regions": ["us"]}}),
        (old("DEGRADED", 0), {}),
    ],
    ids=["no model is told (v1)", "no config is told", "another placement", "it does not serve"],
)
def test_what_can_not_be_made_again_is_not_noted(deployment: Any, spec: Any) -> None:
    o = look(object_serving_a({**RECREATE, **spec}), deployment)
    if not deployment.model:  # only status knows what it is, then
        record = o.md.status.deployment
        assert record is not None
        known = record.model_copy(update={"request": "0123456789"})
        status = o.md.status.model_copy(update={"deployment": known})
        o = replace(o, md=o.md.model_copy(update={"status": status}))

    plan = expect(
        o,
        ("reconciling", "Replacing", "RolledOut"),
        After(SOON),
        ScaleDeployment("ep_1", OLD, 0),
    )

    assert plan.status.rollout is None


def test_one_that_does_not_serve_is_replaced_with_every_strategy() -> None:
    o = look(object_serving_a(), old("FAILED", 0))
    expect(
        o,
        ("reconciling", "Replacing", "RolledOut"),
        After(0),
        SetTraffic("ep_1", (), "etag-1"),
    )


def test_one_that_answered_at_the_last_look_is_looked_at_again_before_it_goes() -> None:
    o = look(object_serving_a(), old("PROVISIONING", 0))
    seen = expect(o, ("reconciling", "Replacing", "RolledOut"), After(SOON), None)
    assert seen.status.ready_replicas == 0, "so the next look is the last one"


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
