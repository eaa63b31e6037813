"""The newest body seen of each object, whoever saw it: the watch or our own writes' answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
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
    """Newest bodies by key, kept as JSON text: a fifth of what dictionaries of them take.

    resourceVersions of one kind are compared as integers, which Kubernetes guarantees since 1.35
    (KEP-5504) and which etcd-backed servers have always done.

    Args:
        index: what an object refers to; `referring` finds it under each.
    """

    def __init__(self, index: Callable[[Body], Iterable[Key]] = lambda _: ()) -> None:
        self._index = index
        self._packed: dict[Key, tuple[int, bytes]] = {}
        self._references: dict[Key, frozenset[Key]] = {}
        self._referring: dict[Key, set[Key]] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, key: Key) -> bool:
        return key in self._packed

    def observe(self, body: Body) -> bool:
        """Remember `body` unless it is known already; true when it was news.

        The watch's echo of our own write is none: the write's answer was remembered.
        """
        key, version = key_of(body), _version(body)
        known = self._packed.get(key)
        if known is not None and known[0] >= version:
            return False
        self._packed[key] = version, _packed(body)
        self._refer(key, frozenset(self._index(body)))
        return True

    def get(self, key: Key) -> Body | None:
        """The newest body seen, or None."""
        packed = self._packed.get(key)
        return _unpacked(packed[1]) if packed is not None else None

    def version(self, key: Key) -> int:
        """The resourceVersion of the newest body seen, or -1."""
        known = self._packed.get(key)
        return known[0] if known is not None else -1

    def versions(self) -> dict[Key, int]:
        """The resourceVersion of every newest body, as of now."""
        return {key: version for key, (version, _) in self._packed.items()}

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._packed.pop(key, None)
        self._refer(key, frozenset())

    def keys(self) -> list[Key]:
        """All keys known now."""
        return list(self._packed)

    def referring(self, reference: Key) -> list[Key]:
        """Keys of the objects that refer to `reference`, in order."""
        return sorted(self._referring.get(reference, ()))

    def _refer(self, key: Key, references: frozenset[Key]) -> None:
        before = self._references.pop(key, frozenset())
        if references:
            self._references[key] = references
        for reference in before - references:
            self._referring[reference].discard(key)
            if not self._referring[reference]:
                del self._referring[reference]
        for reference in references - before:
            self._referring.setdefault(reference, set()).add(key)


def _version(body: Body) -> int:
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _packed(body: Body) -> bytes:
    """Without managedFields, which nobody reads and which are half of a body."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return json.dumps({**body, "metadata": metadata}, separators=(",", ":")).encode()


def _unpacked(text: bytes) -> Body:
    body: Body = json.loads(text)
    return body
