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
from together_operator.api.v1alpha1 import (
    ModelDeploymentPhase,
    ModelDeploymentStatus,
    NextChange,
    Retry,
    ScalingStatus,
)
from together_operator.domain.deployment.actions import (
    CreateDeployment,
    DeleteObject,
    DeploymentPlan,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.budget import billed, told_cost
from together_operator.domain.deployment.clocked import failing, woken
from together_operator.domain.deployment.observed import Observed, is_settled, looks_settled
from together_operator.domain.deployment.scaling import wanted_scaling
from together_operator.domain.deployment.status import with_start_asked
from together_operator.domain.errors import Unavailable
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Failed, Outcome
from together_operator.domain.plan import RETRY_ANNOTATION
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


@pytest.mark.parametrize(
    ("live", "says"),
    [
        (stopped(_live(1, 1, tuning=Tuning(inactive_timeout=30))), ("True", "Idle")),
        (
            _live(
                1,
                1,
                tuning=Tuning(inactive_timeout=30),
                state=DeploymentState.FAILED,
                scheduled_replicas=0,
            ),
            ("False", "DeploymentFailed"),
        ),
    ],
    ids=["idle", "failed"],
)
def test_what_has_ended_costs_nothing_in_status_and_metrics(
    live: Deployment, says: tuple[str, str]
) -> None:
    o = serving(IDLING, live, scaling=_asked(IDLING))

    plan = after(o)

    assert ready(plan) == says
    assert plan.status.cost is not None
    assert (plan.status.cost.per_replica_hour, plan.status.cost.per_hour) == ("4.00", "0.00")
    assert (told_cost(plan.status), billed(o)) == (0.0, 0.0)


def test_an_idle_one_starts_again_when_something_else_is_asked_for() -> None:
    live = stopped(_live(1, 1, tuning=Tuning(inactive_timeout=30)))

    plan = after(serving({**IDLING, "replicas": 2}, live, scaling=_asked(IDLING)))

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 2


def _idle_after(spec: dict[str, Any], **status: Any) -> Observed:
    live = stopped(_live(1, 1, tuning=Tuning(inactive_timeout=30)))
    return serving({**IDLING, **spec}, live, scaling=_asked(IDLING), **status)


def _edited(o: Observed, generation: int, retry: str | None = None) -> Observed:
    notes = {RETRY_ANNOTATION: retry} if retry is not None else {}
    meta = {"generation": generation, "annotations": notes}
    metadata = o.md.metadata.model_copy(update=meta)
    return replace(o, md=o.md.model_copy(update={"metadata": metadata}))


FAILED = _live(1, 1, state=DeploymentState.FAILED, ready_replicas=0, scheduled_replicas=0)


ASKS = pytest.mark.parametrize(
    ("ended", "generation", "retry", "starts"),
    [
        pytest.param("idle", 1, None, False, id="idle: as before"),
        pytest.param("idle", 2, None, False, id="idle: an edit"),
        pytest.param("idle", 3, None, False, id="idle: two edits, which may be of anything"),
        pytest.param("idle", 1, "seen", False, id="idle: a retry of before"),
        pytest.param("idle", 1, "now", True, id="idle: a retry"),
        pytest.param("failed", 1, None, False, id="failed: as before"),
        pytest.param("failed", 2, None, False, id="failed: an edit"),
        pytest.param("failed", 3, None, True, id="failed: to 0 and back unseen"),
        pytest.param("failed", 1, "seen", False, id="failed: a retry of before"),
        pytest.param("failed", 1, "now", True, id="failed: a retry"),
    ],
)


def _ended(ended: str, **spec: Any) -> Observed:
    """What Together stopped, or gave up, as the last look has left it."""
    o = _idle_after(spec, last_retry="seen")
    if ended == "failed":
        o = replace(o, deployments=(replace(FAILED, tuning=Tuning(inactive_timeout=30)),))
    assert o.deployment is not None
    record = o.md.status.deployment
    assert record is not None
    record = record.model_copy(update={"state": o.deployment.state.value})
    status = o.md.status.model_copy(update={"deployment": record})
    return replace(o, md=o.md.model_copy(update={"status": status}))


def _then(o: Observed, status: ModelDeploymentStatus) -> Observed:
    return replace(o, md=o.md.model_copy(update={"status": status}))


@ASKS
def test_what_has_ended_starts_again_when_a_person_asks(
    ended: str, generation: int, retry: str | None, starts: bool
) -> None:
    o = _ended(ended)

    plan = after(_edited(o, generation, retry))

    assert isinstance(plan.action, ScaleDeployment) is starts
    if isinstance(plan.action, ScaleDeployment):
        assert (plan.action.replicas, plan.action.starts) == (1, True)
        assert plan.status.last_retry == retry
        assert ready(plan) == ("False", "Scaling")


@ASKS
@pytest.mark.parametrize("looked", [True, False], ids=["it was seen", "nothing was seen"])
def test_a_look_that_fails_swallows_no_start_that_a_person_asks_for(
    looked: bool, ended: str, generation: int, retry: str | None, starts: bool
) -> None:
    o = _edited(_ended(ended), generation, retry)
    before = o if looked else replace(o, endpoint=None, deployments=())

    for _ in range(2):
        failed = failing(before, NOW, StageError("Deployed", Unavailable("503")))
        before = _then(before, failed.status)

    assert before.md.status.last_retry == retry
    plan = after(_then(o, before.md.status))
    assert isinstance(plan.action, ScaleDeployment) is starts


@ASKS
def test_a_start_that_was_held_back_comes_once_it_may(
    ended: str, generation: int, retry: str | None, starts: bool
) -> None:
    o = _edited(_ended(ended, suspend=True), generation, retry)

    for _ in range(2):
        held = after(o)
        assert held.action is None
        assert ("held back" in message(held)) is starts
        o = _then(o, held.status)

    plan = after(_then(_edited(_ended(ended), generation, retry), o.md.status))
    assert isinstance(plan.action, ScaleDeployment) is starts


def test_a_retry_of_what_runs_leaves_drift_what_it_is_though_the_look_fails() -> None:
    o = serving(REPORT, scaling=_asked(REPORT), last_retry="seen")

    plan = failing(_edited(o, 1, "now"), NOW, StageError("Deployed", Unavailable("503")))

    assert plan.status.scaling == o.md.status.scaling


def test_a_start_is_asked_for_until_the_request_was_answered_and_then_not_again() -> None:
    failed = replace(FAILED, tuning=Tuning(inactive_timeout=30))
    first = after(_edited(serving(IDLING, failed, scaling=_asked(IDLING)), 1, "now"))
    assert isinstance(first.action, ScaleDeployment)
    assert first.action.scaling is not None

    def again(status: ModelDeploymentStatus) -> DeploymentPlan:
        return after(_edited(serving(IDLING, failed, **dict(status)), 1, "now"))

    lost = again(first.status)
    assert isinstance(lost.action, ScaleDeployment)
    assert ready(again(with_start_asked(first.status, first.action.scaling))) == (
        "False",
        "DeploymentFailed",
    )


def test_what_failed_starts_again_within_the_ceiling_only() -> None:
    o = serving({"maxHourlyCost": "3.99"}, FAILED, scaling=_asked({}))

    plan = after(_edited(o, 1, "now"))

    assert plan.action is None
    assert ready(plan) == ("False", "OverBudget")
    richer = _then(_edited(serving({}, FAILED), 2, "now"), plan.status)
    assert isinstance(after(richer).action, ScaleDeployment)


@pytest.mark.parametrize(
    ("live", "text", "cost", "outcome"),
    [
        (
            _live(1, 1, state=DeploymentState.DEGRADED, ready_replicas=0, message="crash loop"),
            "0/2",
            "4.00",
            After(PROCESS.poll),
        ),
        (DEPLOYMENT, "1/2", "4.00", Done()),
        (stopped(), "0/2", "0.00", Done()),
    ],
    ids=["it crashes", "it serves", "somebody stopped it"],
)
def test_while_a_change_is_held_back_what_runs_is_followed(
    live: Deployment, text: str, cost: str, outcome: Outcome
) -> None:
    plan = after(serving({"suspend": True, "replicas": 2}, live))

    assert plan.action is None
    assert ready(plan) == ("False", "Suspended")
    assert "ScaleDeployment is held back" in message(plan)
    assert ("is billed" in message(plan)) is (live.scheduled_replicas > 0)
    status = plan.status
    assert (status.ready_replicas, status.replicas_text) == (live.ready_replicas, text)
    assert status.deployment is not None
    assert (status.deployment.state, status.deployment.message or "") == (live.state, live.message)
    assert status.cost is not None
    assert status.cost.per_hour == cost
    assert plan.outcome == outcome


def test_while_a_change_is_held_back_what_starts_is_looked_at_soon() -> None:
    o = serving({"suspend": True, "replicas": 2})
    another = replace(DEPLOYMENT, id="dep_2", state=DeploymentState.PROVISIONING)

    plan = after(replace(o, deployments=(*o.deployments, another)))

    assert (plan.action, ready(plan)) == (None, ("False", "Suspended"))
    assert plan.outcome == After(PROCESS.poll)


def test_a_retry_of_what_serves_is_honoured_and_changes_nothing() -> None:
    o = serving({}, DEPLOYMENT, scaling=_asked({}), phase=ModelDeploymentPhase.READY)
    assert is_settled(o.md)
    o = _edited(o, 1, "now")
    assert not is_settled(o.md)

    plan = after(o)

    assert (plan.action, plan.status.last_retry) == (None, "now")
    assert ready(plan) == ("True", "Ready")


@pytest.mark.parametrize("policy", ["Correct", "Report"])
@pytest.mark.parametrize(
    ("spec", "meanwhile"),
    [
        ({"replicas": 4}, _live(4, 4, ready_replicas=4, desired_replicas=4)),
        ({"replicas": 0}, stopped()),
        ({"replicas": 0, **IDLING}, stopped()),
    ],
    ids=["up", "down", "down from idle"],
)
def test_the_operators_own_doing_is_no_drift_when_the_spec_returns(
    policy: str, spec: dict[str, Any], meanwhile: Deployment
) -> None:
    before = {**spec, "replicas": 1, "driftPolicy": policy}
    known = _asked(before).model_copy(update={"routed": DEPLOYMENT.id})
    sent = after(serving({**spec, "driftPolicy": policy}, scaling=known))
    assert isinstance(sent.action, ScaleDeployment)

    plan = after(seen(model_deployment(before, sent.status), meanwhile))

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 1
    assert plan.status.scaling is not None
    assert plan.status.scaling.routed == DEPLOYMENT.id


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


@pytest.mark.parametrize("stop", [{"replicas": 0}, {"ttl": {"seconds": 60}}], ids=["0", "ttl"])
def test_what_no_schedule_decides_is_stopped_however_unfit_the_schedule(
    stop: dict[str, Any],
) -> None:
    never = {"schedule": {"windows": [{"start": "0 8 30 2 *", "stop": "0 9 * * *"}]}}

    plan = after(serving({**never, **stop}))

    assert isinstance(plan.action, ScaleDeployment)
    assert plan.action.replicas == 0


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


DAILY = {"schedule": {"windows": [{"start": "0 8 * * *", "stop": "0 12 * * *"}]}}
"""It has just closed."""


@pytest.mark.parametrize(
    ("spec", "said", "seconds"),
    [
        (DAILY, NextChange(time=NOW - timedelta(minutes=1), action="Stop"), 200.0),
        (DAILY, NextChange(time=NOW, action="Stop"), 200.0),
        (
            {"ttl": {"seconds": 3599, "action": "Delete"}},
            NextChange(time=NOW - timedelta(seconds=1), action="Delete"),
            200.0,
        ),
        ({"ttl": {"seconds": 3660}}, NextChange(time=NOW, action="Stop"), 60.0),
    ],
    ids=["passed", "passed just now", "the last one", "another comes soon"],
)
def test_looking_that_fails_at_a_change_backs_off_as_at_any_time(
    spec: dict[str, Any], said: NextChange, seconds: float
) -> None:
    status = SERVING.model_copy(update={"next_change": said, "retry": Retry(failures=20)})
    o = replace(seen(model_deployment(spec, status)), jitter=2 / 3)

    assert seconds_of(woken(o.md, NOW, After(250.0))) == 0.0, "it is tried once when it is due"
    plan = failing(o, NOW, StageError("Deployed", Unavailable("no connection")))

    assert seconds_of(plan.outcome) == pytest.approx(seconds)
    md = model_deployment(spec, plan.status)
    assert seconds_of(woken(md, NOW, After(200.0))) == pytest.approx(seconds)


def seconds_of(outcome: Outcome) -> float:
    """How long it waits."""
    assert isinstance(outcome, After | Failed)
    return outcome.seconds


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
