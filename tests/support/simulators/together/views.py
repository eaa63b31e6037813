"""Records as the API shows them: camelCase, full enum names, int64 as strings."""

from typing import Any

from tests.support.simulators.together.catalog import (
    PLATFORM_PROJECT,
    REGIONS,
    BaseModel,
    Config,
    InstanceType,
    Variant,
)
from tests.support.simulators.together.clock import rfc3339
from tests.support.simulators.together.lifecycle import Lifecycle
from tests.support.simulators.together.records import (
    Deployment,
    Endpoint,
    Event,
    Import,
    ImportEvent,
    Model,
    Revision,
    Weights,
)
from tests.support.simulators.together.store import Project, Store

_EPOCH = 1_700_000_000.0
_HEADROOM_CAP = 10


def model(record: Model, project: Project) -> dict[str, Any]:
    """A custom model."""
    view = {
        "id": record.id,
        "name": f"{project.slug}/{record.name}",
        "projectId": project.id,
        "organizationId": project.organization_id,
        "visibility": record.visibility,
        "description": record.description,
        "baseModel": f"projects/{PLATFORM_PROJECT}/models/{record.base_model_id}",
        "baseModelId": record.base_model_id,
        "weights": {},
    }
    if record.latest is not None:
        view["weights"] = _weights(record.latest.weights)
    return view


def public_model(base: BaseModel, variant: Variant) -> dict[str, Any]:
    """A base model as a model resource of the platform."""
    return {
        "id": variant.model_id,
        "name": variant.model_name,
        "projectId": PLATFORM_PROJECT,
        "organizationId": "org_platform",
        "visibility": "VISIBILITY_INTERNAL",
        "description": base.description,
        "baseModel": "",
        "baseModelId": "",
        "weights": {
            "architecture": base.architecture,
            "contextLength": str(base.context_length),
            "type": "WEIGHTS_TYPE_DEFAULT",
        },
    }


def _weights(weights: Weights) -> dict[str, Any]:
    view: dict[str, Any] = {"architecture": weights.architecture, "type": weights.type}
    if weights.context_length is not None:
        view["contextLength"] = str(weights.context_length)
    if weights.dtypes:
        view["parameters"] = {
            "total": str(sum(weights.dtypes.values())),
            "byDtype": [{"dtype": d, "count": str(n)} for d, n in sorted(weights.dtypes.items())],
        }
    return view


def revision(record: Revision) -> dict[str, Any]:
    """A revision of a model."""
    return {
        "revisionId": record.id,
        "createdAt": rfc3339(record.created_at),
        "lastValidatedAt": rfc3339(record.created_at),
        "validationStatus": f"REVISION_VALIDATION_STATUS_{record.validation}",
        "validationErrors": [
            {"rule": "layout", "severity": "ERROR", "message": finding}
            for finding in record.findings
        ],
    }


def files(record: Revision) -> dict[str, Any]:
    """The files of a revision."""
    return {
        "object": "list",
        "data": [{"path": f.path, "sizeBytes": str(f.size), "hash": f.etag} for f in record.files],
        "next_cursor": None,
        "revisionId": record.id,
        "revisionCreatedAt": rfc3339(record.created_at),
        "totalSizeBytes": str(sum(f.size for f in record.files)),
    }


def import_job(record: Import) -> dict[str, Any]:
    """A remote upload. As in the real API, the URL comes back with its signature."""
    return {
        "id": record.id,
        "projectId": record.project_id,
        "modelId": record.model_id,
        "remoteUrl": record.remote_url,
        "status": f"REMOTE_UPLOAD_STATUS_{record.status}",
        "statusMessage": record.message,
        "restartCount": record.restarts,
        "maxRestarts": record.max_restarts,
        "createdAt": rfc3339(record.created_at),
        "updatedAt": rfc3339(record.updated_at),
    }


def import_event(record: ImportEvent) -> dict[str, Any]:
    """An entry of an import's events."""
    return {
        "id": record.id,
        "createdAt": rfc3339(record.at),
        "level": f"LEVEL_{record.level}",
        "message": record.message,
        "type": record.type,
    }


def supported_model(entry: BaseModel) -> dict[str, Any]:
    """A catalog entry."""
    base = entry.variants[0].model_id if entry.variants else ""
    return {
        "id": entry.id,
        "name": entry.name,
        "displayName": entry.name.rpartition("/")[2],
        "displayType": "embedding" if entry.capability == "CAPABILITY_EMBEDDING" else "chat",
        "description": entry.description,
        "publisher": entry.name.partition("/")[0],
        "architecture": entry.architecture,
        "contextLength": str(entry.context_length),
        "baseModel": f"projects/{PLATFORM_PROJECT}/models/{base}" if base else "",
        "baseModelId": base,
        "capabilities": [entry.capability],
        "products": list(entry.products),
        "inputModalities": ["MODALITY_TEXT"],
        "outputModalities": ["MODALITY_TEXT"],
        "status": "SUPPORTED_MODEL_STATUS_SUPPORTED",
        "createdAt": rfc3339(_EPOCH),
        "updatedAt": rfc3339(_EPOCH),
        "deploymentProfiles": [
            _profile(variant, config) for variant in entry.variants for config in variant.configs
        ],
    }


def _profile(variant: Variant, config: Config) -> dict[str, Any]:
    return {
        "profileId": config.id,
        "model": f"projects/{PLATFORM_PROJECT}/models/{variant.model_id}",
        "modelName": variant.model_name,
        "config": f"projects/{PLATFORM_PROJECT}/configs/{config.id}",
        "certifiedConfigRevisionId": config.id,
        "certifiedModelRevisionId": f"rv_{variant.model_id[3:]}",
        "gpuType": config.accelerator,
        "gpuCount": config.count,
        "quantization": variant.quantization,
        "parallelism": f"TP{config.count}",
        "performanceBenchmarks": {},
        "adapterMode": "ADAPTER_MODE_DISABLED",
    }


def config(record: Config) -> dict[str, Any]:
    """A config."""
    return {
        "id": record.id,
        "projectId": PLATFORM_PROJECT,
        "referenceModel": f"projects/{PLATFORM_PROJECT}/models/{record.base_model_id}",
        "referenceModelId": record.base_model_id,
        "selectors": [
            {"key": "accelerator_type", "value": record.accelerator},
            {"key": "accelerator_count", "value": str(record.count)},
            {"key": "optimization", "value": record.optimization},
            {"key": "topology", "value": "aggregated"},
        ],
        "certifications": [],
    }


def instance_type(record: InstanceType, free: int | None) -> dict[str, Any]:
    """A line of the price list; `free` replicas fit, None when it is never short."""
    capped = free is None or free >= _HEADROOM_CAP
    headroom = {
        "value": _HEADROOM_CAP if free is None else min(free, _HEADROOM_CAP),
        "relation": "RELATION_GTE" if capped else "RELATION_EQ",
    }
    return {
        "id": record.id,
        "name": record.name,
        "description": f"{record.gpu_count} x {record.gpu_type} {record.gpu_memory_gib} GiB",
        "gpuType": record.gpu_type,
        "gpuCount": record.gpu_count,
        "gpuMemoryGib": record.gpu_memory_gib,
        "priceCentsPerHour": record.cents_per_hour,
        "regions": [{"name": REGIONS[0], "headroom": headroom}, {"name": REGIONS[1]}],
    }


class EndpointViews:
    """Endpoints and deployments, whose views need each other."""

    def __init__(self, store: Store, lifecycle: Lifecycle) -> None:
        self._store = store
        self._lifecycle = lifecycle

    def endpoint(self, record: Endpoint, project: Project) -> dict[str, Any]:
        """An endpoint with its ten newest deployments."""
        newest = self._store.deployments_of(record.id)[:-11:-1]
        view = {
            "id": record.id,
            "projectId": project.id,
            "name": f"{project.slug}/{record.name}",
            "endpointType": "ENDPOINT_TYPE_DEDICATED",
            "visibility": record.visibility,
            "etag": record.etag,
            "createdAt": rfc3339(record.created_at),
            "updatedAt": rfc3339(record.updated_at),
            "trafficSplit": [
                {"deploymentId": s.deployment_id, "weight": s.weight} for s in record.split
            ],
            "deployments": [self._summary(d, record, project) for d in newest],
        }
        if record.active_rollout_id:
            view["activeRolloutId"] = record.active_rollout_id
        return view

    def deployment(self, record: Deployment, endpoint: Endpoint, project: Project) -> Any:
        """A deployment in full."""
        self._lifecycle.advance(record)
        placed = {
            "region": REGIONS[0],
            "scheduledReplicas": record.scheduled,
            "readyReplicas": record.ready,
        }
        view = {
            "id": record.id,
            "projectId": project.id,
            "endpointId": endpoint.id,
            "name": f"{project.slug}/{endpoint.name}/{record.name}",
            "model": _model_resource(record),
            "modelId": record.model_id,
            "modelRevisionId": record.revision_id,
            "config": f"projects/{PLATFORM_PROJECT}/configs/{record.config_id}",
            "configId": record.config_id,
            "hardware": record.instance_type,
            "autoscaling": record.autoscaling,
            "desiredReplicas": record.desired,
            "inactiveTimeout": record.inactive_timeout,
            "maxConcurrentRequestsPerReplica": record.max_concurrent or "255",
            "trafficMode": "TRAFFIC_MODE_LIVE",
            "estimatedEffectiveTrafficShare": self._share(record, endpoint),
            "etag": record.etag,
            "createdAt": rfc3339(record.created_at),
            "updatedAt": rfc3339(record.updated_at),
            "status": {
                "state": f"DEPLOYMENT_STATE_{record.status}",
                "message": record.message,
                "scheduledReplicas": record.scheduled,
                "readyReplicas": record.ready,
                "details": {"region": [placed] if record.scheduled else []},
            },
        }
        if record.placement is not None:
            view["placement"] = record.placement
        return view

    def _summary(self, record: Deployment, endpoint: Endpoint, project: Project) -> dict[str, Any]:
        self._lifecycle.advance(record)
        return {
            "id": record.id,
            "name": f"{project.slug}/{endpoint.name}/{record.name}",
            "model": _model_resource(record),
            "modelId": record.model_id,
            "hardware": record.instance_type,
            "autoscaling": record.autoscaling,
            "state": f"DEPLOYMENT_STATE_{record.status}",
            "desiredReplicas": record.desired,
            "readyReplicas": record.ready,
            "trafficMode": "TRAFFIC_MODE_LIVE",
            "estimatedEffectiveTrafficShare": self._share(record, endpoint),
            "createdAt": rfc3339(record.created_at),
        }

    def _share(self, record: Deployment, endpoint: Endpoint) -> float:
        weights = {s.deployment_id: s.weight for s in endpoint.split}
        ready = {d.id: d.ready for d in self._store.deployments_of(endpoint.id)}
        total = sum(weight * ready.get(id_, 0) for id_, weight in weights.items())
        return weights.get(record.id, 0.0) * record.ready / total if total else 0.0


def _model_resource(record: Deployment) -> str:
    owner = f"projects/{record.model_project_id}/models/{record.model_id}"
    return f"{owner}/revisions/{record.revision_id}"


def event(record: Event, endpoint: Endpoint) -> dict[str, Any]:
    """An entry of an endpoint's feed."""
    view: dict[str, Any] = {
        "id": record.id,
        "createdAt": rfc3339(record.at),
        "endpointId": endpoint.id,
        "level": f"LEVEL_{record.level}",
        "source": "inference-controller",
        "sourceKind": "SOURCE_KIND_DEPLOYMENT" if record.deployment_id else "SOURCE_KIND_ENDPOINT",
        "type": record.type,
        "message": record.message,
        **record.fields,
    }
    if record.deployment_id:
        view["deploymentId"] = record.deployment_id
    if record.reason:
        view["reason"] = record.reason
    return view
