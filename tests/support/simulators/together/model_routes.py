"""The routes of identity, models, their imports, and the catalog."""

from typing import Any

from tests.support.simulators.together import views
from tests.support.simulators.together.catalog import PLATFORM_PROJECT, BaseModel
from tests.support.simulators.together.errors import invalid, not_found
from tests.support.simulators.together.records import Import, Model
from tests.support.simulators.together.web import Call, Handler


async def whoami(call: Call) -> dict[str, Any]:
    """GET /v3/whoami."""
    key = call.platform.authenticate(call.request.headers["Authorization"])
    organization = {"id": call.project.organization_id, "name": "Simulated organization"}
    answer: dict[str, Any] = {"organization": organization, "api_key": {"id": key.id}}
    if key.project_id is None:
        return {"type": "org_api_key", **answer}
    project = {"id": call.project.id, "name": call.project.name, "slug": call.project.slug}
    return {"type": "project_api_key", "project": project, **answer}


async def list_projects(call: Call) -> dict[str, Any]:
    """GET /v1/projects: those that the key may use."""
    key = call.platform.authenticate(call.request.headers["Authorization"])
    projects = call.platform.projects.values()
    mine = [p for p in projects if key.project_id in (None, p.id)]
    data = [
        {
            "id": project.id,
            "name": project.name,
            "slug": project.slug,
            "organization_id": project.organization_id,
            "organization_name": "Simulated organization",
        }
        for project in mine
    ]
    return {"object": "list", "data": data, "next_cursor": None}


def _model(call: Call) -> Model:
    model = call.platform.models.get(call.project, call.path("model"))
    if not call.visible(model):
        raise not_found("model", model.id)
    return model


async def create_model(call: Call) -> dict[str, Any]:
    """POST models."""
    model = call.platform.models.create(call.project, call.body)
    call.created("model", model, model.name)
    return views.model(model, call.project)


async def list_models(call: Call) -> dict[str, Any]:
    """GET models."""
    seen_by = call.query("visibility")
    return call.page(
        call.platform.store.models,
        lambda model: views.model(model, call.project),
        where=lambda model: not seen_by or model.visibility == seen_by,
    )


async def get_model(call: Call) -> dict[str, Any]:
    """GET models/{id}; those of the platform can be read by everyone."""
    base = call.platform.store.catalog.base(call.path("model"))
    if call.path("project") == PLATFORM_PROJECT:
        if base is None:
            raise not_found("model", call.path("model"))
        return views.public_model(*base)
    return views.model(_model(call), call.project)


async def update_model(call: Call) -> dict[str, Any]:
    """PATCH models/{id}."""
    mask = call.query("updateMask")
    model = call.platform.models.update(call.project, _model(call).id, call.body, mask)
    call.changed("model", model.id, model.name)
    return views.model(model, call.project)


async def delete_model(call: Call) -> dict[str, Any]:
    """DELETE models/{id}."""
    model = _model(call)
    call.platform.models.delete(call.project, model.id)
    call.platform.forget_weights(model)
    call.changed("model", model.id, model.name)
    return {}


async def list_files(call: Call) -> dict[str, Any]:
    """GET models/{id}/files."""
    model = _model(call)
    if not model.revisions and not call.query("revisionId"):
        empty: list[Any] = []
        return {"object": "list", "data": empty, "next_cursor": None, "totalSizeBytes": "0"}
    return views.files(call.platform.models.revision(model, call.query("revisionId")))


async def list_revisions(call: Call) -> dict[str, Any]:
    """GET models/{id}/revisions, newest first."""
    revisions = [views.revision(r) for r in reversed(_model(call).revisions)]
    return {"object": "list", "data": revisions, "next_cursor": None}


async def list_supported(call: Call) -> dict[str, Any]:
    """GET supported-models; the cursor is the id of the last entry."""
    found = call.platform.models.supported(call.query("search"), call.query("product"))
    return _slice(call, found)


def _slice(call: Call, found: list[BaseModel]) -> dict[str, Any]:
    ids = [entry.id for entry in found]
    after = call.query("after")
    if after and after not in ids:
        raise invalid("after: not a cursor of this list")
    rest = found[ids.index(after) + 1 :] if after else found
    page = rest[: call.limit()]
    cursor = page[-1].id if len(page) < len(rest) else None
    return {
        "object": "list",
        "data": [views.supported_model(entry) for entry in page],
        "next_cursor": cursor,
    }


async def get_supported(call: Call) -> dict[str, Any]:
    """GET supported-models/{id}."""
    for entry in call.platform.store.catalog.models:
        if entry.id == call.path("id"):
            return views.supported_model(entry)
    raise not_found("supported model", call.path("id"))


async def list_configs(call: Call) -> dict[str, Any]:
    """GET configs; without a reference model, all of them."""
    resource, model_id = call.query("referenceModel"), call.query("referenceModelId")
    wanted = call.platform.models.reference(resource, model_id)
    found = [
        config
        for entry in call.platform.store.catalog.models
        for variant in entry.variants
        for config in variant.configs
        if not wanted or config.base_model_id == wanted
    ]
    start = int(call.query("after") or "0")
    page = found[start : start + call.limit()]
    end = start + len(page)
    cursor = str(end) if end < len(found) else None
    return {"object": "list", "data": [views.config(c) for c in page], "next_cursor": cursor}


async def get_config(call: Call) -> dict[str, Any]:
    """GET configs/{id}."""
    config = call.platform.store.catalog.config(call.path("config"))
    if config is None:
        raise not_found("config", call.path("config"))
    return views.config(config)


async def list_instance_types(call: Call) -> dict[str, Any]:
    """GET public instance types: all of them, on one page."""
    types = call.platform.store.catalog.instance_types
    free = call.platform.lifecycle.free
    data = [views.instance_type(t, free(t.name)) for t in types]
    return {"object": "list", "data": data, "next_cursor": None}


async def get_instance_type(call: Call) -> dict[str, Any]:
    """GET one public instance type."""
    for record in call.platform.store.catalog.instance_types:
        if record.id == call.path("id"):
            return views.instance_type(record, call.platform.lifecycle.free(record.name))
    raise not_found("instance type", call.path("id"))


async def create_import(call: Call) -> dict[str, Any]:
    """POST models/uploads."""
    body = call.body
    for name in ("modelId", "remoteUrl"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise invalid(f"{name}: is required")
    imports = call.platform.imports
    job = imports.create(call.project.id, body["modelId"], body["remoteUrl"], body.get("token"))
    model = call.platform.store.models.get(job.model_id)
    call.created("import", job, model.name if model else "")
    return views.import_job(job)


def _import(call: Call) -> Import:
    job = call.platform.store.imports.get(call.path("job"))
    if job is None or job.project_id != call.project.id or not call.visible(job):
        raise not_found("remote upload", call.path("job"))
    return job


async def get_import(call: Call) -> dict[str, Any]:
    """GET models/uploads/{id}."""
    return views.import_job(_import(call))


async def list_imports(call: Call) -> dict[str, Any]:
    """GET models/uploads."""
    return call.page(call.platform.store.imports, views.import_job)


async def list_import_events(call: Call) -> dict[str, Any]:
    """GET models/uploads/{id}/events, oldest first."""
    events = _import(call).events
    start = int(call.query("after") or "0")
    end = start + call.limit()
    cursor = str(end) if end < len(events) else None
    data = [views.import_event(event) for event in events[start:end]]
    return {"object": "list", "data": data, "next_cursor": cursor}


_P = "/v2/projects/{project}"
ROUTES: list[tuple[str, str, Handler]] = [
    ("GET", "/v3/whoami", whoami),
    ("GET", "/v1/projects", list_projects),
    ("GET", "/v2/supported-models", list_supported),
    ("GET", "/v2/supported-models/{id}", get_supported),
    ("GET", "/v2/public/inference-instance-types", list_instance_types),
    ("GET", "/v2/public/inference-instance-types/{id}", get_instance_type),
    ("POST", _P + "/models/uploads", create_import),
    ("GET", _P + "/models/uploads", list_imports),
    ("GET", _P + "/models/uploads/{job}", get_import),
    ("GET", _P + "/models/uploads/{job}/events", list_import_events),
    ("POST", _P + "/models", create_model),
    ("GET", _P + "/models", list_models),
    ("GET", _P + "/models/{model}", get_model),
    ("PATCH", _P + "/models/{model}", update_model),
    ("DELETE", _P + "/models/{model}", delete_model),
    ("GET", _P + "/models/{model}/files", list_files),
    ("GET", _P + "/models/{model}/revisions", list_revisions),
    ("GET", _P + "/configs", list_configs),
    ("GET", _P + "/configs/{config}", get_config),
]
