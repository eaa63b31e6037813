"""What the simulator's own log says about the storm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CREATED = ("model", "import", "endpoint", "deployment")


@dataclass
class Allowed:
    """How often something may have been created, by the bare name of the model or endpoint.

    A deployment may be created once under each of its names, which are derived from the object.
    """

    lives: Counter[str] = field(default_factory=Counter)
    """How often an object of this name was created."""

    sources: Counter[str] = field(default_factory=Counter)
    """How often its source was changed."""

    def creations(self, resource: str, name: str) -> int:
        """The most that there may be."""
        if resource == "deployment":
            return 1
        return self.lives[name] + (self.sources[name] if resource == "import" else 0)


def duplicates(audit: Iterable[Mapping[str, Any]], allowed: Allowed) -> dict[str, int]:
    """What was created too often: number by `resource name`."""
    made = Counter(
        (entry["resource"], entry["name"])
        for entry in audit
        if entry["method"] == "POST" and entry["committed"] and entry["resource"] in CREATED
    )
    excess = {
        f"{resource} {name}": number - allowed.creations(resource, name)
        for (resource, name), number in made.items()
    }
    return {what: number for what, number in excess.items() if number > 0}


def left(state: Mapping[str, Any]) -> list[str]:
    """Names of what is at Together."""
    return [
        f"{what[:-1]} {item['name']}"
        for what in ("deployments", "endpoints", "models")
        for item in state[what]
    ]


def is_converged(found: Mapping[str, Any]) -> bool:
    """Whether the object is Ready for the generation that it has."""
    status = found.get("status", {})
    ready: Mapping[str, Any] = next(
        (c for c in status.get("conditions", []) if c["type"] == "Ready"), {}
    )
    current = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(current and ready.get("status") == "True")


def untrue(objects: Iterable[Mapping[str, Any]], state: Mapping[str, Any]) -> list[str]:
    """Objects whose status is not what is at Together."""
    models = {item["id"] for item in state["models"]}
    endpoints = {item["id"] for item in state["endpoints"]}
    running = {item["id"]: item for item in state["deployments"]}
    wrong = []
    for found in objects:
        status, name = found.get("status", {}), f"{found['kind']} {found['metadata']['name']}"
        if found["kind"] == "CustomModel":
            if status.get("model", {}).get("id") not in models:
                wrong.append(f"{name}: its model is not there")
            continue
        if status.get("endpoint", {}).get("id") not in endpoints:
            wrong.append(f"{name}: its endpoint is not there")
        replicas = found["spec"].get("replicas", 1)
        deployment = running.get(status.get("deployment", {}).get("id"))
        if deployment is None and replicas:
            wrong.append(f"{name}: its deployment is not there")
        elif deployment is not None and deployment["desiredReplicas"] != replicas:
            wrong.append(f"{name}: {deployment['desiredReplicas']} replicas instead of {replicas}")
    return wrong
