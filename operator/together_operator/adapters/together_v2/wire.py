"""Together's JSON turned into records. Only the fields named here are ever looked at.

Names follow the OpenAPI types of Together's Python SDK 3.1.1. Integers may arrive as strings;
enums are fully qualified.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from together_operator.adapters.together_v2.fields import (
    Json,
    MalformedError,
    enum_of,
    float_of,
    id_of,
    integer_of,
    list_of,
    object_of,
    required_of,
    text_of,
    time_of,
)
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
    NewDeployment,
    Placement,
    Revision,
    ScalingMetric,
    SupportedModel,
    TrafficShare,
    Tuning,
    Visibility,
)

# Looked up for every item of every list that is polled, where an enum's own search is slow.
_DEPLOYMENT_STATES = {state.value: state for state in DeploymentState}
_IMPORT_STATES = {state.value: state for state in ImportState}


def model(data: Json) -> Model:
    """A custom model."""
    # The API tells what a model is by its weights, so not before the first import.
    weights = object_of(data, "weights").get("type")
    return Model(
        id=id_of(data),
        name=text_of(data, "name"),
        project_id=text_of(data, "projectId"),
        base_model_id=text_of(data, "baseModelId"),
        type={"WEIGHTS_TYPE_ADAPTER": "adapter", None: ""}.get(weights, "model"),
        description=text_of(data, "description"),
        visibility=text_of(data, "visibility") or Visibility.PRIVATE,
        created_at=time_of(data, "createdAt"),
    )


def revision(data: Json) -> Revision:
    """A revision of a model."""
    findings = list_of(data, "validationErrors")
    return Revision(
        id=required_of(data, "revisionId"),
        validation=enum_of(data, "validationStatus", "REVISION_VALIDATION_STATUS_"),
        messages=tuple(filter(None, (scrub(f.get("message")) for f in findings))),
        created_at=time_of(data, "createdAt"),
    )


def import_job(data: Json, secrets: Sequence[str] = ()) -> Import:
    """A remote upload, without the URL that the API echoes, also where its message repeats it."""
    url = data.get("remoteUrl")
    hidden = [*secrets, url] if isinstance(url, str) and "?" in url else list(secrets)
    return Import(
        id=id_of(data),
        model_id=required_of(data, "modelId"),
        state=_import_state(enum_of(data, "status", "REMOTE_UPLOAD_STATUS_")),
        message=scrub(data.get("statusMessage"), hidden),
        restarts=integer_of(data, "restartCount"),
        max_restarts=integer_of(data, "maxRestarts"),
        created_at=time_of(data, "createdAt"),
        source=_place(url),
    )


def _place(url: object) -> str:
    """A URL without user, parameters and fragment, where signatures and tokens are."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts else ""


def supported_models(data: Json) -> list[SupportedModel]:
    """What a new model may be based on, in one entry of the catalog: one for each `ml_` id.

    Each quantization is a model of its own. Where an entry has only one, the entry's own name
    stands for it, too.
    """
    name = text_of(data, "name")
    by_id: dict[str, str] = {}
    owners: dict[str, str] = {}
    for profile in list_of(data, "deploymentProfiles"):
        model_id = _model_id(text_of(profile, "model"))
        if model_id:
            by_id.setdefault(model_id, text_of(profile, "modelName") or name)
            owners.setdefault(model_id, text_of(profile, "model").split("/")[1])
    if not by_id and text_of(data, "baseModelId"):
        by_id[text_of(data, "baseModelId")] = name
    names = [(known_as, model_id) for model_id, known_as in by_id.items()]
    if len(by_id) == 1 and names[0][0] != name:
        names.append((name, names[0][1]))
    return [
        SupportedModel(
            name=known_as,
            model_id=model_id,
            architecture=text_of(data, "architecture"),
            capabilities=tuple(str(c) for c in data.get("capabilities") or ()),
            project_id=owners.get(model_id, ""),
        )
        for known_as, model_id in names
    ]


def config(data: Json) -> Config:
    """A config; its hardware is among its selectors."""
    selectors = {text_of(s, "key"): text_of(s, "value") for s in list_of(data, "selectors")}
    return Config(
        id=id_of(data),
        project_id=text_of(data, "projectId"),
        gpu=selectors.get("accelerator_type", ""),
        count=integer_of(selectors, "accelerator_count"),
        optimization=selectors.get("optimization", ""),
    )


def instance_type(data: Json) -> InstanceType:
    """A line of the price list."""
    price = data.get("priceCentsPerHour")
    if not isinstance(price, int | float | str):
        raise MalformedError("priceCentsPerHour")
    memory = data.get("gpuMemoryGib")
    return InstanceType(
        name=required_of(data, "name"),
        gpu=text_of(data, "gpuType"),
        count=integer_of(data, "gpuCount"),
        cents_per_hour=float_of(price),
        gpu_memory_gib=float_of(memory) if memory is not None else None,
        headroom={text_of(r, "name"): _headroom(r) for r in list_of(data, "regions")},
        roomy=frozenset(
            text_of(region, "name")
            for region in list_of(data, "regions")
            if text_of(object_of(region, "headroom"), "relation") == "RELATION_GTE"
        ),
    )


def endpoint(data: Json) -> Endpoint:
    """An endpoint."""
    return Endpoint(
        id=id_of(data),
        name=text_of(data, "name"),
        project_id=text_of(data, "projectId"),
        etag=text_of(data, "etag"),
        traffic=tuple(
            TrafficShare(required_of(share, "deploymentId"), float_of(share.get("weight") or 0))
            for share in list_of(data, "trafficSplit")
        ),
        deployments=tuple(_summary(d) for d in list_of(data, "deployments")),
        active_rollout_id=text_of(data, "activeRolloutId") or None,
    )


def deployment(data: Json) -> Deployment:
    """A deployment."""
    status, scaling = object_of(data, "status"), object_of(data, "autoscaling")
    return Deployment(
        id=id_of(data),
        name=text_of(data, "name"),
        endpoint_id=text_of(data, "endpointId"),
        state=_deployment_state(enum_of(status, "state", "DEPLOYMENT_STATE_")),
        model=text_of(data, "model"),
        config=text_of(data, "config"),
        hardware=text_of(data, "hardware"),
        message=scrub(status.get("message")),
        min_replicas=integer_of(scaling, "minReplicas"),
        max_replicas=integer_of(scaling, "maxReplicas"),
        ready_replicas=integer_of(status, "readyReplicas"),
        scheduled_replicas=integer_of(status, "scheduledReplicas"),
        desired_replicas=_optional(data, "desiredReplicas"),
        tuning=_tuning(scaling, data),
        placement=_placement(object_of(data, "placement")),
        etag=text_of(data, "etag"),
        created_at=time_of(data, "createdAt"),
    )


def new_deployment(new: NewDeployment) -> Json:
    """The body that creates a deployment."""
    body: Json = {
        "name": new.name,
        "model": new.model,
        "config": new.config,
        "autoscaling": autoscaling(new.min_replicas, new.max_replicas, new.tuning),
    }
    if new.tuning.inactive_timeout:
        body["inactiveTimeout"] = new.tuning.inactive_timeout
    placement = new.placement
    if placement is None:
        return body
    if placement.profile is not None:
        return {**body, "placement": {"profile": placement.profile}}
    inline: Json = {}
    if placement.regions:
        word = "REQUIRED" if placement.required else "PREFERRED"
        inline = {"regions": list(placement.regions), "constraint": f"ENFORCEMENT_{word}"}
    if placement.hipaa:
        inline["compliancePolicy"] = {"hipaa": True}
    return {**body, "placement": {"inline": inline}}


def _placement(data: Json) -> Placement | None:
    inline, profile = object_of(data, "inline"), text_of(data, "profile")
    if not inline and not profile:
        return None
    regions = inline.get("regions")
    return Placement(
        regions=tuple(str(region) for region in regions) if isinstance(regions, list) else (),
        required=text_of(inline, "constraint") != "ENFORCEMENT_PREFERRED",
        hipaa=object_of(inline, "compliancePolicy").get("hipaa") is True,
        profile=profile or None,
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
            text_of(metric, "name"),
            float_of(metric.get("target") or 0),
            text_of(metric, "percentile") or None,
        )
        for metric in list_of(scaling, "scalingMetrics")
    )
    return Tuning(
        metrics=metrics or None,
        scale_up_window=_window(scaling, "scaleUpWindow"),
        scale_down_window=_window(scaling, "scaleDownWindow"),
        scale_to_zero_window=_window(scaling, "scaleToZeroWindow"),
        inactive_timeout=_optional(data, "inactiveTimeout"),
    )


def _window(data: Json, name: str) -> int | None:
    text = text_of(data, name)
    return int(float_of(text.removesuffix("s"))) if text else None


def _optional(data: Json, name: str) -> int | None:
    return None if data.get(name) is None else integer_of(data, name)


def _summary(data: Json) -> DeploymentSummary:
    return DeploymentSummary(
        id=id_of(data),
        name=text_of(data, "name"),
        state=_deployment_state(enum_of(data, "state", "DEPLOYMENT_STATE_")),
        ready_replicas=_optional(data, "readyReplicas"),
        desired_replicas=_optional(data, "desiredReplicas"),
    )


def _deployment_state(word: str) -> DeploymentState:
    return _DEPLOYMENT_STATES.get(word, DeploymentState.UNKNOWN)


def _import_state(word: str) -> ImportState:
    # A state that this version does not know is no end: waiting costs least.
    return _IMPORT_STATES.get(word, ImportState.RUNNING)


def _model_id(resource: str) -> str:
    """`ml_…` of `projects/{p}/models/{ml}[/revisions/{rv}]`."""
    parts = resource.split("/")
    return parts[3] if len(parts) >= 4 and parts[2] == "models" else ""


def _headroom(region: Json) -> int | None:
    value = object_of(region, "headroom").get("value")
    return None if value is None else integer_of({"value": value}, "value")
