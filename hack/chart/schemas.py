"""JSON schemas for kubeconform, made from the OpenAPI document of the Kubernetes that is built.

The document is in the Go module k8s.io/kubernetes that hack/cluster pins, so it is of exactly the
version that the tests run. Nothing is downloaded but that module.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.cluster import binaries
from tests.support.go_module import cache_root

LOCATION = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""How kubeconform builds the name of a kind's schema."""


def folder() -> Path:
    """The folder with a schema of every kind, as kubeconform names them; made once a version.

    Raises:
        BuildError: the module can't be had.
    """
    version = binaries.kubernetes_version()
    target = cache_root() / "schemas" / version
    done = target / ".done"
    if not done.exists():
        document = binaries.module().source("k8s.io/kubernetes") / "api/openapi-spec/swagger.json"
        _write(json.loads(document.read_text()), target)
        done.touch()
    return target


def _write(document: dict[str, Any], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    definitions = document["definitions"]
    for definition in definitions.values():
        _make_strict(definition)
    # The document says string of these; the API takes numbers too.
    for name, other in (
        ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "integer"),
        ("io.k8s.apimachinery.pkg.api.resource.Quantity", "number"),
    ):
        assert name in definitions
        definitions[name] = {"oneOf": [{"type": "string"}, {"type": other}]}
    (target / "_definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = f"{kind['group'].split('.')[0]}-" if kind["group"] else ""
            file = target / f"{kind['kind']}-{group}{kind['version']}.json".lower()
            reference = f"_definitions.json#/definitions/{name}"
            file.write_text(json.dumps({"$ref": reference}))


def _make_strict(definition: dict[str, Any]) -> None:
    """Refuse fields that the document doesn't know, which is what kubeconform's strict needs."""
    if "properties" in definition and "additionalProperties" not in definition:
        definition["additionalProperties"] = False
