"""The few calls to Kubernetes' core API. Answers are plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubernetes.aio import client

from together_operator.adapters.rest import KubeRest

_CONFIG_MAPS = "/api/v1/namespaces/{namespace}/configmaps"
_CONFIG_MAP = f"{_CONFIG_MAPS}/{{name}}"
_SECRETS = "/api/v1/namespaces/{namespace}/secrets/{name}"
_PODS = "/api/v1/namespaces/{namespace}/pods"

Body = dict[str, Any]


class CoreV1:
    """Every call raises what `KubeRest` raises."""

    def __init__(self, api: client.ApiClient) -> None:
        self._rest = KubeRest(api)

    async def namespace(self, name: str) -> Body:
        """One namespace."""
        found: Body = await self._rest.ask("GET", "/api/v1/namespaces/{name}", {"name": name})
        return found

    async def secret(self, namespace: str, name: str) -> Body:
        """One Secret."""
        found: Body = await self._rest.ask("GET", _SECRETS, _one(namespace, name))
        return found

    async def config_map(self, namespace: str, name: str) -> Body:
        """One ConfigMap."""
        found: Body = await self._rest.ask("GET", _CONFIG_MAP, _one(namespace, name))
        return found

    async def create_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create a ConfigMap."""
        await self._rest.ask("POST", _CONFIG_MAPS, {"namespace": namespace}, body=manifest)

    async def replace_config_map(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Replace a ConfigMap; its resourceVersion is the precondition."""
        place = _one(namespace, manifest["metadata"]["name"])
        await self._rest.ask("PUT", _CONFIG_MAP, place, body=manifest)

    async def delete_config_map(self, namespace: str, name: str, uid: str) -> None:
        """Delete the ConfigMap that has a UID."""
        options = {"preconditions": {"uid": uid}}
        await self._rest.ask("DELETE", _CONFIG_MAP, _one(namespace, name), body=options)

    async def pods(self, namespace: str, label_selector: str) -> list[Body]:
        """Pods by their labels."""
        query = {"labelSelector": label_selector}
        listed = await self._rest.ask("GET", _PODS, {"namespace": namespace}, query=query)
        found: list[Body] = listed["items"]
        return found

    async def last_line(self, namespace: str, pod: str, container: str) -> str:
        """The end of a container's log."""
        query = {"container": container, "tailLines": "1"}
        return await self._rest.text(f"{_PODS}/{{name}}/log", _one(namespace, pod), query=query)


def _one(namespace: str, name: str) -> dict[str, str]:
    return {"namespace": namespace, "name": name}
