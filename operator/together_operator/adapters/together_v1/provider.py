"""`ModelProvider` over Together's v1 API.

v1 creates a model by importing it and an endpoint by deploying to it, where the port has two steps
each. The first of the two only checks that the name is free, and answers with a placeholder; the
second does both. Nothing is kept in memory that a new process would miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import httpx
from pydantic import SecretStr

from together_operator.adapters.rate_limit import RateLimiter
from together_operator.adapters.together_v1 import wire
from together_operator.adapters.together_v1.calls import Calls, HttpCalls
from together_operator.adapters.together_v2.fields import understood
from together_operator.adapters.together_v2.http import ApiClient, Json, OnCall
from together_operator.adapters.together_v2.provider import connections
from together_operator.domain import errors
from together_operator.domain.together import (
    V1,
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

_HUB = "https://huggingface.co/"


class TogetherV1:
    """Together's v1 management API with one key.

    Args:
        base_url: as for v2, e.g. `https://api.together.ai`; `/v1` may be there already.
        http: connections to share with other keys; by default the provider has its own.
        calls: how the routes are called, by default over HTTP.
    """

    abilities = V1

    def __init__(
        self,
        key: SecretStr,
        base_url: str,
        *,
        http: httpx.AsyncClient | None = None,
        limiter: RateLimiter | None = None,
        on_call: OnCall = lambda *_: None,
        calls: Calls | None = None,
    ) -> None:
        self._http = http or connections()
        self._owns_http = http is None
        self._calls = calls or HttpCalls(
            ApiClient(
                key,
                base_url.rstrip("/").removesuffix("/v1") + "/v1",
                http=self._http,
                limiter=limiter or RateLimiter(),
                on_call=on_call,
            )
        )
        self._project: wire.Project | None = None
        self._asking = asyncio.Lock()
        self._details: dict[str, wire.DedicatedEndpoint] = {}

    async def close(self) -> None:
        """Close the connections, if they are the provider's own."""
        if self._owns_http:
            await self._http.aclose()

    async def project_slug(self) -> str:
        """The slug that qualifies names of models of this key."""
        return (await self._of_key()).slug

    # Models.

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """The project's models whose import has ended."""
        owner = await self._of_key()
        listed = await self._calls.list_models(priority)
        found = understood(lambda: [wire.model(item, owner) for item in listed])
        return [model for model in found if model is not None]

    async def get_model(self, model_id: str) -> Model:
        """A model, or the placeholder for one: no name is ever not found."""
        found = await self._listed(model_id)
        return found or wire.placeholder_model(model_id, await self._of_key())

    async def create_model(self, new: NewModel) -> Model:
        """A placeholder: the import creates the model. A taken name is a `Conflict`."""
        owner = await self._of_key()
        name = f"{owner.slug}/{new.name.removeprefix(f'{owner.slug}/')}"
        if await self._listed(name) is not None:
            raise errors.Conflict(f"A model named {name} is at Together already", status=409)
        return wire.placeholder_model(name, owner)

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Not in v1, except for a change of nothing."""
        if change == ModelChange():
            return await self.get_model(model_id)
        raise _unsupported("change description or visibility of a model")

    async def delete_model(self, model_id: str) -> None:
        """Not in v1; a model that is not there is `NotFound`."""
        if await self._listed(model_id) is None:
            raise errors.NotFound(f"There is no model {model_id}", status=404)
        raise _unsupported(f"delete models, and so not {model_id}")

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """One, as soon as the model is there."""
        found = await self._listed(model_id)
        return [wire.revision(found)] if found is not None else []

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """Empty: v1 has no catalog of base models, and needs none."""
        del search
        return []

    # Imports.

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """Those that have made a model; v1 lists no jobs."""
        return [wire.listed_import(model) for model in await self.list_models(priority)]

    async def get_import(self, import_id: str) -> Import:
        """One job, or the import that stands for a listed model."""
        owner = await self._of_key()
        model_id = import_id.removeprefix(wire.LISTED_IMPORT)
        if model_id == import_id:
            answer = await self._calls.get_job(import_id)
            return understood(lambda: wire.job(answer, owner))
        found = await self._listed(model_id)
        if found is None:
            raise errors.NotFound(f"There is no model {model_id}", status=404)
        return wire.listed_import(found)

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Create the model that `new` describes by importing it; a taken name is a `Conflict`."""
        if await self._listed(model_id) is not None:
            raise _unsupported(f"import into a model that is there, as {model_id} is")
        url = remote_url.get_secret_value()
        body: Json = {
            "model_name": model_id.rpartition("/")[2],
            "model_source": url.removeprefix(_HUB),
            "model_type": new.type if new is not None else "model",
        }
        if new is not None and new.description:
            body["description"] = new.description
        if new is not None and new.base_model_id and new.type == "adapter":
            body["lora_model"] = new.base_model_id
        if token is not None:
            body["hf_token"] = token.get_secret_value()
        secrets = (remote_url,) if token is None else (remote_url, token)
        answer = await self._calls.upload_model(body, secrets)
        return understood(lambda: wire.started_job(answer, model_id), errors.Ambiguous)

    # What a model can run on.

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """The hardware that a model can run on."""
        found = await self._calls.list_hardware(model_id)
        return understood(lambda: [wire.config(item) for item in found])

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """All hardware, with its price."""
        found = await self._calls.list_hardware("")
        return understood(lambda: [wire.instance_type(item) for item in found])

    # Endpoints and deployments.

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """The project's dedicated endpoints.

        The list has neither display names nor hardware: each endpoint is read once, too. Two of
        the same name count as one endpoint with two deployments.
        """
        owner = await self._of_key()
        merged: dict[str, Endpoint] = {}
        for found in await self._dedicated(priority):
            seen = wire.endpoint(found, owner)
            twin = merged.get(seen.id)
            merged[seen.id] = seen if twin is None else _merged(twin, seen)
        return list(merged.values())

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """An endpoint, or the placeholder for one: no name is ever not found."""
        listed = await self.list_endpoints(Priority.INTERACTIVE)
        found = next((endpoint for endpoint in listed if endpoint.id == endpoint_id), None)
        return found or wire.placeholder_endpoint(endpoint_id, await self._of_key())

    async def create_endpoint(self, name: str) -> Endpoint:
        """A placeholder: the deployment creates the endpoint. A taken name is a `Conflict`."""
        found = await self.get_endpoint(name)
        if not found.placeholder:
            raise errors.Conflict(f"An endpoint named {name} is at Together already", status=409)
        return found

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Not in v1: all traffic of an endpoint goes to its only deployment."""
        del etag
        found = await self.get_endpoint(endpoint_id)
        if {share.deployment_id for share in split} == {s.deployment_id for s in found.traffic}:
            return found
        raise _unsupported("split the traffic of an endpoint")

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Nothing to do once the deployment is deleted; `Conflict` before that."""
        if not (await self.get_endpoint(endpoint_id)).placeholder:
            raise errors.Conflict(f"Endpoint {endpoint_id} has a deployment", status=409)

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """The endpoint's deployments: one, or none while it is a placeholder."""
        mine = [e for e in await self._dedicated(Priority.INTERACTIVE) if e.names[0] == endpoint_id]
        # The bounds may have been changed since they were read.
        fresh = [await self._detail(e.id, Priority.INTERACTIVE) for e in mine]
        return [wire.deployment(found) for found in fresh if found is not None]

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create the endpoint with its model; this is where money starts to be spent."""
        _check(new.tuning)
        there = await self.list_deployments(endpoint_id)
        if any(d.name == new.name for d in there):
            raise errors.Conflict(f"Deployment {endpoint_id}/{new.name} is there", status=409)
        if there:
            raise _unsupported(
                "have a second deployment on an endpoint: set spec.rollout.strategy to Recreate"
            )
        body: Json = {
            "model": _model_of(new.model),
            "hardware": new.config.rpartition("/")[2],
            "autoscaling": _bounds(new.min_replicas, new.max_replicas),
            "display_name": wire.display_name(endpoint_id, new.name),
            "state": "STARTED",
        }
        answer = await self._calls.create_endpoint(body)
        return wire.deployment(self._remembered(answer, errors.Ambiguous))

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """v1 can't be asked beforehand: the create itself tells."""

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """v1 has none."""
        del endpoint_id
        return []

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Not in v1."""
        del endpoint_id, new
        raise _unsupported("move traffic by rollouts")

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """Not in v1."""
        del endpoint_id, rollout_id, verb, reason
        raise _unsupported("move traffic by rollouts")

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Not in v1."""
        del endpoint_id, rollout_id
        raise _unsupported("move traffic by rollouts")

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """v1 tells no events."""
        del endpoint_id, deployment_id, types
        return []

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Set both bounds, and start what is stopped; 0/0 stops it."""
        del endpoint_id
        _check(tuning)
        if max_replicas == 0:
            body: Json = {"state": "STOPPED"}
        else:
            found = await self._calls.get_endpoint(deployment_id, Priority.INTERACTIVE)
            stopped = found.get("state") in wire.STOPPED_STATES
            body = {"autoscaling": _bounds(min_replicas, max_replicas)}
            body |= {"state": "STARTED"} if stopped else {}
        answer = await self._calls.update_endpoint(deployment_id, body)
        return wire.deployment(self._remembered(answer, errors.Ambiguous))

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Delete the endpoint with its model; `Conflict` unless it is stopped."""
        del endpoint_id
        found = await self._calls.get_endpoint(deployment_id, Priority.INTERACTIVE)
        if found.get("state") not in {"STOPPED", "ERROR"}:
            # v1 itself would delete it: what may still answer somebody is not to go by accident.
            raise errors.Conflict(f"Endpoint {deployment_id} is not stopped", status=409)
        await self._calls.delete_endpoint(deployment_id)
        self._details.pop(deployment_id, None)

    # Below: how it is asked.

    async def _of_key(self) -> wire.Project:
        """The project that this key works in; asked once."""
        async with self._asking:
            if self._project is None:
                answer = await self._calls.whoami()
                self._project = understood(lambda: wire.project(answer))
            return self._project

    async def _listed(self, model_id: str) -> Model | None:
        listed = await self.list_models(Priority.INTERACTIVE)
        return next((model for model in listed if model.id == model_id), None)

    async def _dedicated(self, priority: Priority) -> list[wire.DedicatedEndpoint]:
        """All endpoints: their state as it is now, their details as they were first read."""
        found: list[wire.DedicatedEndpoint] = []
        listed = await self._calls.list_endpoints(priority)
        for item in listed:
            endpoint_id = str(item.get("id") or "")
            known = self._details.get(endpoint_id) or await self._detail(endpoint_id, priority)
            if known is not None:
                found.append(wire.in_state(known, item.get("state")))
        self._details = {e.id: e for e in found}
        return found

    async def _detail(self, endpoint_id: str, priority: Priority) -> wire.DedicatedEndpoint | None:
        """An endpoint with its details; None when it went meanwhile."""
        try:
            return self._remembered(await self._calls.get_endpoint(endpoint_id, priority))
        except errors.NotFound:
            return None

    def _remembered(
        self, answer: Json, kind: type[errors.RemoteError] = errors.Unavailable
    ) -> wire.DedicatedEndpoint:
        found = understood(lambda: wire.dedicated_endpoint(answer), kind)
        self._details[found.id] = found
        return found


def _unsupported(what: str) -> errors.Unsupported:
    return errors.Unsupported(f"Together's v1 API can't {what}")


def _check(tuning: Tuning | None) -> None:
    # It takes an inactive_timeout, too, but does not tell it: nobody could see that it is kept.
    if tuning is not None and not tuning.is_default:
        raise _unsupported("scale by metrics and windows, or stop by itself when nobody asks")


def _bounds(min_replicas: int, max_replicas: int) -> Json:
    return {"min_replicas": min_replicas, "max_replicas": max_replicas}


def _model_of(resource: str) -> str:
    """The model's id in `projects/{p}/models/{id}[/revisions/{r}]`; v1's ids have a slash."""
    return resource.partition("/models/")[2].partition("/revisions/")[0]


def _merged(first: Endpoint, second: Endpoint) -> Endpoint:
    return replace(
        first,
        traffic=first.traffic + second.traffic,
        deployments=first.deployments + second.deployments,
    )
