"""Deployments: what may be created, changed and deleted, and when."""

import re
from collections.abc import Callable
from typing import Any

from tests.support.simulators.together import autoscaling
from tests.support.simulators.together.catalog import PLATFORM_PROJECT, Config
from tests.support.simulators.together.errors import (
    ApiError,
    already_exists,
    in_use,
    invalid,
    not_found,
    precondition,
    stale_etag,
)
from tests.support.simulators.together.lifecycle import Lifecycle, record_event
from tests.support.simulators.together.models import Models, bare_name, mask_of
from tests.support.simulators.together.records import Deployment, Endpoint, Event
from tests.support.simulators.together.store import Project, Store

_MODEL = re.compile(r"projects/([^/]+)/models/([^/]+)(?:/revisions/([^/]+))?")
_CONFIG = re.compile(r"projects/([^/]+)/configs/([^/]+)")
_MUTABLE = ("autoscaling", "inactiveTimeout", "maxConcurrentRequestsPerReplica", "name")


class Deployments:
    """The rules of deployments."""

    def __init__(self, store: Store, models: Models, lifecycle: Lifecycle) -> None:
        self._store = store
        self._models = models
        self._lifecycle = lifecycle

    def create(
        self, project: Project, endpoint: Endpoint, body: dict[str, Any], *, validate_only: bool
    ) -> Deployment:
        """Create a deployment, or only say whether that would work; ApiError 400, 404, 409."""
        name = bare_name(body.get("name"), project)
        model_project, model_id, revision_id, base_id = self._model(project, body)
        config = self._config(body, base_id)
        if "autoscaling" not in body:
            raise invalid("autoscaling: is required")
        bounds = autoscaling.merged({}, body["autoscaling"])
        placement = autoscaling.check_placement(body.get("placement"))
        timeout = autoscaling.check_inactive_timeout(body.get("inactiveTimeout", 0))
        concurrency = body.get("maxConcurrentRequestsPerReplica")
        if concurrency is not None:
            concurrency = autoscaling.check_concurrency(concurrency, config.max_concurrent)
        if any(d.name == name for d in self._store.deployments_of(endpoint.id)):
            raise already_exists("deployment", f"{project.slug}/{endpoint.name}/{name}")
        self._check_quota(project, bounds["minReplicas"])
        stamp = self._store.stamp("dep_", project.id)
        instance_type = self._store.catalog.instance_type(config.instance_type)
        deployment = Deployment.model_validate(
            {
                **stamp,
                "id": "" if validate_only else stamp["id"],
                "name": name,
                "endpoint_id": endpoint.id,
                "model_id": model_id,
                "model_project_id": model_project,
                "revision_id": revision_id,
                "config_id": config.id,
                "instance_type": config.instance_type,
                "autoscaling": bounds,
                "placement": placement,
                "inactive_timeout": timeout,
                "max_concurrent": concurrency,
                "cents_per_hour": instance_type.cents_per_hour,
                "billed_until": stamp["created_at"],
                "status": "STOPPED",
                "message": "Stopped",
            }
        )
        if not validate_only:
            self._store.add_deployment(deployment)
            self._note(endpoint, deployment, "deployment.created")
            self._lifecycle.set_replicas(deployment, bounds["minReplicas"])
            self._store.changed()
        return deployment

    def _check_quota(self, project: Project, replicas: int) -> None:
        quota = self._lifecycle.behaviour.quota
        mine = (d for d in self._store.deployments if d.project_id == project.id)
        if quota is not None and replicas + sum(d.desired for d in mine) > quota:
            raise precondition(f"quota exceeded: the project may have {quota} replicas at once")

    def get(self, endpoint: Endpoint, deployment_id: str) -> Deployment:
        """One deployment as it is now; ApiError 404."""
        deployment = self._store.deployments.get(deployment_id)
        if deployment is None or deployment.endpoint_id != endpoint.id:
            raise not_found("deployment", deployment_id)
        self._lifecycle.advance(deployment)
        return deployment

    def of(self, endpoint: Endpoint) -> list[Deployment]:
        """All deployments of an endpoint as they are now, newest first."""
        found = self._store.deployments_of(endpoint.id)
        for deployment in found:
            self._lifecycle.advance(deployment)
        return found[::-1]

    def update(
        self,
        project: Project,
        endpoint: Endpoint,
        deployment_id: str,
        body: dict[str, Any],
        update_mask: str | None,
    ) -> Deployment:
        """Change what is in the mask, or without one, what is in the body."""
        deployment = self.get(endpoint, deployment_id)
        etag = body.get("etag")
        if etag and etag != deployment.etag:
            raise stale_etag()
        paths = mask_of(update_mask, _MUTABLE)
        roots = {path.partition(".")[0] for path in paths} if paths else body.keys() - {"etag"}
        fixed = sorted(roots - set(_MUTABLE))
        if fixed:
            raise invalid(f"{fixed[0]}: can't be changed, create another deployment")
        if not roots:
            raise invalid("no fields to update")
        self._write(project, endpoint, deployment, {k: body.get(k) for k in roots})
        self._note(endpoint, deployment, "deployment.updated", paths=sorted(roots))
        return deployment

    def delete(self, endpoint: Endpoint, deployment_id: str, etag: str | None) -> None:
        """Delete a deployment that is stopped or failed and has no traffic; ApiError 409."""
        deployment = self.get(endpoint, deployment_id)
        if etag and etag != deployment.etag:
            raise stale_etag()
        self._check_rollout(endpoint, deployment, "deleted", in_use)
        if deployment.status not in ("STOPPED", "FAILED"):
            raise in_use(
                f"deployment {deployment.id} is {deployment.status}",
                "set minReplicas and maxReplicas to 0 and wait until it is STOPPED",
            )
        if any(entry.deployment_id == deployment.id for entry in endpoint.split):
            raise in_use(
                f"deployment {deployment.id} is in the traffic split of {endpoint.id}",
                "take it out of the traffic split first",
            )
        self._lifecycle.settle(deployment)
        self._store.remove_deployment(deployment)
        self._note(endpoint, deployment, "deployment.deleted")

    def _write(
        self,
        project: Project,
        endpoint: Endpoint,
        deployment: Deployment,
        fields: dict[str, Any],
    ) -> None:
        config = self._store.catalog.config(deployment.config_id)
        assert config is not None
        bounds: dict[str, Any] | None = None
        if "autoscaling" in fields:
            bounds = autoscaling.merged(deployment.autoscaling, fields["autoscaling"])
            if bounds["maxReplicas"] == 0:
                self._check_rollout(endpoint, deployment, "stopped", precondition)
        if "name" in fields:
            name = bare_name(fields["name"], project)
            others = [d for d in self._store.deployments_of(endpoint.id) if d is not deployment]
            if any(d.name == name for d in others):
                raise already_exists("deployment", f"{project.slug}/{endpoint.name}/{name}")
            deployment.name = name
        if "inactiveTimeout" in fields:
            minutes = fields["inactiveTimeout"]
            deployment.inactive_timeout = autoscaling.check_inactive_timeout(minutes or 0)
        if "maxConcurrentRequestsPerReplica" in fields:
            value = fields["maxConcurrentRequestsPerReplica"]
            deployment.max_concurrent = autoscaling.check_concurrency(value, config.max_concurrent)
        deployment.touch(self._store.clock.now())
        if bounds is not None:
            deployment.autoscaling = bounds
            desired = max(bounds["minReplicas"], min(deployment.desired, bounds["maxReplicas"]))
            if desired != deployment.desired or deployment.status in ("STOPPED", "FAILED"):
                self._lifecycle.set_replicas(deployment, desired)
        self._store.changed()

    def _check_rollout(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        what: str,
        error: Callable[[str], ApiError],
    ) -> None:
        rollout = self._store.open_rollout(endpoint.id)
        if rollout is not None and deployment.id in (rollout.source_id, rollout.target_id):
            raise error(f"deployment {deployment.id} can't be {what} during rollout {rollout.id}")

    def _model(self, project: Project, body: dict[str, Any]) -> tuple[str, str, str, str]:
        """(owner, model, revision, base model) of what a request names."""
        resource = body.get("model") or ""
        match = _MODEL.fullmatch(resource)
        if resource and match is None:
            raise invalid("model: use projects/{projectId}/models/{modelId}[/revisions/{id}]")
        if match is None and not body.get("modelId"):
            raise invalid("model: is required")
        owner, model_id, revision_id = (
            match.groups() if match else (project.id, body["modelId"], body.get("modelRevisionId"))
        )
        base = self._store.catalog.base(model_id)
        if base is not None and owner in (PLATFORM_PROJECT, project.id):
            return PLATFORM_PROJECT, model_id, f"rv_{model_id[3:]}", model_id
        if owner != project.id:
            raise not_found("model", resource)
        model = self._models.get(project, model_id)
        revision = self._models.revision(model, revision_id)
        return project.id, model.id, revision.id, model.base_model_id

    def _config(self, body: dict[str, Any], base_id: str) -> Config:
        resource = body.get("config") or ""
        match = _CONFIG.fullmatch(resource)
        if resource and match is None:
            raise invalid("config: use projects/{projectId}/configs/{configRevisionId}")
        config_id = match.group(2) if match else body.get("configId")
        if not config_id:
            raise invalid("config: is required")
        config = self._store.catalog.config(config_id)
        if config is None or (match and match.group(1) != PLATFORM_PROJECT):
            raise not_found("config", resource or config_id)
        if config.base_model_id != base_id:
            raise precondition(
                f"config {config.id} is not compatible with the model",
                "list the configs of the model's base model",
            )
        return config

    def _note(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        type_: str,
        paths: list[str] | None = None,
    ) -> None:
        fields: dict[str, Any] = {"name": deployment.name}
        if paths:
            fields = {"paths": paths}
        event = Event(
            id=self._store.new_id("evt_"),
            at=self._store.clock.now(),
            type=type_,
            deployment_id=deployment.id,
            message=type_.replace(".", " "),
            fields=fields,
        )
        record_event(self._store, endpoint, event)
