"""Kubernetes through `kubernetes.aio`: our objects, and Secrets by name.

Bodies stay dictionaries: the API server has validated them, and a typed copy of each would cost
more than all the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import aiohttp
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from pydantic import BaseModel, Field, SecretStr
from pydantic_core import from_json

from together_operator.adapters.core_v1 import CoreV1
from together_operator.adapters.rest import JSON, KubeRest
from together_operator.api.v1alpha1 import GROUP, VERSION
from together_operator.domain import errors
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.engine.store import Body, Key, key_of

T = TypeVar("T")

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


class _Identity(BaseModel):
    namespace: str
    name: str
    version: int = Field(alias="resourceVersion")


class _Entry(BaseModel):
    metadata: _Identity


class _Remainder(BaseModel):
    token: str | None = Field(default=None, alias="continue")


class _Roll(BaseModel):
    """A list of PartialObjectMetadata; the API server writes an empty one as null.

    Half of what `from_json` takes: managedFields, nearly all there is, become no dictionaries.
    """

    items: list[_Entry] | None
    metadata: _Remainder


def _versions(answer: bytes) -> tuple[Iterable[tuple[Key, int]], str | None]:
    roll = _Roll.model_validate_json(answer)
    there = (entry.metadata for entry in roll.items or ())
    return [(Key(m.namespace, m.name), m.version) for m in there], roll.metadata.token or None


def _bodies(answer: bytes) -> tuple[Iterable[Body], str | None]:
    page = from_json(answer)
    return page["items"] or (), page["metadata"].get("continue") or None


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
        async for page in self._pages((), JSON, _bodies):
            for body in page:
                yield body

    async def list(self) -> Sequence[Body]:
        """All objects of the namespaces that are served."""
        pages = self._pages(self._namespaces, JSON, _bodies)
        return [body async for page in pages for body in page]

    async def versions(self) -> Mapping[Key, int]:
        """The resourceVersion of each object of the namespaces that are served."""
        pages = self._pages(self._namespaces, METADATA, _versions)
        return {key: version async for page in pages for key, version in page}

    async def _pages(
        self,
        namespaces: Sequence[str],
        accept: str,
        decode: Callable[[bytes], tuple[Iterable[T], str | None]],
    ) -> AsyncIterator[Iterable[T]]:
        """What `decode` finds in each page of the namespaces or, without any, of all."""
        for namespace in namespaces or (None,):
            path, names = _EVERYWHERE, {"plural": self._plural}
            if namespace is not None:
                path, names = _NAMESPACED, {**names, "namespace": namespace}
            token: str | None = ""
            while token is not None:
                query = {"limit": str(PAGE), **({"continue": token} if token else {})}
                with translated():
                    answer = await self._rest.content(path, names, query=query, accept=accept)
                    found, token = decode(answer)
                yield found

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
