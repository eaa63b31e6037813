"""What a CRD forbids, read from `crds/*.yaml`, and which values of a manifest it looks at."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.integration.crds.cases.case import ENUM, PATTERN, TOO_BIG, TOO_SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.crds.manifests import Manifest

CRDS = Path(__file__).parents[3] / "crds"

KEYWORDS = {
    "enum": ENUM,
    "pattern": PATTERN,
    "minimum": TOO_SMALL,
    "maximum": TOO_BIG,
}
"""Schema keywords that must have examples, with the API server's words for a violation."""


@dataclass(frozen=True)
class Constraint:
    """One rule or keyword.

    Args:
        path: where it stands in the schema; `[]` is any item of a list or value of a map.
        field: the field that a violation is blamed on.
        message: what the API server says about a violation.
        update_only: whether it compares with the old object.
        allowed: an enumeration's values.
    """

    kind: str
    path: str
    field: str
    message: str
    update_only: bool = False
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.field or '(root)'}: {self.message}"


def schemas() -> dict[str, dict[str, Any]]:
    """The OpenAPI schema of each kind."""
    documents = (yaml.safe_load(path.read_text("utf-8")) for path in sorted(CRDS.glob("*.yaml")))
    return {
        crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for crd in documents
    }


def constraints() -> list[Constraint]:
    """All of them, of all CRDs."""
    return [
        constraint
        for kind, schema in schemas().items()
        for path, node in nodes(schema)
        for constraint in _of_node(kind, path, node)
    ]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path, the root first."""
    yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}".lstrip("."))
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


def values_at(manifest: Manifest, path: str) -> list[Any]:
    """The values of a manifest at a schema's path; empty where the manifest has none."""
    found: list[Any] = [manifest]
    for step in re.findall(r"[^.\[\]]+|\[\]", path):
        found = [value for node in found for value in _step(node, step)]
    return found


def schema_path(field: str, schema: dict[str, Any]) -> str:
    """The path in the schema of a field as the API server names it (`a.list[0]`, `a.map.key`)."""
    path = ""
    for step in re.findall(r"[^.\[\]]+", field):
        if "properties" in schema:
            schema = schema["properties"][step]
            path = f"{path}.{step}".lstrip(".")
        else:
            schema = schema.get("items") or schema["additionalProperties"]
            path = f"{path}[]"
    return path


def _step(node: Any, step: str) -> list[Any]:
    if step != "[]":
        return [node[step]] if isinstance(node, dict) and step in node else []
    return list(node.values()) if isinstance(node, dict) else list(node)


def _of_node(kind: str, path: str, node: dict[str, Any]) -> Iterator[Constraint]:
    for rule in node.get("x-kubernetes-validations", []):
        field = f"{path}{rule.get('fieldPath', '')}".lstrip(".")
        yield Constraint(kind, path, field, rule["message"], "oldSelf" in rule["rule"])
    for keyword, message in KEYWORDS.items():
        if keyword in node:
            allowed = tuple(node[keyword]) if keyword == "enum" else ()
            yield Constraint(kind, path, path, message, allowed=allowed)
