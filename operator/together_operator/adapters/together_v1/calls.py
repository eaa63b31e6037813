"""The calls of the v1 API that are used, one method a route, in its own JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import SecretStr

from together_operator.adapters.together_v2.http import ApiClient, Request
from together_operator.domain import errors
from together_operator.ports import Priority

Json = dict[str, Any]


class Calls(Protocol):
    """The routes. Each raises what `ModelProvider` documents; `body` is sent as it is."""

    async def whoami(self) -> Json:
        """GET /whoami."""
        ...

    async def list_models(self, priority: Priority) -> list[Json]:
        """GET /models: public models too, all on one page."""
        ...

    async def upload_model(self, body: Mapping[str, Any], secrets: tuple[SecretStr, ...]) -> Json:
        """POST /models; `secrets` are strings in the body that must never show."""
        ...

    async def get_job(self, job_id: str) -> Json:
        """GET /jobs/{id}."""
        ...

    async def list_hardware(self, model: str) -> list[Json]:
        """GET /hardware; with a model, only what it can run on."""
        ...

    async def list_endpoints(self, priority: Priority) -> list[Json]:
        """GET /endpoints: the caller's dedicated ones, without their details."""
        ...

    async def get_endpoint(self, endpoint_id: str, priority: Priority) -> Json:
        """GET /endpoints/{id}."""
        ...

    async def create_endpoint(self, body: Mapping[str, Any]) -> Json:
        """POST /endpoints: money is spent from here on."""
        ...

    async def update_endpoint(self, endpoint_id: str, body: Mapping[str, Any]) -> Json:
        """PATCH /endpoints/{id}."""
        ...

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """DELETE /endpoints/{id}, whatever its state."""
        ...


class HttpCalls:
    """The calls over HTTP. `api` has a base URL that ends before the routes, that is, in /v1."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def whoami(self) -> Json:
        """GET /whoami."""
        return await self._api.send(Request("GET", "/whoami"))

    async def list_models(self, priority: Priority) -> list[Json]:
        """GET /models."""
        return await self._api.read_list(Request("GET", "/models", priority))

    async def upload_model(self, body: Mapping[str, Any], secrets: tuple[SecretStr, ...]) -> Json:
        """POST /models."""
        return await self._api.send(Request("POST", "/models", body=dict(body), secrets=secrets))

    async def get_job(self, job_id: str) -> Json:
        """GET /jobs/{id}."""
        return await self._api.send(Request("GET", f"/jobs/{quote(job_id, safe='')}"))

    async def list_hardware(self, model: str) -> list[Json]:
        """GET /hardware."""
        params = {"model": model} if model else {}
        return _data(await self._api.send(Request("GET", "/hardware", params=params)))

    async def list_endpoints(self, priority: Priority) -> list[Json]:
        """GET /endpoints."""
        params = {"type": "dedicated", "mine": "true"}
        return _data(await self._api.send(Request("GET", "/endpoints", priority, params=params)))

    async def get_endpoint(self, endpoint_id: str, priority: Priority) -> Json:
        """GET /endpoints/{id}."""
        return await self._api.send(Request("GET", _endpoint(endpoint_id), priority))

    async def create_endpoint(self, body: Mapping[str, Any]) -> Json:
        """POST /endpoints."""
        return await self._api.send(Request("POST", "/endpoints", body=dict(body)))

    async def update_endpoint(self, endpoint_id: str, body: Mapping[str, Any]) -> Json:
        """PATCH /endpoints/{id}."""
        return await self._api.send(Request("PATCH", _endpoint(endpoint_id), body=dict(body)))

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """DELETE /endpoints/{id}."""
        await self._api.send(Request("DELETE", _endpoint(endpoint_id)))


def _data(answer: Json) -> list[Json]:
    # An item must not be passed over: what a list lacks counts as gone.
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise errors.Unavailable("Together's answer can't be understood: data is missing or odd")
    return data


def _endpoint(endpoint_id: str) -> str:
    return f"/endpoints/{quote(endpoint_id, safe='')}"
