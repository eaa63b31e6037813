"""Models, their revisions, and the catalog they are based on."""

import re
from collections.abc import Iterable
from typing import Any

from tests.support.simulators.together.catalog import BaseModel
from tests.support.simulators.together.errors import (
    already_exists,
    in_use,
    invalid,
    not_found,
    precondition,
)
from tests.support.simulators.together.records import Model, Revision
from tests.support.simulators.together.store import Project, Store

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_TYPES = {"model": "model", "models": "model", "adapter": "adapter", "adapters": "adapter"}
_VISIBILITIES = ("VISIBILITY_PRIVATE", "VISIBILITY_INTERNAL")
_MUTABLE = ("description", "name", "visibility")


def bare_name(name: object, project: Project) -> str:
    """The name without its project's slug; ApiError 400 when it is not one of this project."""
    if not isinstance(name, str) or not name:
        raise invalid("name: is required")
    slug, slash, bare = name.rpartition("/")
    if slash and slug != project.slug:
        raise invalid(f"name: project slug {slug!r} does not match the project {project.slug!r}")
    if not _NAME.fullmatch(bare):
        raise invalid("name: use letters, digits, '.', '_' and '-', at most 255 characters")
    return bare


def visibility(value: object) -> Any:
    """A checked visibility."""
    if value not in _VISIBILITIES:
        raise invalid(f"visibility: {value!r} is not one of {', '.join(_VISIBILITIES)}")
    return value


def mask_of(update_mask: str | None, allowed: Iterable[str]) -> list[str] | None:
    """The paths of an update mask, or None without one; ApiError 400 for unknown paths."""
    if not update_mask:
        return None
    paths = [path.strip() for path in update_mask.split(",")]
    roots = tuple(allowed)
    for path in paths:
        if path.partition(".")[0] not in roots:
            raise invalid(f"updateMask: unknown field {path!r}")
    return paths


class Models:
    """The rules of custom models."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, project: Project, body: dict[str, Any]) -> Model:
        """Register a model without files."""
        name = bare_name(body.get("name"), project)
        type_ = _TYPES.get(body.get("type", ""))
        if type_ is None:
            raise invalid("type: must be 'model' or 'adapter'")
        base_id = body.get("baseModelId") or ""
        if not base_id:
            raise invalid("baseModelId: is required")
        if self._store.catalog.base(base_id) is None:
            raise invalid(f"baseModelId: {base_id!r} is not a supported base model")
        key = (project.id, name)
        if key in self._store.model_names:
            raise already_exists("model", f"{project.slug}/{name}")
        model = Model.model_validate(
            {
                **self._store.stamp("ml_", project.id),
                "name": name,
                "type": type_,
                "base_model_id": base_id,
                "description": body.get("description") or "",
            }
        )
        self._store.model_names[key] = model.id
        self._store.models.add(model)
        self._store.changed()
        return model

    def get(self, project: Project, model_id: str) -> Model:
        """One model; ApiError 404."""
        model = self._store.models.get(model_id)
        if model is None or model.project_id != project.id:
            raise not_found("model", model_id)
        return model

    def update(
        self, project: Project, model_id: str, body: dict[str, Any], update_mask: str | None
    ) -> Model:
        """Change a model. Without a mask every mutable field is overwritten, absent ones with
        their defaults (only a name can't become empty)."""
        model = self.get(project, model_id)
        paths = mask_of(update_mask, _MUTABLE)
        fields = _MUTABLE if paths is None else tuple(paths)
        name = bare_name(body["name"], project) if "name" in fields and "name" in body else None
        if name is None and paths is not None and "name" in fields:
            raise invalid("name: is required")
        key = (project.id, name or model.name)
        if self._store.model_names.get(key, model.id) != model.id:
            raise already_exists("model", f"{project.slug}/{name}")
        if "visibility" in fields:
            model.visibility = visibility(body.get("visibility") or "VISIBILITY_PRIVATE")
        if "description" in fields:
            model.description = body.get("description") or ""
        if name is not None:
            del self._store.model_names[project.id, model.name]
            self._store.model_names[key] = model.id
            model.name = name
        model.touch(self._store.clock.now())
        self._store.changed()
        return model

    def delete(self, project: Project, model_id: str) -> None:
        """Delete a model that no active deployment uses; ApiError 404, 409."""
        model = self.get(project, model_id)
        users = [d.id for d in self._store.deployments if d.model_id == model.id and d.active]
        if users:
            raise in_use(
                f"model {model.id} is in use by {len(users)} active deployment(s)",
                f"stop or delete {', '.join(users[:5])} first",
            )
        self._store.models.remove(model, self._store.clock.now())
        del self._store.model_names[project.id, model.name]
        self._store.changed()

    def revision(self, model: Model, revision_id: str | None) -> Revision:
        """A revision that may be deployed, by default the latest; ApiError 400, 404."""
        if not revision_id:
            latest = model.latest
            if latest is None:
                raise precondition(
                    f"model {model.id} has no validated revision", "import files into it first"
                )
            return latest
        revision = next((r for r in model.revisions if r.id == revision_id), None)
        if revision is None:
            raise not_found("revision", revision_id)
        if revision.validation != "SUCCESS":
            raise precondition(f"revision {revision_id} has not been validated")
        return revision

    def supported(self, search: str, product: str) -> list[BaseModel]:
        """Catalog entries whose id, name or description holds the search, ignoring case."""
        words = search.lower()
        return [
            entry
            for entry in self._store.catalog.models
            if (not product or product in entry.products)
            and any(words in text.lower() for text in (entry.id, entry.name, entry.description))
        ]

    def reference(self, resource: str, model_id: str) -> str:
        """The id in a `referenceModel` or `referenceModelId` filter; the two must agree.

        Configs refer to base models: a custom model's own id finds none.
        """
        match = re.fullmatch(r"projects/([^/]+)/models/([^/]+)", resource)
        if resource and match is None:
            raise invalid("referenceModel: use projects/{projectId}/models/{modelId}")
        wanted = match.group(2) if match else model_id
        if match and model_id and model_id != wanted:
            raise invalid("referenceModel and referenceModelId name different models")
        return wanted
