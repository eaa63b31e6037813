"""The newest body seen of each object, whoever saw it: the watch or our own writes' answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

Body = Mapping[str, Any]
Index = Callable[[Body], Iterable["Key"]]


class _Named(Protocol):
    """The metadata of a parsed object."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


class Key(NamedTuple):
    """Identity of an object within one kind."""

    namespace: str
    name: str

    @classmethod
    def of(cls, metadata: _Named) -> Key:
        """The key of the object that has this metadata."""
        return cls(metadata.namespace, metadata.name)

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
        index: each says what an object refers to; `referring` finds it under all of that.
    """

    def __init__(self, *index: Index) -> None:
        self._index = index
        self._packed: dict[Key, tuple[int, bytes]] = {}
        self._references: dict[Key, tuple[Key, ...]] = {}
        # Most are referred to by one object: a set for each would be a tenth of all that is kept.
        self._referring: dict[Key, Key | set[Key]] = {}

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
        self._refer(key, self._references_of(body))
        return True

    def is_restored(self, live: Body, before: int) -> bool:
        """True when `live`, just read from the API server itself, comes of an etcd that was
        restored from a backup: a read shows what was written before it, so it is never older.

        Args:
            before: `version` of the key when the read began.
        """
        return _version(live) < before == self.version(key_of(live))

    def observe_live(self, live: Body, before: int) -> bool:
        """Remember what was read from the API server itself; true when it was news.

        Args:
            before: `version` of the key when the read began.
        """
        if self.is_restored(live, before):
            self.forget(key_of(live))
        return self.observe(live)

    def also_index(self, index: Index) -> None:
        """Find objects by what `index` says, too."""
        self._index = (*self._index, index)
        for key, (_, text) in self._packed.items():
            self._refer(key, self._references_of(_unpacked(text)))

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
        self._refer(key, ())

    def keys(self) -> list[Key]:
        """All keys known now."""
        return list(self._packed)

    def referring(self, reference: Key) -> list[Key]:
        """Keys of the objects that refer to `reference`, in order."""
        found = self._referring.get(reference)
        if found is None:
            return []
        return sorted(found) if isinstance(found, set) else [found]

    def _references_of(self, body: Body) -> tuple[Key, ...]:
        return tuple({reference for index in self._index for reference in index(body)})

    def _refer(self, key: Key, references: tuple[Key, ...]) -> None:
        before = self._references.pop(key, ())
        if references:
            self._references[key] = references
        for reference in before:
            if reference not in references:
                self._part(key, reference)
        for reference in references:
            if reference not in before:
                self._join(key, reference)

    def _join(self, key: Key, reference: Key) -> None:
        others = self._referring.setdefault(reference, key)
        if isinstance(others, set):
            others.add(key)
        elif others != key:
            self._referring[reference] = {others, key}

    def _part(self, key: Key, reference: Key) -> None:
        others = self._referring[reference]
        if isinstance(others, set):
            others.discard(key)
        if not others or others == key:
            del self._referring[reference]


def _version(body: Body) -> int:
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _packed(body: Body) -> bytes:
    """Without managedFields, which nobody reads and which are half of a body."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return to_json({**body, "metadata": metadata})


def _unpacked(text: bytes) -> Body:
    body: Body = from_json(text, cache_strings="keys")
    return body
