"""The routes of the legacy v1 API, with its snake_case JSON and its error envelope."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tests.support.simulators.together.catalog import BaseModel
from tests.support.simulators.together.errors import ApiError, GatewayError
from tests.support.simulators.together.records import Endpoint
from tests.support.simulators.together.v1 import V1, job_view, model_view
from tests.support.simulators.together.web import Call, endpoint

Handler = Callable[[Call], Awaitable[Any]]


def _v1(call: Call) -> V1:
    return call.platform.v1


async def whoami(call: Call) -> Any:
    """GET /v1/whoami."""
    key = call.platform.authenticate(call.request.headers["Authorization"])
    return {
        "api_key_id": key.id,
        "organization_id": call.project.organization_id,
        "organization_name": "Simulated organization",
        "project_id": call.project.id,
        "project_name": call.project.name,
        "project_slug": call.project.slug,
        "user_id": None,
    }


async def list_models(call: Call) -> Any:
    """GET /v1/models: a bare list, public models first."""
    public = [
        {"id": m.name, "object": "model", "created": 0, "type": "chat", "organization": "public"}
        for m in call.platform.store.catalog.models
    ]
    mine = [m for m in _v1(call).models(call.project) if call.visible(m)]
    return public + [model_view(m, call.project) for m in mine]


async def upload_model(call: Call) -> Any:
    """POST /v1/models."""
    model, job = _v1(call).upload(call.project, call.body)
    call.created("import", job, model.name)
    return {
        "data": {
            "job_id": job.id,
            "model_id": model.id,
            "model_name": f"{call.project.slug}/{model.name}",
            "model_source": job.remote_url,
        },
        "message": "Processing model weights. Job created.",
    }


async def get_job(call: Call) -> Any:
    """GET /v1/jobs/{id}."""
    job = _v1(call).job(call.project, call.path("job"))
    return job_view(job, call.platform.store.models.get(job.model_id))


async def list_hardware(call: Call) -> Any:
    """GET /v1/hardware."""
    return {"object": "list", "data": _v1(call).hardware(call.project, call.query("model"))}


def _endpoint(call: Call) -> Endpoint:
    return _v1(call).endpoint(call.project, call.path("endpoint"))


async def list_endpoints(call: Call) -> Any:
    """GET /v1/endpoints; without mine=true, public serverless ones come along."""
    found = [e for e in _v1(call).endpoints(call.project) if call.visible(e)]
    data = [_v1(call).view(e, call.project, listed=True) for e in found]
    if call.query("mine") != "true" and call.query("type") != "dedicated":
        data += [_serverless(entry) for entry in call.platform.store.catalog.models]
    return {"object": "list", "data": data}


def _serverless(entry: BaseModel) -> dict[str, Any]:
    return {
        "object": "endpoint",
        "id": f"endpoint-{entry.id}",
        "name": entry.name,
        "model": entry.name,
        "type": "serverless",
        "owner": "together",
        "state": "STARTED",
        "created_at": "2025-01-01T00:00:00.000000Z",
    }


async def get_endpoint(call: Call) -> Any:
    """GET /v1/endpoints/{id}."""
    return _v1(call).view(_endpoint(call), call.project, listed=False)


async def create_endpoint(call: Call) -> Any:
    """POST /v1/endpoints."""
    record = _v1(call).create(call.project, call.body)
    assert record.v1 is not None
    call.created("endpoint", record, record.v1.display_name)
    return _v1(call).view(record, call.project, listed=False)


async def update_endpoint(call: Call) -> Any:
    """PATCH /v1/endpoints/{id}."""
    record = _endpoint(call)
    _v1(call).update(record, call.body)
    call.changed("endpoint", call.path("endpoint"), record.name)
    return _v1(call).view(record, call.project, listed=False)


async def delete_endpoint(call: Call) -> Any:
    """DELETE /v1/endpoints/{id}."""
    record = _endpoint(call)
    _v1(call).delete(call.project, record)
    call.changed("endpoint", call.path("endpoint"), record.name)
    return {}


def _in_envelope(handler: Handler) -> Handler:
    """Errors of what both APIs share, in v1's envelope."""

    async def handle(call: Call) -> Any:
        try:
            return await handler(call)
        except GatewayError:
            raise
        except ApiError as error:
            raise GatewayError(error.status, error.message, headers=error.headers) from error

    return handle


_ROUTES: list[tuple[str, str, Handler, int]] = [
    ("GET", "/v1/whoami", whoami, 200),
    ("GET", "/v1/models", list_models, 200),
    ("POST", "/v1/models", upload_model, 200),
    ("GET", "/v1/jobs/{job}", get_job, 200),
    ("GET", "/v1/hardware", list_hardware, 200),
    ("GET", "/v1/endpoints", list_endpoints, 200),
    ("POST", "/v1/endpoints", create_endpoint, 200),
    ("GET", "/v1/endpoints/{endpoint}", get_endpoint, 200),
    ("PATCH", "/v1/endpoints/{endpoint}", update_endpoint, 200),
    ("DELETE", "/v1/endpoints/{endpoint}", delete_endpoint, 204),
]


def add_routes(app: web.Application) -> None:
    """Register them."""
    for method, path, handler, status in _ROUTES:
        app.router.add_route(method, path, endpoint(_in_envelope(handler), status=status))
