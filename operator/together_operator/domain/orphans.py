"""What is at Together in this cluster's name although no object here asks for it. Pure.

Ours is only what carries this cluster's mark, never what merely has a name that an object here
could have had: a deployment by the cluster's tag in its name, an endpoint by having such
deployments and no others, a model by the marker in its description. Claimed is what an object
names, by id or by name. docs/design/2026-11-27-orphans.md has the reasons and the limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from together_operator.domain.custom_model.observed import marker
from together_operator.domain.deployment.observed import SERVE
from together_operator.domain.names import cluster_tag, remote_name
from together_operator.domain.together import Endpoint, Model


class OrphanKind(StrEnum):
    """What can be left behind, in the order in which it has to be removed."""

    DEPLOYMENT = "deployment"
    ENDPOINT = "endpoint"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing that is left.

    Args:
        name: qualified name of a model or endpoint; of a deployment `<endpoint>/<name>`.
        endpoint_id: of a deployment: where it is.
        state: of a deployment, as Together says.
        replicas: of a deployment: what it is paid for, as far as the endpoint's record says.
    """

    kind: OrphanKind
    id: str
    name: str
    endpoint_id: str = ""
    state: str = ""
    replicas: int | None = None


@dataclass(slots=True)
class Claims:
    """What the objects of a cluster ask for: ids, and names.

    A name counts for the project that it is qualified with; one of which the project is not
    known, as before the first look at Together, counts for all of them.
    """

    models: set[str] = field(default_factory=set)
    endpoints: set[str] = field(default_factory=set)

    def add_model(self, body: Mapping[str, Any]) -> None:
        """A CustomModel, whatever state it is in: also one that is just being deleted."""
        self._add(self.models, body, "modelName", "model")

    def add_deployment(self, body: Mapping[str, Any]) -> None:
        """A ModelDeployment. What it serves is in use, also without a CustomModel."""
        self._add(self.endpoints, body, "endpointName", "endpoint")
        used = _record(body, "model")
        self.models.update(filter(None, (body.get("spec", {}).get("model"), *used)))

    @staticmethod
    def _add(claimed: set[str], body: Mapping[str, Any], field_name: str, record: str) -> None:
        metadata = body["metadata"]
        wanted = body.get("spec", {}).get(field_name)
        wanted = wanted or remote_name(metadata["namespace"], metadata["name"])
        id_, name = _record(body, record)
        owner, slash, _ = name.partition("/")
        claimed.update(filter(None, (id_, name, f"{owner}/{wanted}" if slash else wanted)))
        intent = body.get("status", {}).get("intent") or {}
        if intent.get("name"):
            claimed.add(intent["name"])


def _record(body: Mapping[str, Any], what: str) -> tuple[str, str]:
    """Id and name of what a status has; empty where it has none."""
    record = body.get("status", {}).get(what) or {}
    return record.get("id") or "", record.get("name") or ""


def _names(found: Endpoint | Model) -> tuple[str, ...]:
    """Under which an object may have it: v1 shows an endpoint by another name than the object's."""
    owner = found.name.partition("/")[0]
    return found.id, found.name, found.bare_name, f"{owner}/{found.bare_name}"


def find_orphans(
    models: Iterable[Model], endpoints: Iterable[Endpoint], claims: Claims, cluster_id: str
) -> tuple[Orphan, ...]:
    """What of one account is this cluster's and not claimed, in the order of removal."""
    ours = re.compile(rf"-{SERVE}-{cluster_tag(cluster_id)}-[0-9a-f]{{10}}")
    found: list[Orphan] = []
    for endpoint in endpoints:
        if claims.endpoints.isdisjoint(_names(endpoint)):
            found += _left_of(endpoint, ours)
    mark = marker(cluster_id)
    found += [
        Orphan(OrphanKind.MODEL, model.id, model.name)
        for model in models
        if mark in model.description and claims.models.isdisjoint(_names(model))
    ]
    order = list(OrphanKind)
    return tuple(sorted(found, key=lambda orphan: (order.index(orphan.kind), orphan.name)))


def _left_of(endpoint: Endpoint, ours: re.Pattern[str]) -> Sequence[Orphan]:
    """Our deployments on an endpoint, and the endpoint itself if it has no others."""
    mine = [d for d in endpoint.deployments if ours.search(d.name)]
    left = [
        Orphan(
            kind=OrphanKind.DEPLOYMENT,
            id=d.id,
            name=f"{endpoint.name}/{d.name.rpartition('/')[2]}",
            endpoint_id=endpoint.id,
            state=d.state.value,
            replicas=d.desired_replicas,
        )
        for d in mine
    ]
    if mine and len(mine) == len(endpoint.deployments):
        left.append(Orphan(OrphanKind.ENDPOINT, endpoint.id, endpoint.name))
    return left
