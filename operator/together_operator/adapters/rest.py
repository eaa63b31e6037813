"""JSON requests to Kubernetes, on the client library's own connection, login and errors.

The library's classes of methods (`CustomObjectsApi`, `CoreV1Api`) are prepared by pydantic when
they are imported, each argument is validated and each body copied again at every call: a fifth of
the CPU of a start, and a tenth of that of a burst, for bodies that the API server validates anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote, urlencode

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from pydantic_core import from_json

TIMEOUT = 30
"""Seconds for one request; the API server's own limit for a write is 34."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class KubeRest:
    """Every call raises the library's `ApiException`, or aiohttp's errors.

    Args:
        api: connections and login.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def ask(
        self,
        method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"],
        path: str,
        names: Mapping[str, str],
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The JSON of a successful answer. `names` fill the path, each quoted; a PATCH merges."""
        return from_json(await self._send(method, path, names, query, body, JSON))

    async def content(
        self, path: str, names: Mapping[str, str], *, query: Mapping[str, str], accept: str
    ) -> bytes:
        """What a successful GET answers, as it is."""
        return await self._send("GET", path, names, query, None, accept)

    async def text(self, path: str, names: Mapping[str, str], *, query: Mapping[str, str]) -> str:
        """What a successful GET answers, read as text: a log."""
        answer = await self.content(path, names, query=query, accept="*/*")
        return answer.decode(errors="replace")

    async def _send(
        self,
        method: str,
        path: str,
        names: Mapping[str, str],
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        accept: str,
    ) -> bytes:
        filled = path.format_map({name: quote(value, safe="") for name, value in names.items()})
        headers = {
            **self._api.default_headers,
            "Accept": accept,
            "Content-Type": MERGE_PATCH if method == "PATCH" else JSON,
        }
        # Before each request, since a service account's token is replaced every hour.
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], filled, method, body)
        url = f"{self._api.configuration.host}{filled}"
        if query:
            url = f"{url}?{urlencode(query)}"
        answer = await self._api.call_api(method, url, headers, body, [], _request_timeout=TIMEOUT)
        content: bytes = await answer.read()  # type: ignore[no-untyped-call]
        if not 200 <= answer.status < 300:
            raise ApiException.from_response(
                http_resp=answer, body=content.decode(errors="replace"), data=None
            )
        return content
