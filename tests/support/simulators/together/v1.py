"""The rules of the legacy v1 API: uploads that make models, and endpoints with one model each.

Both APIs share one memory: a v1 endpoint is an endpoint with one deployment that has all traffic.
What the documentation leaves open is decided against the caller: a model is listed only when its
upload has ended well, and its name is taken from the start of the upload on.
"""

from typing import Any

from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.catalog import Catalog, Config
from tests.support.simulators.together.clock import rfc3339
from tests.support.simulators.together.errors import GatewayError
from tests.support.simulators.together.imports import Imports
from tests.support.simulators.together.lifecycle import Lifecycle
from tests.support.simulators.together.models import bare_name
from tests.support.simulators.together.records import (
    V1_USER,
    Deployment,
    Endpoint,
    Import,
    Model,
    Split,
    V1Endpoint,
)
from tests.support.simulators.together.store import Project, Store

CLOSED = "endpoints_v1_create_access_disabled"
_JOB_STATES = {
    "PENDING": "Queued",
    "RUNNING": "Running",
    "ERROR": "Running",
    "SUCCEEDED": "Complete",
    "FAILED": "Failed",
}
_STATES = {
    "PROVISIONING": "PENDING",
    "SCALING": "STARTING",
    "READY": "STARTED",
    "DEGRADED": "STARTED",
    "STOPPING": "STOPPING",
    "STOPPED": "STOPPED",
    "FAILED": "ERROR",
}
_CREATE = {"model", "hardware", "autoscaling", "display_name", "inactive_timeout", "state"}
_UPDATE = {"autoscaling", "display_name", "inactive_timeout", "state"}
_UPLOAD = {"model_name", "model_source", "model_type", "hf_token", "description"}
_ADAPTER = {"base_model", "lora_model"}


class V1:
    """Models, jobs, hardware and endpoints as v1 has them."""

    def __init__(self, store: Store, imports: Imports, lifecycle: Lifecycle) -> None:
        self._store = store
        self._imports = imports
        self._lifecycle = lifecycle

    @property
    def _behaviour(self) -> Behaviour:
        return self._lifecycle.behaviour

    # Models and jobs.

    def models(self, project: Project) -> list[Model]:
        """Those whose upload has ended well."""
        return [m for m in self._store.models if m.project_id == project.id and m.latest]

    def upload(self, project: Project, body: dict[str, Any]) -> tuple[Model, Import]:
        """Begin to make a model from a source; GatewayError 400, 409."""
        kind = body.get("model_type", "model")
        if kind not in ("model", "adapter"):
            raise _invalid("model_type", "must be 'model' or 'adapter'")
        _only(body, _UPLOAD | (_ADAPTER if kind == "adapter" else set()))
        source = body.get("model_source")
        if not isinstance(source, str) or not source:
            raise _invalid("model_source", "is required")
        url = source if "://" in source else f"https://huggingface.co/{source}"
        name = bare_name(body.get("model_name"), project)
        self._free(project, name)
        model = Model(
            **self._store.stamp("model-", project.id),
            name=name,
            type="adapter" if kind == "adapter" else "model",
            base_model_id=self._base(body.get("lora_model") or body.get("base_model")),
            description=body.get("description") or "",
        )
        self._store.model_names[project.id, name] = model.id
        self._store.models.add(model)
        return model, self._imports.create(project.id, model.id, url, body.get("hf_token"))

    def job(self, project: Project, job_id: str) -> Import:
        """One job; GatewayError 404."""
        job = self._store.imports.get(job_id)
        if job is None or job.project_id != project.id:
            raise _missing("job", job_id)
        return job

    def _base(self, name: object) -> str:
        """The id of a base model that an adapter names; empty without one, GatewayError 400."""
        if name is None:
            return ""
        for entry in self._store.catalog.models:
            for variant in entry.variants:
                if variant.model_name == name:
                    return variant.model_id
        raise _invalid("lora_model", f"{name!r} is not a base model")

    def _free(self, project: Project, name: str) -> None:
        """Refuse a name that is in use; what a failed upload left does not use it."""
        model = self._store.models.get(self._store.model_names.get((project.id, name), ""))
        if model is None:
            return
        jobs = [job for job in self._store.imports if job.model_id == model.id]
        if model.revisions or not jobs or any(not job.final for job in jobs):
            raise GatewayError(
                409,
                f"A model named {project.slug}/{name} already exists",
                symbol="model_already_exists",
            )
        self._store.models.remove(model, self._store.clock.now())
        del self._store.model_names[project.id, name]

    # Hardware.

    def hardware(self, project: Project, model_name: str) -> list[dict[str, Any]]:
        """Everything, or what a model runs on, with whether it is available."""
        catalog = self._store.catalog
        fitting = None
        if model_name:
            configs = self._configs(self._model(project, model_name))
            fitting = {config.instance_type for config in configs}
        found = []
        for kind in catalog.instance_types:
            if fitting is not None and kind.name not in fitting:
                continue
            view: dict[str, Any] = {
                "id": hardware_id(kind.name),
                "object": "hardware",
                "pricing": {"cents_per_minute": kind.cents_per_hour / 60},
                "specs": {
                    "gpu_type": kind.gpu_type,
                    "gpu_link": "sxm",
                    "gpu_memory": kind.gpu_memory_gib,
                    "gpu_count": kind.gpu_count,
                },
                "updated_at": rfc3339(self._store.clock.now()),
            }
            if model_name:
                free = self._lifecycle.free(kind.name)
                status = "available" if free is None or free > 0 else "insufficient"
                view["availability"] = {"status": status}
            found.append(view)
        return found

    # Endpoints.

    def endpoints(self, project: Project) -> list[Endpoint]:
        """The project's, newest first."""
        mine = [e for e in self._store.endpoints.newest_first() if e.project_id == project.id]
        return [e for e in mine if e.v1 is not None]

    def endpoint(self, project: Project, endpoint_id: str) -> Endpoint:
        """One endpoint; GatewayError 404."""
        for endpoint in self.endpoints(project):
            if endpoint.v1 is not None and endpoint.v1.id == endpoint_id:
                return endpoint
        raise _missing("endpoint", endpoint_id)

    def create(self, project: Project, body: dict[str, Any]) -> Endpoint:
        """Create an endpoint, and start it unless told otherwise; GatewayError 400, 403, 404."""
        self._refuse_when_closed()
        _only(body, _CREATE)
        model = self._model(project, body.get("model"))
        configs = {hardware_id(c.instance_type): c for c in self._configs(model)}
        config = configs.get(body.get("hardware", ""))
        if config is None:
            raise _invalid("hardware", f"must be one of {', '.join(sorted(configs))}")
        low, high = _bounds(body.get("autoscaling"))
        state = _state(body.get("state", "STARTED"))
        endpoint_id = self._store.new_id("endpoint-")
        name = f"{model.name}-{endpoint_id[-8:]}"
        details = V1Endpoint(
            id=endpoint_id,
            display_name=body.get("display_name") or name,
            hardware=hardware_id(config.instance_type),
            min_replicas=low,
            max_replicas=high,
        )
        stamp = self._store.stamp("ep_", project.id)
        endpoint = self._store.endpoints.add(Endpoint(**stamp, name=name, v1=details))
        self._store.endpoint_names[project.id, name] = endpoint.id
        deployment = self._deploy(project, endpoint, model, config)
        deployment.inactive_timeout = _minutes(body.get("inactive_timeout"))
        endpoint.split = [Split(deployment_id=deployment.id, weight=1.0)]
        if state == "STARTED":
            self._lifecycle.set_replicas(deployment, low)
        self._store.changed()
        return endpoint

    def update(self, endpoint: Endpoint, body: dict[str, Any]) -> None:
        """Change what is in the body; GatewayError 400, 403."""
        _only(body, _UPDATE)
        details, deployment = self._parts(endpoint)
        if "state" in body and _state(body["state"]) == "STARTED":
            self._refuse_when_closed()
        if "autoscaling" in body:
            details.min_replicas, details.max_replicas = _bounds(body["autoscaling"])
        if "display_name" in body:
            details.display_name = str(body["display_name"])
        if "inactive_timeout" in body:
            deployment.inactive_timeout = _minutes(body["inactive_timeout"])
        wanted = self._wanted(body, details, deployment)
        if wanted != deployment.desired or (wanted and deployment.status in ("STOPPED", "FAILED")):
            self._lifecycle.set_replicas(deployment, wanted)
        endpoint.touch(self._store.clock.now())
        self._store.changed()

    def delete(self, project: Project, endpoint: Endpoint) -> None:
        """Delete an endpoint, running or not."""
        _, deployment = self._parts(endpoint)
        self._lifecycle.settle(deployment)
        self._store.remove_deployment(deployment)
        self._store.endpoints.remove(endpoint, self._store.clock.now())
        del self._store.endpoint_names[project.id, endpoint.name]
        self._store.changed()

    def view(self, endpoint: Endpoint, project: Project, *, listed: bool) -> dict[str, Any]:
        """An endpoint as v1 shows it; lists leave out what it runs on and how it scales."""
        details, deployment = self._parts(endpoint)
        model = self._store.models.get(deployment.model_id)
        answer: dict[str, Any] = {
            "object": "endpoint",
            "id": details.id,
            "name": f"{V1_USER}/{project.slug}/{endpoint.name}",
            "model": f"{project.slug}/{model.name}" if model else "",
            "type": "dedicated",
            "owner": V1_USER,
            "state": _shown(deployment),
            "created_at": rfc3339(endpoint.created_at),
        }
        if not listed:
            answer |= {
                "display_name": details.display_name,
                "hardware": details.hardware,
                "autoscaling": {
                    "min_replicas": details.min_replicas,
                    "max_replicas": details.max_replicas,
                },
            }
        return answer

    def _wanted(self, body: dict[str, Any], details: V1Endpoint, deployment: Deployment) -> int:
        if "state" in body:
            return details.min_replicas if body["state"] == "STARTED" else 0
        running = deployment.desired > 0
        return details.min_replicas if running and "autoscaling" in body else deployment.desired

    def _deploy(
        self, project: Project, endpoint: Endpoint, model: Model, config: Config
    ) -> Deployment:
        assert model.latest is not None
        kind = self._store.catalog.instance_type(config.instance_type)
        stamp = self._store.stamp("dep_", project.id)
        deployment = Deployment(
            **stamp,
            name=endpoint.v1.display_name.rpartition("/")[2] if endpoint.v1 else endpoint.name,
            endpoint_id=endpoint.id,
            model_id=model.id,
            model_project_id=project.id,
            revision_id=model.latest.id,
            config_id=config.id,
            instance_type=config.instance_type,
            autoscaling={},
            cents_per_hour=kind.cents_per_hour,
            billed_until=stamp["created_at"],
            status="STOPPED",
            message="Stopped",
        )
        self._store.add_deployment(deployment)
        return deployment

    def _parts(self, endpoint: Endpoint) -> tuple[V1Endpoint, Deployment]:
        assert endpoint.v1 is not None
        [deployment] = self._store.deployments_of(endpoint.id)
        self._lifecycle.advance(deployment)
        return endpoint.v1, deployment

    def _model(self, project: Project, name: object) -> Model:
        for model in self.models(project):
            if name == f"{project.slug}/{model.name}":
                return model
        raise _missing("model", str(name))

    def _configs(self, model: Model) -> list[Config]:
        assert model.latest is not None
        base = self._store.catalog.base(model.base_model_id)
        if base is not None:
            return list(base[1].configs)
        return configs_for(self._store.catalog, model.latest.weights.architecture)

    def _refuse_when_closed(self) -> None:
        if self._behaviour.v1_closed:
            raise GatewayError(
                403,
                "Creating v1 endpoints is disabled for this account. Please use the v2 API.",
                type_="permission_error",
                symbol=CLOSED,
            )


def configs_for(catalog: Catalog, architecture: str) -> list[Config]:
    """Configs of the first base model of an architecture."""
    for entry in catalog.models:
        if entry.architecture == architecture and entry.variants:
            return list(entry.variants[0].configs)
    return []


def hardware_id(instance_type: str) -> str:
    """`2x_nvidia_a100_80gb` for `2xnvidia-a100-80gb`."""
    count, _, gpu = instance_type.partition("x")
    return f"{count}x_{gpu.replace('-', '_')}"


def model_view(model: Model, project: Project) -> dict[str, Any]:
    """An entry of GET /models."""
    return {
        "id": f"{project.slug}/{model.name}",
        "object": "model",
        "created": int(model.created_at),
        "type": "chat",
        "display_name": model.name,
        "organization": project.name,
    }


def job_view(job: Import, model: Model | None) -> dict[str, Any]:
    """A job; like the real one it echoes the source with its signature."""
    updates = [
        {
            "status": _JOB_STATES[job.status],
            "message": message,
            "timestamp": rfc3339(at),
        }
        for message, at in [
            *((event.message, event.at) for event in job.events),
            (job.message, job.updated_at),
        ]
    ]
    args = {"modelName": model.name if model else "", "modelSource": job.remote_url}
    return {
        "type": "model_upload",
        "job_id": job.id,
        "status": _JOB_STATES[job.status] if not job.final or job.status != "ERROR" else "Failed",
        "status_updates": updates,
        "args": args | {"description": model.description if model else ""},
        "created_at": rfc3339(job.created_at),
        "updated_at": rfc3339(job.updated_at),
    }


def _shown(deployment: Deployment) -> str:
    if deployment.status == "SCALING" and deployment.ready:
        return "STARTED"
    return _STATES[deployment.status]


def _bounds(value: object) -> tuple[int, int]:
    if not isinstance(value, dict):
        raise _invalid("autoscaling", "is required")
    low, high = value.get("min_replicas"), value.get("max_replicas")
    good = type(low) is int and type(high) is int and 1 <= low <= high
    if not good or not isinstance(low, int) or not isinstance(high, int):
        raise _invalid("autoscaling", "needs 1 <= min_replicas <= max_replicas")
    return low, high


def _state(value: object) -> str:
    if value not in ("STARTED", "STOPPED"):
        raise _invalid("state", "must be STARTED or STOPPED")
    return str(value)


def _minutes(value: object) -> int:
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise _invalid("inactive_timeout", "must be a number of minutes")
    return value


def _only(body: dict[str, Any], known: set[str]) -> None:
    unknown = sorted(body.keys() - known)
    if unknown:
        raise _invalid(unknown[0], "is not a parameter of this call")


def _invalid(param: str, problem: str) -> GatewayError:
    return GatewayError(400, f"{param}: {problem}", symbol="invalid_request")


def _missing(kind: str, name: str) -> GatewayError:
    return GatewayError(404, f"{kind} {name} not found", symbol="not_found")
