"""Rows about the number of replicas: bounds, autoscaling, idling, drift, and the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.domain.serving_situations import (
    DEPLOYMENT,
    ENDPOINT,
    MODEL,
    SERVING,
    after,
    message,
    model_deployment,
    ready,
    seen,
    serving,
    stopped,
)
from tests.unit.domain.situations import NOW, PROCESS
from together_operator.api.v1alpha1 import ModelDeploymentPhase, ScalingStatus
from together_operator.domain.deployment.actions import (
    CreateDeployment,
    DeleteObject,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.clocked import woken
from together_operator.domain.deployment.observed import Observed, looks_settled
from together_operator.domain.deployment.scaling import wanted_scaling
from together_operator.domain.outcome import After, Done, Failed
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    DeploymentSummary,
    ScalingMetric,
    TrafficShare,
    Tuning,
)

AUTO = {"autoscaling": {"maxReplicas": 4}}
CLOSED = {
    "schedule": {"windows": [{"start": "0 8 * * *", "stop": "0 9 * * *"}]}
}  # NOW is 12:00 UTC
IDLING = {"inactiveTimeout": 30}


def _asked(spec: dict[str, Any]) -> ScalingStatus:
    """What status has once Together has what the spec asks for."""
    return wanted_scaling(model_deployment(spec), NOW).record


def _live(low: int, high: int, **fields: Any) -> Deployment:
    return replace(DEPLOYMENT, min_replicas=low, max_replicas=high, **fields)


@pytest.mark.parametrize(
    ("spec", "live", "bounds"),
    [
        ({"replicas": 3}, DEPLOYMENT, (3, 3)),
        ({"replicas": 1}, _live(3, 3), (1, 1)),
        ({"replicas": 0}, DEPLOYMENT, (0, 0)),
        ({"replicas": 2, **AUTO}, DEPLOYMENT, (2, 4)),
        ({"replicas": 0, **AUTO}, _live(1, 4), (0, 0)),
        ({"replicas": 1, **CLOSED}, DEPLOYMENT, (0, 0)),
        ({"replicas": 1, **AUTO, **CLOSED}, _live(1, 4), (0, 0)),
        ({"ttl": {"seconds": 3600}}, DEPLOYMENT, (0, 0)),
        ({"replicas": 1}, stopped(), (1, 1)),
    ],
)
def test_bounds_are_brought_to_what_is_wanted_now(
    spec: dict[str, Any], live: Deployment, bounds: tuple[int, int]
) -> None:
    plan = after(serving(spec, live))

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.scaling is not None
    assert (plan.action.scaling.low, plan.action.scaling.high) == bounds
    assert plan.action.replicas == bounds[0]
    assert ready(plan) == ("False", "Scaling")


FULL = {
    "maxReplicas": 4,
    "metrics": [
        {"name": "ttft", "target": 500, "percentile": "p95"},
        {"name": "gpu_utilization", "target": 80},
    ],
    "scaleUpWindow": "60s",
    "scaleDownWindow": "600s",
    "scaleToZeroWindow": "3600s",
}
TUNED = Tuning(
    metrics=(ScalingMetric("ttft", 500.0, "p95"), ScalingMetric("gpu_utilization", 80.0)),
    scale_up_window=60,
    scale_down_window=600,
    scale_to_zero_window=3600,
)


@pytest.mark.parametrize(
    ("spec", "live", "change"),
    [
        ({"autoscaling": FULL}, Tuning(), TUNED),
        ({"autoscaling": FULL}, TUNED, None),
        # The order of metrics means nothing, and a percentile that the spec leaves open is free.
        ({"autoscaling": FULL}, replace(TUNED, metrics=TUNED.metrics[::-1]), None),  # type: ignore[index]
        ({"autoscaling": FULL}, replace(TUNED, scale_up_window=30), TUNED),
        (
            {"autoscaling": {"maxReplicas": 4}},
            TUNED,
            Tuning((ScalingMetric("inflight_requests", 8.0),), 0, 300, 0),
        ),
        ({"autoscaling": {"maxReplicas": 4}}, Tuning(), None),
        (
            {},
            replace(TUNED, scale_to_zero_window=None),
            None,
        ),  # without autoscaling they do nothing
        ({}, TUNED, Tuning(scale_to_zero_window=0)),
        (IDLING, Tuning(), Tuning(inactive_timeout=30)),
        (IDLING, Tuning(inactive_timeout=30), None),
        ({}, Tuning(inactive_timeout=30), Tuning(inactive_timeout=0)),
    ],
)
def test_autoscaling_and_idling_are_written_when_they_differ(
    spec: dict[str, Any], live: Tuning, change: Tuning | None
) -> None:
    high = 4 if "autoscaling" in spec else 1

    plan = after(serving(spec, _live(1, high, tuning=live)))

    if change is None:
        assert plan.action is None
        assert ready(plan) == ("True", "Ready")
    else:
        assert isinstance(plan.action, ScaleDeployment)
        assert plan.action.change == change


def test_a_deployment_is_created_with_its_bounds_and_settings() -> None:
    spec = {"replicas": 2, "autoscaling": FULL, "inactiveTimeout": 60}
    md = model_deployment(spec, SERVING.model_copy(update={"deployment": None}))

    plan = after(seen(md, None))

    assert isinstance(plan.action, CreateDeployment)
    new = plan.action.new
    assert (new.min_replicas, new.max_replicas) == (2, 4)
    assert new.tuning == replace(TUNED, inactive_timeout=60)


def test_outside_of_the_schedule_nothing_is_created() -> None:
    md = model_deployment(CLOSED, SERVING.model_copy(update={"deployment": None}))

    plan = after(seen(md, None))

    assert plan.action is None
    assert ready(plan) == ("True", "OutsideSchedule")
    assert plan.status.phase is ModelDeploymentPhase.STOPPED


def test_between_its_bounds_the_number_of_replicas_is_togethers_affair() -> None:
    plan = after(serving(AUTO, _live(1, 4, desired_replicas=3, ready_replicas=3)))

    assert plan.action is None
    assert plan.status.replicas == 3
    assert plan.status.replicas_text == "3/3"
    assert plan.status.cost is not None
    assert plan.status.cost.per_hour == "12.00"


def test_what_together_stopped_for_want_of_requests_stays_stopped() -> None:
    plan = after(
        serving(
            IDLING, stopped(_live(1, 1, tuning=Tuning(inactive_timeout=30))), scaling=_asked(IDLING)
        )
    )

    assert plan.action is None
    assert ready(plan) == ("True", "Idle")
    assert plan.status.phase is ModelDeploymentPhase.STOPPED
    assert plan.outcome == After(PROCESS.poll * 3)


def test_an_idle_one_starts_again_when_something_else_is_asked_for() -> None:
    live = stopped(_live(1, 1, tuning=Tuning(inactive_timeout=30)))

    plan = after(serving({**IDLING, "replicas": 2}, live, scaling=_asked(IDLING)))

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 2


def test_without_a_timeout_a_stop_by_hand_is_drift_and_corrected() -> None:
    plan = after(serving({}, stopped(), scaling=_asked({})))

    assert isinstance(plan.action, ScaleDeployment)


REPORT = {"driftPolicy": "Report"}


def test_drift_is_reported_where_the_policy_says_so() -> None:
    live = _live(3, 3, ready_replicas=3, desired_replicas=3)

    plan = after(serving(REPORT, live, scaling=_asked(REPORT)))

    assert plan.action is None
    assert ready(plan) == ("True", "Drifted")
    assert "3 replicas instead of 1 replica" in message(plan)
    assert plan.status.scaling is not None
    assert plan.status.scaling.drift == "3 replicas instead of 1 replica"


def test_a_change_of_the_spec_is_no_drift() -> None:
    plan = after(serving({**REPORT, "replicas": 2}, scaling=_asked(REPORT)))

    assert isinstance(plan.action, ScaleDeployment)


def test_drift_that_is_gone_is_not_reported_any_more() -> None:
    asked = _asked(REPORT).model_copy(update={"drift": "3 replicas instead of 1 replica"})

    plan = after(serving(REPORT, scaling=asked))

    assert ready(plan) == ("True", "Ready")
    assert plan.status.scaling == ROUTED


ROUTED = _asked(REPORT).model_copy(update={"routed": DEPLOYMENT.id})
"""What status has once it was seen to have traffic."""


def _without_traffic(spec: dict[str, Any], scaling: ScalingStatus) -> Observed:
    theirs = replace(ENDPOINT, traffic=(TrafficShare("dep_theirs", 100.0),))
    return replace(serving(spec, scaling=scaling), endpoint=theirs)


def test_traffic_that_was_taken_away_is_reported_where_the_policy_says_so() -> None:
    plan = after(_without_traffic(REPORT, ROUTED))

    assert plan.action is None
    assert ready(plan) == ("False", "Drifted")
    assert "no weight in the traffic split" in message(plan)
    assert plan.status.scaling is not None
    assert plan.status.scaling.drift == "no weight in the traffic split"
    routed = next(c for c in plan.status.conditions if c.type == "Routed")
    assert (routed.status, routed.reason) == ("False", "Drifted")


@pytest.mark.parametrize(
    ("spec", "scaling"),
    [
        ({}, ROUTED),
        (REPORT, _asked(REPORT)),
        (REPORT, ROUTED.model_copy(update={"routed": "dep_before"})),
    ],
    ids=["the policy is another", "it never had any", "another deployment had it"],
)
def test_other_missing_traffic_is_routed(spec: dict[str, Any], scaling: ScalingStatus) -> None:
    plan = after(_without_traffic(spec, scaling))

    assert isinstance(plan.action, SetTraffic)
    assert ready(plan) == ("False", "Routing")


def test_replicas_that_somebody_else_stopped_are_reported_as_just_that() -> None:
    plan = after(serving(REPORT, stopped(), scaling=ROUTED))

    assert plan.action is None
    assert ready(plan) == ("False", "Drifted")
    assert "0 replicas instead of 1 replica: nothing runs" in message(plan)


def test_drift_of_both_kinds_is_told_together() -> None:
    live = _live(3, 3, ready_replicas=3, desired_replicas=3)
    given = replace(_without_traffic(REPORT, ROUTED), deployments=(live,))

    plan = after(given)

    assert plan.status.scaling is not None
    words = "3 replicas instead of 1 replica and no weight in the traffic split"
    assert plan.status.scaling.drift == words


def test_a_lifetime_that_is_over_deletes_the_object_when_it_says_so() -> None:
    plan = after(serving({"ttl": {"seconds": 3600, "action": "Delete"}}))

    assert plan.action == DeleteObject()


def test_a_lifetime_that_is_over_stops_and_says_so() -> None:
    spec = {"ttl": {"seconds": 3600}}

    plan = after(serving(spec, stopped(), scaling=_asked(spec)))

    assert plan.action is None
    assert ready(plan) == ("True", "Expired")
    assert plan.status.next_change is None


def test_a_schedule_that_never_fires_stalls_and_changes_nothing() -> None:
    never = {"schedule": {"windows": [{"start": "0 8 30 2 *", "stop": "0 9 * * *"}]}}

    plan = after(serving(never))

    assert plan.action is None
    assert ready(plan) == ("False", "ScheduleInvalid")
    assert "spec.schedule.windows[0].start" in message(plan)


def test_the_next_change_is_told_and_waited_for() -> None:
    soon = {"schedule": {"windows": [{"start": "0 8 * * *", "stop": "1 12 * * *"}]}}

    plan = after(serving(soon))

    assert plan.status.next_change is not None
    assert plan.status.next_change.action == "Stop"
    assert plan.outcome == After(60.0)


def test_a_far_change_is_waited_for_in_naps() -> None:
    plan = after(serving({"ttl": {"seconds": 365 * 86400}}))

    assert plan.outcome == After(300.0)


def test_a_backoff_does_not_sleep_over_a_change() -> None:
    soon = {"schedule": {"windows": [{"start": "0 8 * * *", "stop": "1 12 * * *"}]}}
    md = model_deployment(soon, after(serving(soon)).status)

    assert woken(md, NOW, Failed("x", 200.0)) == Failed("x", 60.0)
    assert woken(md, NOW, After(10.0)) == After(10.0)
    assert woken(md, NOW + timedelta(minutes=2), After(100.0)) == After(0.0)
    assert woken(model_deployment(), NOW, Done()) == Done()


def _summary(state: str, desired: int) -> DeploymentSummary:
    return DeploymentSummary("dep_1", "serve-1", DeploymentState(state), None, desired)


@pytest.mark.parametrize(
    ("spec", "live", "summary", "minutes", "settled"),
    [
        ({}, DEPLOYMENT, _summary("READY", 1), 0, True),
        ({}, DEPLOYMENT, _summary("READY", 2), 0, False),
        ({}, DEPLOYMENT, _summary("STOPPED", 0), 0, False),
        (AUTO, _live(1, 4), _summary("READY", 1), 0, True),
        (AUTO, _live(1, 4), _summary("READY", 3), 0, False),  # status shall say 3
        (CLOSED, stopped(), _summary("STOPPED", 0), 0, True),
        (CLOSED, stopped(), _summary("STOPPED", 0), 20 * 60, False),  # it is 8 o'clock
        (IDLING, _live(1, 1, tuning=Tuning(inactive_timeout=30)), _summary("READY", 1), 0, True),
        (IDLING, _live(1, 1, tuning=Tuning(inactive_timeout=30)), _summary("STOPPED", 0), 0, False),
    ],
)
def test_what_agrees_with_the_endpoints_record_is_not_looked_at_more_closely(
    spec: dict[str, Any],
    live: Deployment,
    summary: DeploymentSummary,
    minutes: int,
    settled: bool,
) -> None:
    md = model_deployment(spec, after(serving(spec, live)).status)
    endpoint = replace(ENDPOINT, deployments=(summary,))

    assert looks_settled(md, endpoint, NOW + timedelta(minutes=minutes)) is settled


def test_the_models_of_the_situations_are_ready() -> None:
    assert MODEL.status.model is not None
