"""Kubernetes through `kubernetes.aio`: our objects, and Secrets by name.

Bodies stay dictionaries: the API server has validated them, and a typed copy of each would cost
more than all the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from pydantic import SecretStr

from together_operator.adapters.core_v1 import CoreV1
from together_operator.adapters.rest import JSON, KubeRest
from together_operator.api.v1alpha1 import GROUP, VERSION
from together_operator.domain import errors
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.engine.store import Body, Key, key_of

PAGE = 500
"""Objects in one answer to a list."""

METADATA = f"{JSON};as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
"""What to accept for a list without specs and statuses."""

_EVERYWHERE = f"/apis/{GROUP}/{VERSION}/{{plural}}"
_NAMESPACED = f"/apis/{GROUP}/{VERSION}/namespaces/{{namespace}}/{{plural}}"
_ONE = _NAMESPACED + "/{name}"

_BY_STATUS: dict[int, type[errors.RemoteError]] = {
    400: errors.Rejected,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    # 410 is none of them: a list took longer than its token holds, and begins anew.
    422: errors.Rejected,
    429: errors.RateLimited,
}


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the client become ours.

    A write whose answer was lost is `Unavailable` too: each of them carries a resourceVersion or
    a unique name, so that repeating it can't do it twice.
    """
    try:
        yield
    except ApiException as error:
        kind = _BY_STATUS.get(error.status or 0, errors.Unavailable)
        raise kind(f"Kubernetes: {_message(error)}", status=error.status) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise errors.Unavailable(f"Kubernetes can't be reached: {type(error).__name__}") from None
    except ValueError:
        raise errors.Unavailable("Kubernetes' answer is not JSON") from None


def _message(error: ApiException) -> str:
    """The API server's own words; they name objects and fields, and hold no values of Secrets."""
    try:
        message = json.loads(error.body or "{}").get("message")
    except (ValueError, AttributeError):
        message = None
    return str(message or error.reason or "no reason given")[:500]


class KubeObjects:
    """`Objects` of one kind of ours, in `namespaces` or, without any, in all of them."""

    def __init__(self, api: client.ApiClient, plural: str, namespaces: Sequence[str] = ()) -> None:
        self._rest = KubeRest(api)
        self._plural = plural
        self._namespaces = namespaces

    async def get(self, key: Key) -> Body | None:
        """The live object, or None."""
        try:
            with translated():
                found: Body = await self._rest.ask("GET", _ONE, self._names(key))
        except errors.NotFound:
            return None
        return found

    async def bodies(self) -> AsyncIterator[Body]:
        """Each live object in all namespaces, read in pages."""
        async for body in self._in(None):
            yield body

    async def list(self) -> Sequence[Body]:
        """All objects of the namespaces that are served."""
        return [body async for body in self._served()]

    async def versions(self) -> Mapping[Key, int]:
        """The resourceVersion of each object of the namespaces that are served."""
        found = self._served(METADATA)
        return {key_of(body): int(body["metadata"]["resourceVersion"]) async for body in found}

    async def _served(self, accept: str = JSON) -> AsyncIterator[Body]:
        for namespace in self._namespaces or (None,):
            async for body in self._in(namespace, accept):
                yield body

    async def _in(self, namespace: str | None, accept: str = JSON) -> AsyncIterator[Body]:
        """Each live object of one namespace or, without one, of all, read in pages."""
        names = {"plural": self._plural}
        path = _EVERYWHERE
        if namespace is not None:
            path, names = _NAMESPACED, {**names, "namespace": namespace}
        query = {"limit": str(PAGE)}
        while True:
            with translated():
                page = await self._rest.ask("GET", path, names, query=query, accept=accept)
            # The API server writes an empty list of PartialObjectMetadata as null.
            for body in page["items"] or ():
                yield body
            token = page["metadata"].get("continue")
            if not token:
                return
            query = {"limit": str(PAGE), "continue": token}

    def _names(self, key: Key) -> dict[str, str]:
        return {"plural": self._plural, "namespace": key.namespace, "name": key.name}

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status; the body's resourceVersion is the precondition."""
        path, after = f"{_ONE}/status", {**body, "status": dict(status)}
        with translated():
            found: Body = await self._rest.ask("PUT", path, self._names(key_of(body)), body=after)
        return found

    async def delete(self, key: Key, uid: str) -> None:
        """Ask for the deletion of the object with that UID; one that is gone already is fine."""
        options = {"preconditions": {"uid": uid}}
        with suppress(errors.NotFound), translated():
            await self._rest.ask("DELETE", _ONE, self._names(key), body=options)

    async def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        """Replace the finalizers; the body's resourceVersion is the precondition."""
        version = body["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": list(finalizers), "resourceVersion": version}}
        try:
            with translated():
                found: Body = await self._rest.ask(
                    "PATCH", _ONE, self._names(key_of(body)), body=patch
                )
        except errors.NotFound:
            return None
        return found


class KubeSecrets:
    """`Secrets`, by `get` only."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core = CoreV1(api)

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """All keys of a Secret; a value that isn't text is told of when it is asked for."""
        try:
            with translated():
                secret = await self._core.secret(namespace, name)
        except errors.NotFound:
            raise errors.SecretUnavailable(name, None, "there is no such Secret here") from None
        except errors.Forbidden:
            message = "the operator may not read it (RBAC)"
            raise errors.SecretUnavailable(name, None, message) from None
        data = secret.get("data") or {}
        return _SecretValues(name, data)


class KubeConfigMaps:
    """`ConfigMaps`, by name only."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core = CoreV1(api)

    async def read(self, namespace: str, name: str, owner_uid: str) -> PublishedMap | None:
        """The ConfigMap, and whether the object with that UID owns it."""
        found = await self._found(namespace, name)
        if found is None:
            return None
        return PublishedMap(found.get("data") or {}, _is_owned(found, owner_uid))

    async def write(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create a ConfigMap, or replace the one of the same owner."""
        name, [owner] = manifest["metadata"]["name"], manifest["metadata"]["ownerReferences"]
        found = await self._found(namespace, name)
        if found is None:
            with translated():
                await self._core.create_config_map(namespace, manifest)
            return
        if not _is_owned(found, owner["uid"]):
            raise errors.Conflict(f"ConfigMap {name} is not this object's")
        version = found["metadata"]["resourceVersion"]
        body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
        with translated():
            await self._core.replace_config_map(namespace, body)

    async def delete(self, namespace: str, name: str, owner_uid: str) -> None:
        """Delete the ConfigMap if that object owns it."""
        found = await self._found(namespace, name)
        if found is None or not _is_owned(found, owner_uid):
            return
        with suppress(errors.NotFound), translated():
            await self._core.delete_config_map(namespace, name, found["metadata"]["uid"])

    async def _found(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        try:
            with translated():
                return await self._core.config_map(namespace, name)
        except errors.NotFound:
            return None


def _is_owned(found: Mapping[str, Any], uid: str) -> bool:
    owners = found["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid for owner in owners)


class _SecretValues(Mapping[str, SecretStr]):
    """A Secret's values, decoded when they are looked at: others may be binary.

    Raises:
        SecretUnavailable: the value that is asked for is not text.
    """

    def __init__(self, name: str, data: Mapping[str, str]) -> None:
        self._name, self._data = name, data

    def __getitem__(self, key: str) -> SecretStr:
        value = self._data[key]
        try:
            return SecretStr(base64.b64decode(value).decode())
        except (binascii.Error, UnicodeDecodeError):
            problem = "the value is not text in UTF-8"
            raise errors.SecretUnavailable(self._name, key, problem) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


async def cluster_id(api: client.ApiClient) -> str:
    """UID of the namespace `kube-system`, which is this cluster's identity."""
    with translated():
        namespace = await CoreV1(api).namespace("kube-system")
    return str(namespace["metadata"]["uid"])
