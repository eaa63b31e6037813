"""Rollouts, placement and events in the SDK's own types, for its driver."""

from typing import Any

from together.types import EndpointListEventsResponse as SdkEvent
from together.types.endpoint_deployment import Placement as SdkPlacement
from together.types.endpoint_deployment import PlacementProfile
from together.types.endpoints import Rollout as SdkRollout

from together_operator.domain.together import Placement
from together_operator.domain.together_rollouts import (
    EndpointEvent,
    MetricGate,
    NewRollout,
    Rollout,
    RolloutState,
)


def rollout(found: SdkRollout) -> Rollout:
    """The SDK's rollout as ours."""
    condition, pause = found.status.condition, found.pause_info
    said = condition.message if condition else None
    category = (condition.category if condition else None) or ""
    return Rollout(
        id=found.id,
        endpoint_id=found.endpoint_id,
        source_id=found.source_deployment_id,
        target_id=found.target_deployment_id,
        state=RolloutState(found.state.removeprefix("ROLLOUT_STATE_")),
        step=found.current_step,
        steps=found.status.total_steps,
        traffic_percent=found.current_traffic_percent or 0,
        failure=category.removeprefix("ROLLOUT_FAILURE_CATEGORY_"),
        message=said or (pause.reason if pause else None) or "",
        paused_at=pause.paused_at if pause else None,
        created_at=found.created_at,
    )


def new_rollout(new: NewRollout) -> dict[str, Any]:
    """Arguments of `rollouts.create`."""
    options: dict[str, Any] = {}
    if new.strategy == "canary":
        options = {
            "step_interval": f"{new.interval}s",
            "steps": [
                {"traffic": s.traffic, **({"replicas": s.replicas} if s.replicas else {})}
                for s in new.steps
            ],
        }
    strategy = {"blueGreen": "blue_green"}.get(new.strategy, new.strategy)
    return {
        "source_deployment_id": new.source_id,
        "target_deployment_id": new.target_id,
        "final_source_replicas": 0,
        "final_target_replicas": new.final_target_replicas,
        strategy: options,
        **({"metrics": [_gate(gate) for gate in new.gates]} if new.gates else {}),
    }


def _gate(gate: MetricGate) -> dict[str, Any]:
    rule: dict[str, Any] = {"name": gate.name}
    if gate.percentile:
        rule |= {"stat": "METRIC_STAT_TYPE_PERCENTILE", "percentile": gate.percentile}
    elif gate.name == "router_latency":
        rule |= {"stat": "METRIC_STAT_TYPE_AVG"}
    if gate.maximum is not None:
        rule["threshold_check"] = {"operator": "THRESHOLD_OPERATOR_LTE", "value": gate.maximum}
    else:
        rule["regression_check"] = {
            "direction": "REGRESSION_DIRECTION_HIGHER_IS_WORSE",
            "max_regression_percent": gate.max_regression_percent,
        }
    return rule


def placement(wanted: Placement) -> Any:
    """Argument of `deployments.create`."""
    if wanted.profile:
        return {"profile": wanted.profile}
    inline: dict[str, Any] = {}
    if wanted.regions:
        inline["regions"] = list(wanted.regions)
        word = "REQUIRED" if wanted.required else "PREFERRED"
        inline["constraint"] = f"ENFORCEMENT_{word}"
    if wanted.hipaa:
        inline["compliance_policy"] = {"hipaa": True}
    return {"inline": inline}


def placed(found: SdkPlacement | None) -> Placement | None:
    """The SDK's placement as ours."""
    if found is None:
        return None
    if isinstance(found, PlacementProfile):
        return Placement(profile=found.profile)
    policy = found.inline.compliance_policy
    return Placement(
        regions=tuple(found.inline.regions or ()),
        required=found.inline.constraint != "ENFORCEMENT_PREFERRED",
        hipaa=bool(policy and policy.hipaa),
    )


def event(found: SdkEvent) -> EndpointEvent:
    """The SDK's event as ours."""
    return EndpointEvent(
        id=found.id,
        type=found.type,
        created_at=found.created_at,
        deployment_id=found.deployment_id or "",
        level=found.level.removeprefix("LEVEL_"),
        reason=found.reason or "",
        message=found.message or "",
        log_excerpt=found.log_excerpt or "",
    )
