"""Rows about money: what is refused before it is created, and what an object reserves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain import served
from tests.unit.domain.serving_situations import (
    CONFIG,
    DEPLOYMENT,
    SERVING,
    after,
    message,
    model_deployment,
    ready,
    seen,
    serving,
    stopped,
)
from tests.unit.domain.situations import ME, NOW, PROCESS
from together_operator.api.v1alpha1 import Cost, Intent, ModelDeploymentStatus
from together_operator.domain.deployment.actions import (
    CreateDeployment,
    CreateEndpoint,
    ScaleDeployment,
)
from together_operator.domain.deployment.budget import billed
from together_operator.domain.deployment.observed import Ceiling, Observed
from together_operator.domain.deployment.scaling import wanted_scaling
from together_operator.domain.outcome import After
from together_operator.domain.together import Deployment, DeploymentState

# One replica costs 4 dollars an hour.


def new(spec: dict[str, Any], *ceilings: Ceiling) -> Observed:
    """Nothing is there yet."""
    observed = seen(model_deployment(spec), None)
    return replace(observed, endpoint=None, ceilings=ceilings)


def reserved(observed: Observed) -> str | None:
    """What the status says after the decision."""
    cost = after(observed).status.cost
    return cost.reserved_per_hour if cost is not None else None


TEAM = "the ceiling of namespace team"


@pytest.mark.parametrize(
    ("spec", "ceilings", "words"),
    [
        ({"replicas": 3, "maxHourlyCost": "10"}, (), ("$12.00", "spec.maxHourlyCost", "$10.00")),
        ({"replicas": 1, "maxHourlyCost": "3.99"}, (), ("$4.00", "$3.99")),
        (
            {"autoscaling": {"maxReplicas": 4}, "maxHourlyCost": "15.99"},
            (),
            ("1 to 4 replicas", "$16.00", "$15.99"),
        ),
        (
            {"replicas": 1},
            (Ceiling(TEAM, 1000.0, 700.0),),
            ("$4.00", TEAM, "$10.00", "$7.00 are taken by others"),
        ),
        (
            {"replicas": 1, "maxHourlyCost": "100"},
            (Ceiling(TEAM, 1000.0, 0.0), Ceiling("the operator's ceiling", 1000.0, 601.0)),
            ("$4.00", "the operator's ceiling", "$6.01 are taken"),
        ),
    ],
)
def test_what_costs_too_much_is_refused_before_anything_is_created(
    spec: dict[str, Any], ceilings: tuple[Ceiling, ...], words: tuple[str, ...]
) -> None:
    plan = after(new(spec, *ceilings))

    assert plan.action is None
    assert ready(plan) == ("False", "OverBudget")
    assert next(c.status for c in plan.status.conditions if c.type == "Affordable") == "False"
    assert next(c.status for c in plan.status.conditions if c.type == "Stalled") == "True"
    for word in words:
        assert word in message(plan)
    assert plan.outcome == After(PROCESS.poll * 6)
    assert plan.status.retry is None
    assert reserved(new(spec, *ceilings)) is None


@pytest.mark.parametrize(
    ("spec", "ceilings"),
    [
        ({"replicas": 3}, ()),
        ({"replicas": 3, "maxHourlyCost": "12"}, ()),
        ({"replicas": 1}, (Ceiling(TEAM, 1000.0, 600.0),)),
    ],
)
def test_what_is_within_the_ceilings_is_created(
    spec: dict[str, Any], ceilings: tuple[Ceiling, ...]
) -> None:
    plan = after(new(spec, *ceilings))

    assert isinstance(plan.action, CreateEndpoint)


def test_nothing_costs_nothing_whatever_the_ceiling() -> None:
    assert isinstance(after(new({"replicas": 0, "maxHourlyCost": "0"})).action, CreateEndpoint)


def test_hardware_that_no_config_has_is_told_before_there_is_an_endpoint() -> None:
    plan = after(new({"hardware": {"gpu": "nvidia-b300-288gb"}}))

    assert plan.action is None
    assert ready(plan) == ("False", "NoConfig")


def test_hardware_without_a_price_is_not_started_under_a_ceiling() -> None:
    priceless = replace(new({"maxHourlyCost": "10"}), instance_types=())

    assert ready(after(priceless)) == ("False", "PriceUnknown")


def test_hardware_without_a_price_is_started_where_no_ceiling_is() -> None:
    assert isinstance(after(replace(new({}), instance_types=())).action, CreateEndpoint)


def test_a_deployment_does_not_grow_beyond_its_ceiling_and_goes_on_serving() -> None:
    observed = serving({"replicas": 3, "maxHourlyCost": "10"}, ready_replicas=None)

    plan = after(observed)

    assert plan.action is None
    assert ready(plan) == ("False", "OverBudget")
    assert plan.status.ready_replicas == 1
    assert (plan.status.replicas, plan.status.replicas_text) == (1, "1/1")
    assert plan.status.cost == Cost(
        per_replica_hour="4.00", per_hour="4.00", reserved_per_hour="4.00"
    )


def test_replicas_that_somebody_else_added_and_that_stay_are_in_the_cost() -> None:
    spec = {"driftPolicy": "Report"}
    grown = replace(
        DEPLOYMENT,
        min_replicas=3,
        max_replicas=3,
        ready_replicas=3,
        scheduled_replicas=3,
        desired_replicas=3,
    )
    asked = wanted_scaling(model_deployment(spec), NOW).record

    plan = after(serving(spec, grown, scaling=asked))

    assert ready(plan) == ("True", "Drifted")
    assert (plan.status.replicas, plan.status.replicas_text) == (3, "3/3")
    assert plan.status.cost is not None
    assert plan.status.cost.per_hour == "12.00"


def test_a_deployment_may_always_shrink() -> None:
    live = replace(DEPLOYMENT, min_replicas=5, max_replicas=5)

    plan = after(serving({"replicas": 4, "maxHourlyCost": "10"}, live))

    assert isinstance(plan.action, ScaleDeployment)


def test_what_runs_is_not_stopped_by_a_lower_ceiling() -> None:
    plan = after(serving({"maxHourlyCost": "1"}))

    assert plan.action is None
    assert ready(plan) == ("True", "Ready")


@pytest.mark.parametrize(
    ("observed", "dollars"),
    [
        (new({"replicas": 3}), "12.00"),
        (new({"autoscaling": {"maxReplicas": 4}}), "16.00"),
        (new({"replicas": 3, "suspend": True}), None),
        (serving({}), "4.00"),
        (serving({"replicas": 3}), "12.00"),  # from the moment on that it is asked for
        # Fewer are wanted, but all of them are billed until they are gone.
        (serving({"replicas": 1}, replace(DEPLOYMENT, min_replicas=3, max_replicas=3)), "12.00"),
        (
            serving(
                {"replicas": 0},
                replace(stopped(), state=DeploymentState.STOPPING, scheduled_replicas=2),
            ),
            "8.00",
        ),
        (serving({"replicas": 0}, stopped()), "0.00"),
        (
            serving({}, replace(DEPLOYMENT, state=DeploymentState.FAILED, scheduled_replicas=0)),
            "0.00",
        ),
    ],
)
def test_an_object_reserves_what_runs_and_what_it_starts(
    observed: Observed, dollars: str | None
) -> None:
    assert reserved(observed) == dollars


def test_a_create_whose_answer_was_lost_stays_reserved() -> None:
    intent = Intent(kind="Deployment", name="d", since=NOW, holder=ME)
    status = SERVING.model_copy(
        update={
            "deployment": None,
            "intent": intent,
            "cost": Cost(per_replica_hour="4.00", reserved_per_hour="8.00"),
        }
    )
    md = model_deployment({"replicas": 2, "maxHourlyCost": "1"}, status)

    plan = after(replace(seen(md, None), last_sent=NOW))

    assert ready(plan) == ("False", "OverBudget")
    assert plan.status.cost is not None
    assert plan.status.cost.reserved_per_hour == "8.00"
    assert plan.status.intent == intent


def test_a_deletion_reserves_what_still_runs() -> None:
    md = model_deployment({}, SERVING, deleted=True)

    plan = after(seen(md))

    assert plan.status.cost is not None
    assert plan.status.cost.reserved_per_hour == "4.00"


def test_the_price_follows_the_list() -> None:
    dearer = replace(serving({}).instance_types[0], cents_per_hour=500.0)

    plan = after(replace(serving({}), instance_types=(dearer,)))

    assert plan.status.cost is not None
    assert plan.status.cost.per_replica_hour == "5.00"


def test_a_price_that_was_known_stands_in_for_a_list_that_can_not_be_read() -> None:
    plan = after(replace(serving({}), instance_types=()))

    assert plan.status.cost is not None
    assert plan.status.cost.per_hour == "4.00"


def test_replicas_that_hold_hardware_are_billed_ready_or_not() -> None:
    starting = replace(DEPLOYMENT, scheduled_replicas=2, ready_replicas=0)

    assert billed(serving({}, starting)) == 800.0


def test_a_created_deployment_carries_its_price() -> None:
    md = model_deployment({"replicas": 2}, SERVING.model_copy(update={"deployment": None}))

    plan = after(seen(md, None))

    assert isinstance(plan.action, CreateDeployment)
    assert plan.action.record.hardware == CONFIG.instance_type
    assert plan.status.cost == Cost(
        per_replica_hour="4.00", per_hour="8.00", reserved_per_hour="8.00"
    )


def test_an_object_without_any_cost_says_none() -> None:
    assert after(new({"replicas": 0})).status.cost is None
    assert ModelDeploymentStatus().cost is None


@pytest.mark.parametrize(
    ("strategy", "ceiling", "reason"),
    [
        # Two replicas at 4 dollars each, for as long as traffic moves.
        ("BlueGreen", "8", "RollingOut"),
        ("BlueGreen", "7.99", "OverBudget"),
        ("Recreate", "4", "Replacing"),
        ("Recreate", "3.99", "OverBudget"),
    ],
)
def test_a_change_costs_both_deployments_unless_one_goes_first(
    strategy: str, ceiling: str, reason: str
) -> None:
    spec = {"rollout": {"strategy": strategy}, "maxHourlyCost": ceiling}
    another = replace(DEPLOYMENT, model="projects/proj_1/models/ml_before/revisions/rv_0")

    plan = after(serving(spec, another))

    assert ready(plan)[1] == reason
    if reason == "RollingOut":
        assert plan.status.cost is not None
        assert plan.status.cost.reserved_per_hour == "8.00"
    if reason == "OverBudget":
        assert plan.action is None


STEPS = {"steps": [{"traffic": 10, "replicas": 3}, {"traffic": 100}]}
"""In its first step the new deployment has three replicas, at the end one."""


@pytest.mark.parametrize(("ceiling", "reason"), [("16", "RollingOut"), ("15.99", "OverBudget")])
def test_a_canary_costs_what_its_largest_step_does(ceiling: str, reason: str) -> None:
    spec = {"rollout": {"strategy": "Canary", "canary": STEPS}, "maxHourlyCost": ceiling}
    another = replace(DEPLOYMENT, model="projects/proj_1/models/ml_before/revisions/rv_0")

    plan = after(serving(spec, another))

    assert ready(plan)[1] == reason
    if reason == "RollingOut":
        assert plan.status.cost is not None
        assert plan.status.cost.reserved_per_hour == "16.00"


@pytest.mark.parametrize(("state", "replicas"), [("STOPPED", 0), ("SCALING", 1), ("READY", 3)])
def test_what_takes_over_is_reserved_in_full_before_it_has_grown(state: str, replicas: int) -> None:
    all_of_it = served.old("READY", 3, min_replicas=3, max_replicas=3)
    o = served.look(served.object_serving_a({"replicas": 3}), all_of_it)
    target = served.new(o, state, replicas)
    running = (served.rollout("RUNNING"),)

    o = served.begun(replace(o, deployments=(all_of_it, target), rollouts=running))

    assert reserved(o) == "8.94", "twice three at 1.49"


@pytest.mark.parametrize(
    "deployments",
    [(served.old("STOPPING", 0, max_replicas=0),), (served.old("STOPPED", 0, max_replicas=0),), ()],
    ids=["the old one goes", "it is stopped", "it is gone"],
)
def test_recreate_keeps_what_the_next_one_needs(deployments: tuple[Deployment, ...]) -> None:
    md = served.object_serving_a({"rollout": {"strategy": "Recreate"}})

    assert reserved(served.replaced_by_b(served.look(md, *deployments))) == "1.49"
