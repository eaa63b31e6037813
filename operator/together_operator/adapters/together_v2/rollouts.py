"""Rollouts and events: Together's JSON turned into records, and what is sent."""

from __future__ import annotations

from together_operator.adapters.together_v2.fields import (
    Json,
    MalformedError,
    enum_of,
    id_of,
    integer_of,
    object_of,
    required_of,
    text_of,
    time_of,
)
from together_operator.adapters.together_v2.messages import scrub
from together_operator.domain.together_rollouts import (
    EndpointEvent,
    MetricGate,
    NewRollout,
    Rollout,
    RolloutState,
)

_STATES = {state.value: state for state in RolloutState}


def rollout(data: Json) -> Rollout:
    """A rollout."""
    status, pause = object_of(data, "status"), object_of(data, "pauseInfo")
    condition = object_of(status, "condition")
    word = enum_of(data, "state", "ROLLOUT_STATE_")
    return Rollout(
        id=id_of(data),
        endpoint_id=text_of(data, "endpointId"),
        source_id=required_of(data, "sourceDeploymentId"),
        target_id=required_of(data, "targetDeploymentId"),
        state=_STATES.get(word, RolloutState.UNKNOWN),
        step=None if data.get("currentStep") is None else integer_of(data, "currentStep"),
        steps=integer_of(status, "totalSteps"),
        traffic_percent=integer_of(data, "currentTrafficPercent"),
        failure=enum_of(condition, "category", "ROLLOUT_FAILURE_CATEGORY_"),
        message=scrub(condition.get("message") or pause.get("reason")),
        paused_at=time_of(pause, "pausedAt"),
        created_at=time_of(data, "createdAt"),
    )


def new_rollout(new: NewRollout) -> Json:
    """The body that creates a rollout."""
    options: Json = {}
    if new.strategy == "canary":
        options["stepInterval"] = f"{new.interval}s"
        options["steps"] = [
            {"traffic": step.traffic}
            if step.replicas is None
            else {"traffic": step.traffic, "replicas": step.replicas}
            for step in new.steps
        ]
    body: Json = {
        "sourceDeploymentId": new.source_id,
        "targetDeploymentId": new.target_id,
        "finalSourceReplicas": 0,
        "finalTargetReplicas": new.final_target_replicas,
        new.strategy: options,
    }
    if new.gates:
        body["metrics"] = [_gate(gate) for gate in new.gates]
    return body


def _gate(gate: MetricGate) -> Json:
    body: Json = {"name": gate.name}
    if gate.percentile is not None:
        body |= {"stat": "METRIC_STAT_TYPE_PERCENTILE", "percentile": gate.percentile}
    elif gate.name == "router_latency":
        body["stat"] = "METRIC_STAT_TYPE_AVG"
    if gate.maximum is not None:
        check = {"operator": "THRESHOLD_OPERATOR_LTE", "value": gate.maximum}
        return {**body, "thresholdCheck": check}
    regression = {
        "direction": "REGRESSION_DIRECTION_HIGHER_IS_WORSE",
        "maxRegressionPercent": gate.max_regression_percent or 0,
    }
    return {**body, "regressionCheck": regression}


def event(data: Json) -> EndpointEvent:
    """An entry of an endpoint's feed."""
    created = time_of(data, "createdAt")
    if created is None:
        raise MalformedError("createdAt")
    return EndpointEvent(
        id=id_of(data),
        type=text_of(data, "type"),
        created_at=created,
        deployment_id=text_of(data, "deploymentId"),
        level=enum_of(data, "level", "LEVEL_"),
        reason=text_of(data, "reason"),
        message=scrub(data.get("message")),
        log_excerpt=scrub(data.get("logExcerpt")),
    )
