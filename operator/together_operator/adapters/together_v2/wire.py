"""Together's JSON turned into records. Only the fields named here are ever looked at.

Names follow the OpenAPI types of Together's Python SDK 3.1.1. Integers may arrive as strings;
enums are fully qualified.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from together_operator.adapters.together_v2.messages import scrub
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    Import,
    ImportState,
    InstanceType,
    Model,
    Revision,
    ScalingMetric,
    SupportedModel,
    TrafficShare,
    Tuning,
    Visibility,
)

Json = dict[str, Any]
T = TypeVar("T")


class MalformedError(Exception):
    """An answer lacks what the API promises; the message names the field and no value."""


def model(data: Json) -> Model:
    """A custom model."""
    # The API tells what a model is by its weights, so not before the first import.
    weights = _object(data, "weights").get("type")
    return Model(
        id=_id(data),
        name=_text(data, "name"),
        project_id=_text(data, "projectId"),
        base_model_id=_text(data, "baseModelId"),
        type={"WEIGHTS_TYPE_ADAPTER": "adapter", None: ""}.get(weights, "model"),
        description=_text(data, "description"),
        visibility=_text(data, "visibility") or Visibility.PRIVATE,
        created_at=_time(data, "createdAt"),
    )


def revision(data: Json) -> Revision:
    """A revision of a model."""
    findings = _list(data, "validationErrors")
    return Revision(
        id=_required(data, "revisionId"),
        validation=_enum(data, "validationStatus", "REVISION_VALIDATION_STATUS_"),
        messages=tuple(filter(None, (scrub(f.get("message")) for f in findings))),
        created_at=_time(data, "createdAt"),
    )


def import_job(data: Json, secrets: Sequence[str] = ()) -> Import:
    """A remote upload, without the URL that the API echoes, also where its message repeats it."""
    url = data.get("remoteUrl")
    hidden = [*secrets, url] if isinstance(url, str) and "?" in url else list(secrets)
    return Import(
        id=_id(data),
        model_id=_required(data, "modelId"),
        state=_import_state(_enum(data, "status", "REMOTE_UPLOAD_STATUS_")),
        message=scrub(data.get("statusMessage"), hidden),
        restarts=_integer(data, "restartCount"),
        max_restarts=_integer(data, "maxRestarts"),
        created_at=_time(data, "createdAt"),
    )


def supported_models(data: Json) -> list[SupportedModel]:
    """What a new model may be based on, in one entry of the catalog: one for each `ml_` id.

    Each quantization is a model of its own. Where an entry has only one, the entry's own name
    stands for it, too.
    """
    name = _text(data, "name")
    by_id: dict[str, str] = {}
    for profile in _list(data, "deploymentProfiles"):
        model_id = _model_id(_text(profile, "model"))
        if model_id:
            by_id.setdefault(model_id, _text(profile, "modelName") or name)
    if not by_id and _text(data, "baseModelId"):
        by_id[_text(data, "baseModelId")] = name
    names = [(known_as, model_id) for model_id, known_as in by_id.items()]
    if len(by_id) == 1 and names[0][0] != name:
        names.append((name, names[0][1]))
    return [
        SupportedModel(
            name=known_as,
            model_id=model_id,
            architecture=_text(data, "architecture"),
            capabilities=tuple(str(c) for c in data.get("capabilities") or ()),
        )
        for known_as, model_id in names
    ]


def config(data: Json) -> Config:
    """A config; its hardware is among its selectors."""
    selectors = {_text(s, "key"): _text(s, "value") for s in _list(data, "selectors")}
    return Config(
        id=_id(data),
        project_id=_text(data, "projectId"),
        gpu=selectors.get("accelerator_type", ""),
        count=_integer(selectors, "accelerator_count"),
        optimization=selectors.get("optimization", ""),
    )


def instance_type(data: Json) -> InstanceType:
    """A line of the price list."""
    price = data.get("priceCentsPerHour")
    if not isinstance(price, int | float | str):
        raise MalformedError("priceCentsPerHour")
    memory = data.get("gpuMemoryGib")
    return InstanceType(
        name=_required(data, "name"),
        gpu=_text(data, "gpuType"),
        count=_integer(data, "gpuCount"),
        cents_per_hour=_float(price),
        gpu_memory_gib=_float(memory) if memory is not None else None,
        headroom={_text(r, "name"): _headroom(r) for r in _list(data, "regions")},
    )


def endpoint(data: Json) -> Endpoint:
    """An endpoint."""
    return Endpoint(
        id=_id(data),
        name=_text(data, "name"),
        project_id=_text(data, "projectId"),
        etag=_text(data, "etag"),
        traffic=tuple(
            TrafficShare(_required(share, "deploymentId"), _float(share.get("weight") or 0))
            for share in _list(data, "trafficSplit")
        ),
        deployments=tuple(_summary(d) for d in _list(data, "deployments")),
        active_rollout_id=_text(data, "activeRolloutId") or None,
    )


def deployment(data: Json) -> Deployment:
    """A deployment."""
    status, scaling = _object(data, "status"), _object(data, "autoscaling")
    return Deployment(
        id=_id(data),
        name=_text(data, "name"),
        endpoint_id=_text(data, "endpointId"),
        state=_deployment_state(_enum(status, "state", "DEPLOYMENT_STATE_")),
        model=_text(data, "model"),
        config=_text(data, "config"),
        hardware=_text(data, "hardware"),
        message=scrub(status.get("message")),
        min_replicas=_integer(scaling, "minReplicas"),
        max_replicas=_integer(scaling, "maxReplicas"),
        ready_replicas=_integer(status, "readyReplicas"),
        scheduled_replicas=_integer(status, "scheduledReplicas"),
        desired_replicas=_optional(data, "desiredReplicas"),
        tuning=_tuning(scaling, data),
        etag=_text(data, "etag"),
        created_at=_time(data, "createdAt"),
    )


_METRIC_TYPES = {
    "active_sessions": "VALUE",
    "inflight_requests": "AVERAGE_VALUE",
    "throughput_per_replica": "AVERAGE_VALUE",
    "gpu_utilization": "UTILIZATION",
    "token_utilization": "UTILIZATION",
    "cache_hit_rate": "UTILIZATION",
    "ttft": "VALUE",
    "decoding_speed": "VALUE",
    "e2e_latency": "VALUE",
}


def autoscaling(low: int, high: int, tuning: Tuning) -> Json:
    """`autoscaling` of a request; what `tuning` does not set is left out."""
    windows = {
        "scaleUpWindow": tuning.scale_up_window,
        "scaleDownWindow": tuning.scale_down_window,
        "scaleToZeroWindow": tuning.scale_to_zero_window,
    }
    body: Json = {"minReplicas": low, "maxReplicas": high}
    body |= {name: f"{value}s" for name, value in windows.items() if value is not None}
    if tuning.metrics is not None:
        body["scalingMetrics"] = [_metric_body(metric) for metric in tuning.metrics]
    return body


def _metric_body(metric: ScalingMetric) -> Json:
    kind = f"METRIC_TARGET_TYPE_{_METRIC_TYPES[metric.name]}"
    body: Json = {"name": metric.name, "type": kind, "target": metric.target}
    return body if metric.percentile is None else {**body, "percentile": metric.percentile}


def _tuning(scaling: Json, data: Json) -> Tuning:
    metrics = tuple(
        ScalingMetric(
            _text(metric, "name"),
            _float(metric.get("target") or 0),
            _text(metric, "percentile") or None,
        )
        for metric in _list(scaling, "scalingMetrics")
    )
    return Tuning(
        metrics=metrics or None,
        scale_up_window=_window(scaling, "scaleUpWindow"),
        scale_down_window=_window(scaling, "scaleDownWindow"),
        scale_to_zero_window=_window(scaling, "scaleToZeroWindow"),
        inactive_timeout=_optional(data, "inactiveTimeout"),
    )


def _window(data: Json, name: str) -> int | None:
    text = _text(data, name)
    return int(_float(text.removesuffix("s"))) if text else None


def _optional(data: Json, name: str) -> int | None:
    return None if data.get(name) is None else _integer(data, name)


def _summary(data: Json) -> DeploymentSummary:
    return DeploymentSummary(
        id=_id(data),
        name=_text(data, "name"),
        state=_deployment_state(_enum(data, "state", "DEPLOYMENT_STATE_")),
        ready_replicas=_optional(data, "readyReplicas"),
        desired_replicas=_optional(data, "desiredReplicas"),
    )


def _deployment_state(word: str) -> DeploymentState:
    return DeploymentState(word) if word in set(DeploymentState) else DeploymentState.UNKNOWN


def _import_state(word: str) -> ImportState:
    # A state that this version does not know is no end: waiting costs least.
    return ImportState(word) if word in set(ImportState) else ImportState.RUNNING


def _model_id(resource: str) -> str:
    """`ml_…` of `projects/{p}/models/{ml}[/revisions/{rv}]`."""
    parts = resource.split("/")
    return parts[3] if len(parts) >= 4 and parts[2] == "models" else ""


def _headroom(region: Json) -> int | None:
    value = _object(region, "headroom").get("value")
    return None if value is None else _integer({"value": value}, "value")


def _id(data: Json) -> str:
    return _required(data, "id")


def _required(data: Json, name: str) -> str:
    value = _text(data, name)
    if not value:
        raise MalformedError(name)
    return value


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _enum(data: Json, name: str, prefix: str) -> str:
    return _text(data, name).removeprefix(prefix)


def _integer(data: Json, name: str) -> int:
    value = data.get(name)
    if value is None or value == "":
        return 0
    return int(_float(value))


def _float(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        raise MalformedError("a number") from None


def _object(data: Json, name: str) -> Json:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _list(data: Json, name: str) -> list[Json]:
    value = data.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _time(data: Json, name: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(data, name))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
