"""Endpoints: names, the traffic split, and optimistic concurrency."""

import math
from typing import Any

from tests.support.simulators.together.errors import (
    already_exists,
    in_use,
    invalid,
    not_found,
    stale_etag,
)
from tests.support.simulators.together.lifecycle import record_event
from tests.support.simulators.together.models import bare_name, mask_of, visibility
from tests.support.simulators.together.records import Endpoint, Event, Split
from tests.support.simulators.together.store import Project, Store

_MUTABLE = ("name", "trafficSplit", "visibility")


class Endpoints:
    """The rules of endpoints."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, project: Project, body: dict[str, Any]) -> Endpoint:
        """Create an endpoint without deployments; ApiError 400, 409."""
        name = bare_name(body.get("name"), project)
        key = (project.id, name)
        if key in self._store.endpoint_names:
            raise already_exists("endpoint", f"{project.slug}/{name}")
        seen_by = visibility(body.get("visibility") or "VISIBILITY_PRIVATE")
        endpoint = Endpoint(**self._store.stamp("ep_", project.id), name=name, visibility=seen_by)
        self._store.endpoint_names[key] = endpoint.id
        self._store.endpoints.add(endpoint)
        self._note(endpoint, "endpoint.created", {"name": name})
        return endpoint

    def get(self, project: Project, endpoint_id: str) -> Endpoint:
        """One endpoint; ApiError 404."""
        endpoint = self._store.endpoints.get(endpoint_id)
        if endpoint is None or endpoint.project_id != project.id:
            raise not_found("endpoint", endpoint_id)
        return endpoint

    def update(
        self, project: Project, endpoint_id: str, body: dict[str, Any], update_mask: str | None
    ) -> Endpoint:
        """Change what is in the mask, or without one, what the body fills in."""
        endpoint = self.get(project, endpoint_id)
        etag = body.get("etag")
        if etag and etag != endpoint.etag:
            raise stale_etag()
        paths = mask_of(update_mask, _MUTABLE)
        fields = set(paths) if paths else {name for name in _MUTABLE if body.get(name)}
        if not fields:
            raise invalid(
                "no fields to update", "an empty trafficSplit needs updateMask=trafficSplit"
            )
        split = self._split(endpoint, body) if "trafficSplit" in fields else endpoint.split
        seen_by = visibility(body.get("visibility")) if "visibility" in fields else None
        if "name" in fields:
            self._rename(project, endpoint, bare_name(body.get("name"), project))
        endpoint.split = split
        endpoint.visibility = seen_by or endpoint.visibility
        endpoint.touch(self._store.clock.now())
        self._note(endpoint, "endpoint.updated", {"paths": sorted(fields)})
        return endpoint

    def delete(self, project: Project, endpoint_id: str, etag: str | None) -> None:
        """Delete an endpoint that has no deployments; ApiError 409."""
        endpoint = self.get(project, endpoint_id)
        if etag and etag != endpoint.etag:
            raise stale_etag()
        left = self._store.deployments_of(endpoint.id)
        if left:
            raise in_use(
                f"endpoint {endpoint.id} still has {len(left)} deployment(s)",
                "delete its deployments first",
            )
        self._store.endpoints.remove(endpoint, self._store.clock.now())
        del self._store.endpoint_names[project.id, endpoint.name]
        self._store.changed()

    def _rename(self, project: Project, endpoint: Endpoint, name: str) -> None:
        key = (project.id, name)
        if self._store.endpoint_names.get(key, endpoint.id) != endpoint.id:
            raise already_exists("endpoint", f"{project.slug}/{name}")
        del self._store.endpoint_names[project.id, endpoint.name]
        self._store.endpoint_names[key] = endpoint.id
        endpoint.name = name

    def _split(self, endpoint: Endpoint, body: dict[str, Any]) -> list[Split]:
        rollout = self._store.open_rollout(endpoint.id)
        if rollout is not None:
            raise in_use(f"rollout {rollout.id} is active on this endpoint")
        known = {deployment.id for deployment in self._store.deployments_of(endpoint.id)}
        split: list[Split] = []
        for entry in body.get("trafficSplit") or []:
            deployment_id, weight = entry.get("deploymentId"), entry.get("weight", 0)
            if deployment_id not in known:
                raise invalid(f"trafficSplit: {deployment_id!r} is no deployment of this endpoint")
            if any(other.deployment_id == deployment_id for other in split):
                raise invalid(f"trafficSplit: {deployment_id!r} is there twice")
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not math.isfinite(weight) or weight < 0:
                raise invalid("trafficSplit: weights are finite and not negative")
            if weight > 0:
                split.append(Split(deployment_id=deployment_id, weight=weight))
        return split

    def _note(self, endpoint: Endpoint, type_: str, fields: dict[str, Any]) -> None:
        event = Event(
            id=self._store.new_id("evt_"),
            at=self._store.clock.now(),
            type=type_,
            message=type_.replace(".", " "),
            fields=fields,
        )
        record_event(self._store, endpoint, event)
