"""Models, imports, endpoints and deployments in the SDK's own types, for its driver."""

from typing import Any

from together.types import Endpoint as SdkEndpoint
from together.types import EndpointDeployment as SdkDeployment
from together.types import Model as SdkModel
from together.types.models import Config as SdkConfig

from tests.contract import sdk_rollouts as rollouts
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    Import,
    ImportState,
    Model,
    ScalingMetric,
    TrafficShare,
    Tuning,
)


def model(found: SdkModel) -> Model:
    """The SDK's model as ours."""
    kinds = {None: "", "WEIGHTS_TYPE_ADAPTER": "adapter"}
    return Model(
        id=found.id,
        name=found.name,
        project_id=found.project_id,
        base_model_id=found.base_model_id or "",
        type=kinds.get(found.weights.type, "model"),
        description=found.description or "",
        visibility=found.visibility,
    )


def remote_import(job: Any) -> Import:
    """The SDK has one type for each of create, retrieve and list, all with the same fields."""
    return Import(
        id=job.id,
        model_id=job.api_model_id,
        state=ImportState(job.status.removeprefix("REMOTE_UPLOAD_STATUS_")),
        message=job.status_message or "",
        restarts=job.restart_count or 0,
        max_restarts=job.max_restarts or 0,
        created_at=job.created_at,
    )


def config(found: SdkConfig) -> Config:
    """The SDK's config as ours."""
    selectors = {s.key: s.value for s in found.selectors}
    return Config(
        id=found.id,
        project_id=found.project_id,
        gpu=selectors["accelerator_type"],
        count=int(selectors["accelerator_count"]),
        optimization=selectors["optimization"],
    )


def endpoint(found: SdkEndpoint) -> Endpoint:
    """The SDK's endpoint as ours."""
    return Endpoint(
        id=found.id,
        name=found.name,
        project_id=found.project_id,
        etag=found.etag,
        traffic=tuple(TrafficShare(s.deployment_id, s.weight) for s in found.traffic_split),
        deployments=tuple(
            DeploymentSummary(
                id=d.id,
                name=d.name,
                state=DeploymentState(d.state.removeprefix("DEPLOYMENT_STATE_")),
                ready_replicas=d.ready_replicas,
                desired_replicas=d.desired_replicas,
            )
            for d in found.deployments
        ),
        active_rollout_id=found.active_rollout_id,
    )


_METRIC_TYPES: dict[str, Any] = {
    "ttft": "METRIC_TARGET_TYPE_VALUE",
    "gpu_utilization": "METRIC_TARGET_TYPE_UTILIZATION",
    "inflight_requests": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
}


def autoscaling(low: int, high: int, tuning: Tuning) -> Any:
    """The SDK's parameter; what is not set is left out."""
    windows = {
        "scale_up_window": tuning.scale_up_window,
        "scale_down_window": tuning.scale_down_window,
        "scale_to_zero_window": tuning.scale_to_zero_window,
    }
    metrics = [
        {"name": m.name, "type": _METRIC_TYPES[m.name], "target": m.target}
        | ({} if m.percentile is None else {"percentile": m.percentile})
        for m in tuning.metrics or ()
    ]
    return {
        "min_replicas": low,
        "max_replicas": high,
        **{name: f"{seconds}s" for name, seconds in windows.items() if seconds is not None},
        **({} if tuning.metrics is None else {"scaling_metrics": metrics}),
    }


def _tuning(deployment: SdkDeployment) -> Tuning:
    scaling = deployment.autoscaling
    metrics = tuple(
        ScalingMetric(m.name, m.target, m.percentile) for m in scaling.scaling_metrics or ()
    )

    def seconds(window: str | None) -> int | None:
        return int(window.removesuffix("s")) if window else None

    return Tuning(
        metrics=metrics or None,
        scale_up_window=seconds(scaling.scale_up_window),
        scale_down_window=seconds(scaling.scale_down_window),
        scale_to_zero_window=seconds(scaling.scale_to_zero_window),
        inactive_timeout=deployment.inactive_timeout,
    )


def deployment(found: SdkDeployment) -> Deployment:
    """The SDK's deployment as ours."""
    status, scaling = found.status, found.autoscaling
    return Deployment(
        id=found.id,
        name=found.name,
        endpoint_id=found.endpoint_id,
        state=DeploymentState(status.state.removeprefix("DEPLOYMENT_STATE_")),
        model=found.model,
        config=found.config,
        hardware=found.hardware or "",
        message=status.message,
        min_replicas=scaling.min_replicas or 0,
        max_replicas=scaling.max_replicas or 0,
        ready_replicas=status.ready_replicas or 0,
        scheduled_replicas=status.scheduled_replicas or 0,
        desired_replicas=found.desired_replicas,
        tuning=_tuning(found),
        placement=rollouts.placed(found.placement),
        etag=found.etag,
        created_at=found.created_at,
    )
