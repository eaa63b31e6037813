"""What holds for every version of an object that a watch ever shows."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    Object = dict[str, Any]

_OPPOSITES = ("Reconciling", "Stalled")


def violations(history: list[Object]) -> Iterator[str]:
    """What the versions of one object, oldest first, break of the rules of kstatus."""
    for version in history:
        metadata, status = version["metadata"], version.get("status", {})
        where = f"{version['kind']} {metadata['name']} at {metadata['resourceVersion']}: "
        conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
        if status.get("observedGeneration", -1) != -1 and "Ready" not in conditions:
            yield where + "the status has no condition Ready"
        if all(conditions.get(kind) == "True" for kind in _OPPOSITES):
            yield where + "Reconciling and Stalled are both true"
        if status.get("observedGeneration", -1) > metadata["generation"]:
            yield where + "observedGeneration is ahead of the generation"


def status_changes(history: list[Object]) -> int:
    """How many versions of one object have another status than the one before."""
    statuses = [version.get("status") for version in history]
    return sum(before != after for before, after in pairwise(statuses))
