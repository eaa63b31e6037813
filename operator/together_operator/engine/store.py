"""The newest body seen of each object, whoever saw it: the watch or our own writes' answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Body = Mapping[str, Any]


class Key(NamedTuple):
    """Identity of an object within one kind."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def key_of(body: Body) -> Key:
    """The key of an object."""
    metadata = body["metadata"]
    return Key(metadata["namespace"], metadata["name"])


class Store:
    """Newest bodies by key.

    resourceVersions of one kind are compared as integers, which Kubernetes guarantees since 1.35
    (KEP-5504) and which etcd-backed servers have always done.
    """

    def __init__(self) -> None:
        self._bodies: dict[Key, Body] = {}

    def __len__(self) -> int:
        return len(self._bodies)

    def observe(self, body: Body) -> bool:
        """Remember `body` unless it is known already; true when it was news.

        The watch's echo of our own write is none: the write's answer was remembered.
        """
        key = key_of(body)
        known = self._bodies.get(key)
        if known is not None and _version(known) >= _version(body):
            return False
        self._bodies[key] = _trimmed(body)
        return True

    def get(self, key: Key) -> Body | None:
        """The newest body seen, or None."""
        return self._bodies.get(key)

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._bodies.pop(key, None)

    def keys(self) -> list[Key]:
        """All keys known now."""
        return list(self._bodies)

    def in_namespace(self, namespace: str) -> Iterator[Body]:
        """Newest bodies of one namespace."""
        return (body for key, body in self._bodies.items() if key.namespace == namespace)


def _version(body: Body) -> int:
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _trimmed(body: Body) -> Body:
    """Without managedFields, which nobody reads and which are half of a body's memory."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return {**body, "metadata": metadata}
