"""The few calls to Kubernetes' core API, on the client library's own connection and login.

The library's `CoreV1Api` has some 300 methods, which pydantic prepares when it is imported: 1.2 CPU
seconds and 24 MB for the seven that are used here, in a start that has 5 seconds altogether.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from kubernetes.aio import client

TIMEOUT = 30
"""Seconds for one request; the API server's own limit for a write is 34."""

_NAMESPACED = "/api/v1/namespaces/{namespace}/"


class CoreV1:
    """Answers are plain JSON. Every call raises the library's `ApiException`, or aiohttp's errors.

    Args:
        api: connections and login.
    """

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    async def namespace(self, name: str) -> dict[str, Any]:
        """One namespace."""
        found: dict[str, Any] = await self._ask("GET", "/api/v1/namespaces/{name}", name=name)
        return found

    async def secret(self, namespace: str, name: str) -> dict[str, Any]:
        """One Secret."""
        found: dict[str, Any] = await self._ask(
            "GET", _NAMESPACED + "secrets/{name}", namespace=namespace, name=name
        )
        return found

    async def config_map(self, namespace: str, name: str) -> dict[str, Any]:
        """One ConfigMap."""
        found: dict[str, Any] = await self._ask(
            "GET", _NAMESPACED + "configmaps/{name}", namespace=namespace, name=name
        )
        return found

    async def create_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create a ConfigMap."""
        await self._ask("POST", _NAMESPACED + "configmaps", body=manifest, namespace=namespace)

    async def replace_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Replace a ConfigMap; its resourceVersion is the precondition."""
        name = manifest["metadata"]["name"]
        path = _NAMESPACED + "configmaps/{name}"
        await self._ask("PUT", path, body=manifest, namespace=namespace, name=name)

    async def delete_config_map(self, namespace: str, name: str, uid: str) -> None:
        """Delete the ConfigMap that has a UID."""
        options = {"preconditions": {"uid": uid}}
        path = _NAMESPACED + "configmaps/{name}"
        await self._ask("DELETE", path, body=options, namespace=namespace, name=name)

    async def pods(self, namespace: str, label_selector: str) -> list[dict[str, Any]]:
        """Pods by their labels."""
        query = {"labelSelector": label_selector}
        listed = await self._ask("GET", _NAMESPACED + "pods", query=query, namespace=namespace)
        found: list[dict[str, Any]] = listed["items"]
        return found

    async def last_line(self, namespace: str, pod: str, container: str) -> str:
        """The end of a container's log."""
        found: str = await self._ask(
            "GET",
            _NAMESPACED + "pods/{pod}/log",
            query={"container": container, "tailLines": "1"},
            answer="str",
            namespace=namespace,
            pod=pod,
        )
        return found

    async def _ask(
        self,
        method: Literal["GET", "POST", "PUT", "DELETE"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        answer: Literal["object", "str"] = "object",
        **names: str,
    ) -> Any:
        """`names` fill the path, each quoted."""
        verb, url, headers, content, _ = await self._api.param_serialize(
            method=method,
            resource_path=path,
            path_params=names,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json" if answer == "object" else "*/*"},
            body=dict(body) if body is not None else None,
            post_params=[],
            files={},
            auth_settings=["BearerToken"],
            collection_formats={},
        )
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self._api.call_api(
            verb, url, headers, content, [], _request_timeout=TIMEOUT
        )
        await response.read()  # type: ignore[no-untyped-call]
        return self._api.response_deserialize(
            response_data=response, response_types_map={"2XX": answer}
        ).data
