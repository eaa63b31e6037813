"""The routes of endpoints and deployments."""

from typing import Any

from tests.support.simulators.together import views
from tests.support.simulators.together.clock import parse_rfc3339
from tests.support.simulators.together.errors import not_found
from tests.support.simulators.together.filters import order, parse_filter
from tests.support.simulators.together.records import Deployment, Endpoint, Event
from tests.support.simulators.together.web import Call, Handler

_EVENT_LIMIT = 10_000
_LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")


def _endpoint(call: Call) -> Endpoint:
    record = call.platform.endpoints.get(call.project, call.path("endpoint"))
    if not call.visible(record):
        raise not_found("endpoint", record.id)
    return record


async def create_endpoint(call: Call) -> dict[str, Any]:
    """POST endpoints."""
    record = call.platform.endpoints.create(call.project, call.body)
    call.created("endpoint", record, record.name)
    return call.platform.views.endpoint(record, call.project)


async def list_endpoints(call: Call) -> dict[str, Any]:
    """GET endpoints."""
    fields = ("name", "created_at", "updated_at")
    where = parse_filter(call.query("filter"), fields)
    collection = call.platform.store.endpoints

    def values(record: Endpoint) -> dict[str, Any]:
        names = (record.name, f"{call.project.slug}/{record.name}")
        return {
            "name": names,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
        }

    def view(record: Endpoint) -> dict[str, Any]:
        return call.platform.views.endpoint(record, call.project)

    if not call.query("orderBy"):
        return call.page(
            collection, view, where=lambda record: record.v1 is None and where(values(record))
        )
    mine = [e for e in collection.newest_first() if e.project_id == call.project.id]
    return call.ordered(order(mine, call.query("orderBy")), view, where, values)


async def get_endpoint(call: Call) -> dict[str, Any]:
    """GET endpoints/{id}."""
    return call.platform.views.endpoint(_endpoint(call), call.project)


async def update_endpoint(call: Call) -> dict[str, Any]:
    """PATCH endpoints/{id}."""
    mask = call.query("updateMask")
    record = call.platform.endpoints.update(call.project, _endpoint(call).id, call.body, mask)
    call.changed("endpoint", record.id, record.name)
    return call.platform.views.endpoint(record, call.project)


async def delete_endpoint(call: Call) -> dict[str, Any]:
    """DELETE endpoints/{id}."""
    record = _endpoint(call)
    call.platform.endpoints.delete(call.project, record.id, call.query("etag"))
    call.changed("endpoint", record.id, record.name)
    return {}


async def list_events(call: Call) -> dict[str, Any]:
    """GET endpoints/{id}/events, newest first."""
    record = _endpoint(call)
    for deployment in call.platform.store.deployments_of(record.id):
        call.platform.lifecycle.advance(deployment)
    events = sorted(record.events, key=lambda event: event.at, reverse=True)
    found = [event for event in events if _wanted(call, event)]
    start = int(call.query("after") or "0")
    page = found[start : start + call.limit(_EVENT_LIMIT)]
    end = start + len(page)
    return {
        "object": "list",
        "data": [views.event(event, record) for event in page],
        "next_cursor": str(end) if end < len(found) else None,
    }


def _wanted(call: Call, event: Event) -> bool:
    def listed(name: str) -> list[str]:
        return [item for item in call.query(name).split(",") if item]

    kind = "SOURCE_KIND_DEPLOYMENT" if event.deployment_id else "SOURCE_KIND_ENDPOINT"
    kinds, ids, types = listed("sourceKinds"), listed("deploymentIds"), listed("types")
    level = call.query("minLevel", "LEVEL_DEBUG").removeprefix("LEVEL_")
    since, until = call.query("since"), call.query("until")
    by_source = kind in kinds if kinds else (not ids or event.deployment_id is not None)
    return (
        by_source
        and (not ids or event.deployment_id is None or event.deployment_id in ids)
        and (not types or event.type in types)
        and _LEVELS.index(event.level) >= _LEVELS.index(level)
        and (not since or event.at >= parse_rfc3339(since))
        and (not until or event.at < parse_rfc3339(until))
    )


def _deployment(call: Call) -> tuple[Endpoint, Deployment]:
    record = _endpoint(call)
    deployment = call.platform.deployments.get(record, call.path("deployment"))
    if not call.visible(deployment):
        raise not_found("deployment", deployment.id)
    return record, deployment


async def create_deployment(call: Call) -> dict[str, Any]:
    """POST deployments."""
    record = _endpoint(call)
    dry = call.query("validateOnly") == "true"
    deployments = call.platform.deployments
    deployment = deployments.create(call.project, record, call.body, validate_only=dry)
    if not dry:
        call.created("deployment", deployment, deployment.name)
    view: dict[str, Any] = call.platform.views.deployment(deployment, record, call.project)
    return view


async def list_deployments(call: Call) -> dict[str, Any]:
    """GET deployments of an endpoint."""
    record = _endpoint(call)
    fields = ("name", "state", "model", "created_at", "updated_at")
    where = parse_filter(call.query("filter"), fields)
    found = call.platform.deployments.of(record)

    def values(deployment: Deployment) -> dict[str, Any]:
        model = f"projects/{deployment.model_project_id}/models/{deployment.model_id}"
        return {
            "name": (deployment.name, f"{call.project.slug}/{record.name}/{deployment.name}"),
            "state": f"DEPLOYMENT_STATE_{deployment.status}",
            "model": (model, f"{model}/revisions/{deployment.revision_id}"),
            "created_at": deployment.created_at,
            "updated_at": deployment.updated_at,
        }

    return call.ordered(
        order(found, call.query("orderBy")),
        lambda deployment: call.platform.views.deployment(deployment, record, call.project),
        where,
        values,
    )


async def get_deployment(call: Call) -> dict[str, Any]:
    """GET deployments/{id}."""
    record, deployment = _deployment(call)
    view: dict[str, Any] = call.platform.views.deployment(deployment, record, call.project)
    return view


async def update_deployment(call: Call) -> dict[str, Any]:
    """PATCH deployments/{id}."""
    record, deployment = _deployment(call)
    mask = call.query("updateMask")
    call.platform.deployments.update(call.project, record, deployment.id, call.body, mask)
    call.changed("deployment", deployment.id, deployment.name)
    view: dict[str, Any] = call.platform.views.deployment(deployment, record, call.project)
    return view


async def delete_deployment(call: Call) -> dict[str, Any]:
    """DELETE deployments/{id}."""
    record, deployment = _deployment(call)
    call.platform.deployments.delete(record, deployment.id, call.query("etag"))
    call.changed("deployment", deployment.id, deployment.name)
    return {}


_P = "/v2/projects/{project}"
_D = _P + "/endpoints/{endpoint}/deployments"
ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", _P + "/endpoints", create_endpoint),
    ("GET", _P + "/endpoints", list_endpoints),
    ("GET", _P + "/endpoints/{endpoint}", get_endpoint),
    ("PATCH", _P + "/endpoints/{endpoint}", update_endpoint),
    ("DELETE", _P + "/endpoints/{endpoint}", delete_endpoint),
    ("GET", _P + "/endpoints/{endpoint}/events", list_events),
    ("POST", _D, create_deployment),
    ("GET", _D, list_deployments),
    ("GET", _D + "/{deployment}", get_deployment),
    ("PATCH", _D + "/{deployment}", update_deployment),
    ("DELETE", _D + "/{deployment}", delete_deployment),
]
