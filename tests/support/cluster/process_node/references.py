"""What a pod refers to: Secrets, ConfigMaps, and fields of its own."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.api import APIError

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from tests.support.cluster.process_node.api import KubeAPI, Object

NOT_FOUND = 404


class ReferenceMissingError(Exception):
    """Something that the pod refers to isn't there (yet); worded as the kubelet words it."""


class References:
    """Looks up what one pod refers to."""

    def __init__(self, api: KubeAPI, pod: Object) -> None:
        self._api = api
        self._pod = pod
        self._namespace = pod["metadata"]["namespace"]

    async def secret(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """Return a Secret's data; nothing when it is optional and not there.

        :raises ReferenceMissingError: when it isn't there.
        """
        found = await self._find("secrets", "secret", name, optional=optional)
        return {key: base64.b64decode(value) for key, value in found.get("data", {}).items()}

    async def config_map(self, name: str, *, optional: bool = False) -> dict[str, bytes]:
        """Return a ConfigMap's data; nothing when it is optional and not there.

        :raises ReferenceMissingError: when it isn't there.
        """
        found = await self._find("configmaps", "configmap", name, optional=optional)
        data = {key: value.encode() for key, value in found.get("data", {}).items()}
        binary = found.get("binaryData", {})
        return data | {key: base64.b64decode(value) for key, value in binary.items()}

    async def secret_key(self, selector: Object) -> bytes | None:
        """Return the value that a secretKeyRef names; None when it is optional and not there."""
        data = await self.secret(selector["name"], optional=selector.get("optional", False))
        return self._key("Secret", selector, data)

    async def config_map_key(self, selector: Object) -> bytes | None:
        """Return the value that a configMapKeyRef names; None when optional and not there."""
        data = await self.config_map(selector["name"], optional=selector.get("optional", False))
        return self._key("ConfigMap", selector, data)

    def field(self, path: str) -> str:
        """Return the pod's field that a fieldRef names.

        :raises ReferenceMissingError: for a field that the downward API hasn't got.
        """
        metadata, spec = self._pod["metadata"], self._pod["spec"]
        for kind in ("labels", "annotations"):
            if path.startswith(f"metadata.{kind}['"):
                key = path.removeprefix(f"metadata.{kind}['").removesuffix("']")
                return str(metadata.get(kind, {}).get(key, ""))
            if path == f"metadata.{kind}":
                pairs = sorted(metadata.get(kind, {}).items())
                return "\n".join(f'{key}="{value}"' for key, value in pairs)
        values = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": spec["nodeName"],
            "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
            "status.hostIP": "127.0.0.1",
            "status.podIP": "127.0.0.1",
        }
        if path not in values:
            raise ReferenceMissingError(f"the process node has no field {path!r}")
        return str(values[path])

    def resource(self, selector: Object, container: Object) -> str:
        """Return what a resourceFieldRef names, rounded up to whole divisors.

        :raises ReferenceMissingError: for a limit or request that the container doesn't set.
        """
        # Importing it takes 0.9 s, and few pods need it.
        from kubernetes.utils import parse_quantity

        kind, _, name = selector["resource"].partition(".")
        quantity = container.get("resources", {}).get(kind, {}).get(name)
        if quantity is None:
            raise ReferenceMissingError(
                f"the container sets no {selector['resource']}, and a process node has no default"
            )
        parse: Callable[[str], Decimal] = parse_quantity
        return str(math.ceil(parse(quantity) / (parse(selector.get("divisor", "1")) or 1)))

    async def _find(self, resource: str, word: str, name: str, *, optional: bool) -> Object:
        try:
            return await self._api.get(f"/api/v1/namespaces/{self._namespace}/{resource}/{name}")
        except APIError as error:
            if error.status != NOT_FOUND:
                raise
            if optional:
                return {}
            raise ReferenceMissingError(f'{word} "{name}" not found') from error

    def _key(self, kind: str, selector: Object, data: dict[str, bytes]) -> bytes | None:
        name, key = selector["name"], selector["key"]
        if key not in data and not selector.get("optional", False):
            raise ReferenceMissingError(
                f"couldn't find key {key} in {kind} {self._namespace}/{name}"
            )
        return data.get(key)
