"""Rights as roles grant them, and as the API server saw them used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.cluster.audit import AuditEntry

Right = tuple[str, str, str]
"""API group, resource with subresource, verb."""


def granted(roles: Iterable[Mapping[str, Any]], name: str) -> set[Right]:
    """What the operator's own roles grant: those of this name, and of the Lease."""
    return {
        (group, resource, verb)
        for role in roles
        if role["metadata"]["name"] in {name, f"{name}-lease"}
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(entries: Iterable[AuditEntry]) -> set[Right]:
    """What was asked for and not refused."""
    return {
        (e.group, f"{e.resource}/{e.subresource}" if e.subresource else e.resource, e.verb)
        for e in entries
        if e.resource and e.code not in {401, 403}
    }
