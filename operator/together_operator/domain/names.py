"""Names of what we create: readable, within each system's limits, and derived, never random.

A name that users see is the one they gave. One that they don't carries a short hash of the
cluster and of the object's UID, so that two clusters or a re-created object never share it.
"""

from __future__ import annotations

import hashlib

MAX_REMOTE_NAME = 96
MAX_LABEL = 63

DEFAULT_LEASE = "together-operator"
"""Name of the Lease where none is configured."""

LEASE_LABELS = {"app.kubernetes.io/name": "together-operator"}
"""Of an operator's Lease, which is called as its release is: by them it is found."""


def short_hash(*parts: str) -> str:
    """Ten lower-case hex digits (40 bits) of the parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def remote_name(namespace: str, name: str) -> str:
    """Default name of a model or endpoint at Together: `<namespace>-<name>`, 96 characters at most.

    A longer one is cut and gets a hash of the whole, so that it stays unique.
    """
    full = f"{namespace}-{name}"
    if len(full) <= MAX_REMOTE_NAME:
        return full
    return _cut(full, MAX_REMOTE_NAME, short_hash(namespace, name))


def cluster_tag(cluster_id: str) -> str:
    """Eight lower-case hex digits (32 bits) that tell one cluster's things from another's."""
    return hashlib.sha256(cluster_id.encode()).hexdigest()[:8]


def derived_name(name: str, what: str, *parts: str, limit: int = MAX_LABEL) -> str:
    """`<name>-<what>-<hash of parts>`; only `name` is cut to fit `limit` characters."""
    return _cut(name, limit, f"{what}-{short_hash(*parts)}")


def _cut(name: str, limit: int, suffix: str) -> str:
    return f"{name[: limit - len(suffix) - 1].rstrip('-.')}-{suffix}"
