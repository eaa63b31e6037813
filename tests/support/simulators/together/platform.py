"""The simulated platform without HTTP: its parts, who may use it, and what is left in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.simulators.together.audit import Audit
from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.blobs import Blobs
from tests.support.simulators.together.catalog import Catalog
from tests.support.simulators.together.clock import Clock, Timing
from tests.support.simulators.together.deployments import Deployments
from tests.support.simulators.together.endpoints import Endpoints
from tests.support.simulators.together.errors import ApiError, GatewayError
from tests.support.simulators.together.faults import Faults
from tests.support.simulators.together.imports import Imports
from tests.support.simulators.together.inference import Inference
from tests.support.simulators.together.lifecycle import Lifecycle
from tests.support.simulators.together.models import Models
from tests.support.simulators.together.records import Model
from tests.support.simulators.together.rollouts import Rollouts
from tests.support.simulators.together.store import Project, Store
from tests.support.simulators.together.v1 import V1
from tests.support.simulators.together.views import EndpointViews


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key. One without a project is an organization key, and may use every project."""

    token: str
    project_id: str | None
    permission: Literal["full", "read", "none"] = "full"

    @property
    def id(self) -> str:
        """How whoami names it."""
        return f"key_{self.token[-4:]}"


class Platform:
    """Everything behind the HTTP interface."""

    def __init__(
        self,
        *,
        projects: list[Project],
        keys: list[ApiKey],
        catalog: Catalog,
        clock: Clock,
        timing: Timing,
        directory: Path,
        state_file: Path | None = None,
        seed: int = 0,
    ) -> None:
        self.projects = {project.id: project for project in projects}
        self.keys = {key.token: key for key in keys}
        self.clock = clock
        self.timing = timing
        self.behaviour = Behaviour()
        self.faults = Faults()
        log = state_file.with_suffix(".audit.jsonl") if state_file else None
        self.audit = Audit(log)
        self.blobs = Blobs(directory)
        self.store = Store(catalog, clock, seed=seed, path=state_file)
        self.lifecycle = Lifecycle(self.store, timing, self.behaviour)
        self.models = Models(self.store)
        self.imports = Imports(self.store, self.blobs, timing, self.behaviour)
        self.endpoints = Endpoints(self.store)
        self.deployments = Deployments(self.store, self.models, self.lifecycle)
        self.rollouts = Rollouts(self.store, self.lifecycle, timing, self.behaviour)
        self.inference = Inference(self.store, self.lifecycle, self.blobs, seed=seed)
        self.v1 = V1(self.store, self.imports, self.lifecycle)
        self.views = EndpointViews(self.store, self.lifecycle)

    def behave(self, behaviour: Behaviour) -> None:
        """Put a behaviour into force."""
        self.behaviour = behaviour
        self.imports.behaviour = behaviour
        self.lifecycle.behaviour = behaviour
        self.rollouts.behaviour = behaviour
        self.lifecycle.capacity_changed()

    def forget_weights(self, model: Model) -> None:
        """End the imports of a model that has been deleted, and remove its files.

        A deployment that was stopped when its model went keeps them.
        """
        self.imports.abandon(model.id)
        if not any(d.model_id == model.id for d in self.store.deployments):
            kept = (f for m in self.store.models for r in m.revisions for f in r.files)
            gone = (f for revision in model.revisions for f in revision.files)
            self.blobs.remove_unused(gone, kept)

    def authenticate(self, authorization: str) -> ApiKey:
        """The key in an Authorization header; GatewayError 401."""
        scheme, _, token = authorization.partition(" ")
        key = self.keys.get(token)
        if scheme.lower() != "bearer" or key is None:
            raise GatewayError(
                401,
                "Invalid API key provided. You can find your API key at "
                "https://api.together.ai/settings/api-keys.",
                symbol="invalid_api_key",
            )
        return key

    def authorize(self, key: ApiKey, method: str, project_id: str | None) -> Project:
        """The project that a key works on here; GatewayError or ApiError 403."""
        wanted = project_id or key.project_id or next(iter(self.projects))
        project = self.projects.get(wanted)
        if project is None or key.project_id not in (None, wanted):
            raise ApiError(403, f"API key has no access to project {wanted}")
        denied = key.permission == "none" or (key.permission == "read" and method != "GET")
        if denied:
            raise GatewayError(
                403,
                "This API key is not permitted to do this",
                type_="permission_error",
                symbol="insufficient_permissions",
            )
        return project

    def state(self) -> dict[str, Any]:
        """What is there, and what it has cost; the totals are US dollars."""
        store = self.store
        for deployment in store.deployments:
            self.lifecycle.advance(deployment)
        cents = store.settled_cents + sum(self.lifecycle.bill(d) for d in store.deployments)
        hourly = sum(d.scheduled * d.cents_per_hour for d in store.deployments)
        return {
            "models": [{"id": m.id, "name": m.name} for m in store.models],
            "endpoints": [{"id": e.id, "name": e.name} for e in store.endpoints],
            "deployments": [
                {
                    "id": d.id,
                    "name": d.name,
                    "endpointId": d.endpoint_id,
                    "modelId": d.model_id,
                    "state": d.status,
                    "desiredReplicas": d.desired,
                    "scheduledReplicas": d.scheduled,
                    "readyReplicas": d.ready,
                    "requests": d.requests,
                }
                for d in store.deployments
            ],
            "runningImports": [
                {"id": i.id, "modelId": i.model_id, "status": i.status}
                for i in store.imports
                if not i.final
            ],
            "dollarsBilled": round(cents / 100, 6),
            "dollarsPerHour": round(hourly / 100, 6),
            "calls": dict(self.audit.calls),
        }
