"""`ModelProvider` over Together's v2 API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from together_operator import __version__
from together_operator.adapters.rate_limit import RateLimiter
from together_operator.adapters.together_v2 import rollouts, wire
from together_operator.adapters.together_v2.fence import fence
from together_operator.adapters.together_v2.fields import understood
from together_operator.adapters.together_v2.http import ApiClient, Json, OnCall, Request
from together_operator.adapters.together_v2.lists import Lists, items_of
from together_operator.domain import errors
from together_operator.domain.together import (
    V2,
    Config,
    Deployment,
    Endpoint,
    Import,
    InstanceType,
    Model,
    ModelChange,
    NewDeployment,
    NewModel,
    Revision,
    SupportedModel,
    TrafficShare,
    Tuning,
)
from together_operator.domain.together_rollouts import (
    EndpointEvent,
    NewRollout,
    Rollout,
    RolloutVerb,
)
from together_operator.ports import Priority

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Project:
    id: str
    slug: str


class TogetherV2:
    """Together's v2 management API with one key.

    Args:
        key: an API key of a project, or of an organization.
        base_url: e.g. `https://api.together.ai`.
        project_id: the project to work in, for a key of an organization; a project's own key
            works in that project whatever is given here.
        http: connections to share with other keys; by default the provider has its own.
        limiter: of this key; by default the provider makes one.
        on_call: told of each call (method, resource, status code or failure).
    """

    abilities = V2

    def __init__(
        self,
        key: SecretStr,
        base_url: str,
        *,
        project_id: str | None = None,
        http: httpx.AsyncClient | None = None,
        limiter: RateLimiter | None = None,
        on_call: OnCall = lambda *_: None,
    ) -> None:
        self._http = http or connections()
        self._owns_http = http is None
        self._api = ApiClient(
            key,
            base_url.rstrip("/"),
            http=self._http,
            limiter=limiter or RateLimiter(),
            on_call=on_call,
        )
        self._wanted_project = project_id
        self._project: _Project | None = None
        self._asking = asyncio.Lock()
        self._lists = Lists(self._api)

    async def close(self) -> None:
        """Close the connections, if they are the provider's own."""
        if self._owns_http:
            await self._http.aclose()

    async def project_slug(self) -> str:
        """The slug that qualifies names of models and endpoints of this key."""
        return (await self._of_key()).slug

    # Models.

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """All models of the project."""
        return await self._lists.poll(await self._path("models"), wire.model, priority)

    async def get_model(self, model_id: str) -> Model:
        """One model by its `ml_` id."""
        return await self._read(await self._path("models", model_id), wire.model)

    async def create_model(self, new: NewModel) -> Model:
        """Create a model record; a taken name is a `Conflict`."""
        body: Json = {"name": new.name, "baseModelId": new.base_model_id, "type": new.type}
        if new.description:
            body["description"] = new.description
        path = await self._path("models")
        return await self._write(Request("POST", path, body=body), wire.model)

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Write the fields that are not None, and only those."""
        fields = {"description": change.description, "visibility": change.visibility}
        body = {name: value for name, value in fields.items() if value is not None}
        path = await self._path("models", model_id)
        if not body:
            return await self._read(path, wire.model)
        # Without the mask, the API overwrites every mutable field.
        params = {"updateMask": ",".join(body)}
        return await self._write(Request("PATCH", path, params=params, body=body), wire.model)

    async def delete_model(self, model_id: str) -> None:
        """Delete a model; `Conflict` while a deployment uses it."""
        await self._api.send(Request("DELETE", await self._path("models", model_id)))

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """Revisions of a model, newest first."""
        # The API documents neither limit nor after for this list.
        answer = await self._api.send(
            Request("GET", await self._path("models", model_id, "revisions"))
        )
        return items_of(answer, wire.revision)

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """Catalog entries for dedicated endpoints; an empty search gives all of them."""
        params = {"product": "PRODUCT_DEDICATED"}
        if search:
            params["search"] = search
        path = "/v2/supported-models"
        entries = await self._lists.read(path, wire.supported_models, Priority.INTERACTIVE, params)
        return [model for entry in entries for model in entry]

    # Imports.

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """All remote uploads of the project."""
        return await self._lists.poll(
            await self._path("models", "uploads"), wire.import_job, priority
        )

    async def get_import(self, import_id: str) -> Import:
        """One remote upload."""
        return await self._read(await self._path("models", "uploads", import_id), wire.import_job)

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Have Together fetch `remote_url` into a model, which must be there already."""
        del new
        body = {"modelId": model_id, "remoteUrl": remote_url.get_secret_value()}
        secrets = [remote_url]
        if token is not None:
            body["token"] = token.get_secret_value()
            secrets.append(token)
        path = await self._path("models", "uploads")
        request = Request("POST", path, body=body, secrets=tuple(secrets))
        known = [] if token is None else [token.get_secret_value()]
        return await self._write(request, lambda data: wire.import_job(data, known))

    # What a model can run on.

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """Configs that a model can be deployed with: its own, and those of its base model."""
        path = await self._path("configs")
        try:
            base_id = (await self.get_model(model_id)).base_model_id
        except errors.NotFound:
            base_id = ""  # not a model of this project: a public one, which is its own base
        found: dict[str, Config] = {}
        for reference in filter(None, (model_id, base_id)):
            params = {"referenceModelId": reference}
            configs = await self._lists.read(path, wire.config, Priority.INTERACTIVE, params)
            found.update((config.id, config) for config in configs)
        return list(found.values())

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """The public price list."""
        answer = await self._api.send(Request("GET", "/v2/public/inference-instance-types"))
        return items_of(answer, wire.instance_type)

    # Endpoints and deployments.

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """All endpoints of the project."""
        return await self._lists.poll(await self._path("endpoints"), wire.endpoint, priority)

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint by its `ep_` id."""
        return await self._read(await self._path("endpoints", endpoint_id), wire.endpoint)

    async def create_endpoint(self, name: str) -> Endpoint:
        """Create an endpoint by its bare name; a taken name is a `Conflict`."""
        path = await self._path("endpoints")
        return await self._write(Request("POST", path, body={"name": name}), wire.endpoint)

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Replace the traffic split; empty clears it. A stale etag is a `Conflict`."""
        shares = [{"deploymentId": s.deployment_id, "weight": s.weight} for s in split]
        body: Json = {"trafficSplit": shares}
        if etag:
            body["etag"] = etag
        path = await self._path("endpoints", endpoint_id)
        # Without the mask, an empty list counts as "nothing to change".
        params = {"updateMask": "trafficSplit"}
        return await self._write(Request("PATCH", path, params=params, body=body), wire.endpoint)

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint; `Conflict` while it has deployments."""
        await self._api.send(Request("DELETE", await self._path("endpoints", endpoint_id)))

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """All deployments of an endpoint, with their full status."""
        path = await self._path("endpoints", endpoint_id, "deployments")
        return await self._lists.read(path, wire.deployment, Priority.INTERACTIVE)

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create a deployment; this is where money starts to be spent."""
        path = await self._path("endpoints", endpoint_id, "deployments")
        request = Request("POST", path, body=wire.new_deployment(new))
        return await self._write(request, wire.deployment)

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """Ask whether `create_deployment` would be accepted, and create nothing."""
        path = await self._path("endpoints", endpoint_id, "deployments")
        body, params = wire.new_deployment(new), {"validateOnly": "true"}
        await self._api.send(Request("POST", path, params=params, body=body))

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Set both bounds, and what `tuning` sets; 0/0 stops the deployment and its bill."""
        tuning = tuning or Tuning()
        body: Json = {"autoscaling": wire.autoscaling(min_replicas, max_replicas, tuning)}
        if tuning.inactive_timeout is not None:
            body["inactiveTimeout"] = tuning.inactive_timeout
        path = await self._path("endpoints", endpoint_id, "deployments", deployment_id)
        params = {"updateMask": ",".join(body)}
        request = Request("PATCH", path, params=params, body=body)
        return await self._write(request, wire.deployment)

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Delete a stopped deployment that has no traffic; `Conflict` otherwise."""
        path = await self._path("endpoints", endpoint_id, "deployments", deployment_id)
        await self._api.send(Request("DELETE", path))

    # Rollouts and events.

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """All rollouts of an endpoint."""
        path = await self._path("endpoints", endpoint_id, "rollouts")
        return await self._lists.read(path, rollouts.rollout, Priority.INTERACTIVE)

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Prepare a rollout; it waits to be started."""
        path = await self._path("endpoints", endpoint_id, "rollouts")
        request = Request("POST", path, body=rollouts.new_rollout(new))
        return await self._write(request, rollouts.rollout)

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """Start, pause, resume, promote or cancel."""
        path = await self._path("endpoints", endpoint_id, "rollouts", rollout_id, verb.value)
        body = {"reason": reason} if verb in {RolloutVerb.PAUSE, RolloutVerb.CANCEL} else {}
        return await self._write(Request("POST", path, body=body), rollouts.rollout)

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Delete a rollout that was never started, or is over."""
        path = await self._path("endpoints", endpoint_id, "rollouts", rollout_id)
        await self._api.send(Request("DELETE", path))

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """The newest events (a page) of these types about one deployment, newest first."""
        params = {"deploymentIds": deployment_id, "types": ",".join(types), "limit": "50"}
        path = await self._path("endpoints", endpoint_id, "events")
        answer = await self._api.send(Request("GET", path, Priority.POLLING, params=params))
        return items_of(answer, rollouts.event)

    # Below: how it is asked.

    async def _of_key(self) -> _Project:
        """The project that this key works in; asked once."""
        async with self._asking:
            if self._project is None:
                self._project = await self._ask()
            return self._project

    async def _ask(self) -> _Project:
        try:
            me = await self._api.send(Request("GET", "/v3/whoami"))
        except errors.NotFound as error:
            message = f"{error}; check TOGETHER_BASE_URL, which takes no version"
            raise errors.Unavailable(message, status=error.status) from None
        if me.get("project"):
            return understood(lambda: _project(me["project"]))
        if not self._wanted_project:
            raise errors.Unauthorized(
                "The API key belongs to an organization: set TOGETHER_PROJECT_ID"
            )
        mine = await self._lists.read("/v1/projects", _project, Priority.INTERACTIVE)
        for project in mine:
            if project.id == self._wanted_project:
                return project
        raise errors.Forbidden(f"The API key has no access to project {self._wanted_project}")

    async def _path(self, *segments: str) -> str:
        project = await self._of_key()
        return "/".join(("/v2/projects", *(quote(s, safe="") for s in (project.id, *segments))))

    async def _read(self, path: str, parse: Callable[[Json], T]) -> T:
        answer = await self._api.send(Request("GET", path))
        return understood(lambda: parse(answer))

    async def _write(self, request: Request, parse: Callable[[Json], T]) -> T:
        answer = await self._api.send(request)
        return understood(lambda: parse(answer), errors.Ambiguous)


def connections(may_write: Callable[[], bool] = lambda: True) -> httpx.AsyncClient:
    """Connections for any number of keys.

    Args:
        may_write: asked right before a request that may change something is written.
    """
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=16)
    headers = {"User-Agent": f"together-operator/{__version__}"}
    hooks = {"request": [fence(may_write)]}
    return httpx.AsyncClient(limits=limits, headers=headers, event_hooks=hooks)


def _project(data: Json) -> _Project:
    return _Project(id=str(data.get("id") or ""), slug=str(data.get("slug") or ""))
