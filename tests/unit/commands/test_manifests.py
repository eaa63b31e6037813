"""Manifests are read as kubectl and the API server take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from together_operator.commands.manifests import read_manifests

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = """
apiVersion: together.ai/v1alpha1
kind: CustomModel
metadata: {name: m, namespace: null, labels:}
spec:
  description:
  source: {huggingFace: {repo: a/b, revision: 2024-05-01}}
---
apiVersion: together.ai/v1alpha1
kind: ModelDeployment
metadata: {name: d}
spec: {modelRef: {name: 2024-05-01T10:00:00Z}, replicas: , maxHourlyCost: "1.50"}
"""


def test_dates_are_text_and_empty_fields_are_none(tmp_path: Path) -> None:
    file = tmp_path / "both.yaml"
    file.write_text(MANIFEST)

    model, deployment = read_manifests([str(file)], "team").objects

    assert model["metadata"] == {"name": "m", "namespace": "team"}
    assert model["spec"] == {"source": {"huggingFace": {"repo": "a/b", "revision": "2024-05-01"}}}
    assert deployment["spec"] == {
        "modelRef": {"name": "2024-05-01T10:00:00Z"},
        "maxHourlyCost": "1.50",
    }
