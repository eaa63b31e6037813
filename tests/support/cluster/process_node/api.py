"""The few calls that a node makes to the API server, on plain JSON objects.

The kubernetes package would do, but importing its models takes 0.9 s, a third of what the whole
cluster needs to start.
"""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

Object = dict[str, Any]
"""A Kubernetes object as the API server sends it."""

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
WATCH_SECONDS = 300


class APIError(Exception):
    """The API server answered with an error, or not at all (``status`` 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class KubeAPI:
    """A connection to the API server as one user; use it in ``async with``."""

    def __init__(self, server: str, token: str, authority: Path) -> None:
        """Describe the connection.

        :param server: address, such as ``https://127.0.0.1:6443``.
        :param authority: PEM file with the certificate authority that vouches for the server.
        """
        self._server = server
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(authority))

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {self._token}", "User-Agent": "process-node"},
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=30),
        )
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, **parameters: str) -> Object:
        return await self._request("GET", path, parameters=parameters)

    async def create(self, path: str, body: Object) -> Object:
        return await self._request("POST", path, body=body)

    async def patch(self, path: str, body: Object, kind: str = MERGE_PATCH) -> Object:
        return await self._request("PATCH", path, body=body, content_type=kind)

    async def delete(self, path: str, body: Object) -> Object:
        return await self._request("DELETE", path, body=body)

    async def watch(self, path: str, **parameters: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield (type, object) until the server ends the watch.

        :raises APIError: 410 when the resource version is too old.
        """
        query = {"watch": "true", "timeoutSeconds": str(WATCH_SECONDS), **parameters}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        try:
            async with self._session.get(
                self._server + path, params=query, timeout=timeout
            ) as response:
                await _check(response)
                pending = bytearray()
                async for chunk in response.content.iter_any():
                    pending += chunk
                    *lines, rest = pending.split(b"\n")
                    pending = rest
                    for line in lines:
                        yield _event(json.loads(line))
        except (aiohttp.ClientError, OSError) as error:
            raise APIError(0, str(error)) from error

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        parameters: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        data = None if body is None else json.dumps(body)
        headers = {} if data is None else {"Content-Type": content_type}
        try:
            async with self._session.request(
                method, self._server + path, data=data, params=parameters, headers=headers
            ) as response:
                await _check(response)
                result: Object = await response.json()
                return result
        except (aiohttp.ClientError, OSError) as error:
            raise APIError(0, str(error)) from error


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 400:
        return
    text = await response.text()
    try:
        message = json.loads(text).get("message", text)
    except ValueError:
        message = text
    raise APIError(response.status, message)


def _event(event: Object) -> tuple[str, Object]:
    if event["type"] == "ERROR":
        raise APIError(event["object"].get("code", 0), event["object"].get("message", ""))
    return event["type"], event["object"]
