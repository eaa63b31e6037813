"""Every manifest in the documents and examples is one that the API server accepts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.documents.blocks import PAGES, ROOT, blocks
from tests.support.environment import install

if TYPE_CHECKING:
    from tests.support.cluster import ThrowawayCluster

pytestmark = pytest.mark.integration

# Kinds of other systems, which no CRD is there for; `make gitops` applies Argo CD's.
ELSEWHERE = ("kustomize.toolkit.fluxcd.io/", "argoproj.io/", "kustomize.config.k8s.io/")


def documented() -> list[Any]:
    return [
        pytest.param(manifest, id=f"{block.where}-{number}")
        for page in PAGES
        for block in blocks(page, "yaml")
        for number, manifest in enumerate(block.manifests())
        if not manifest["apiVersion"].startswith(ELSEWHERE)
    ]


def examples() -> list[Any]:
    return [
        pytest.param(manifest, id=f"{path.name}-{number}")
        for path in sorted((ROOT / "examples").glob("*.yaml"))
        for number, manifest in enumerate(yaml.safe_load_all(path.read_text()))
        if manifest
    ]


@pytest.fixture(scope="module")
def served(cluster: ThrowawayCluster) -> ThrowawayCluster:
    install(cluster)
    return cluster


@pytest.mark.parametrize("manifest", [*documented(), *examples()])
def test_the_api_server_accepts_it(
    served: ThrowawayCluster, namespace: str, manifest: dict[str, Any]
) -> None:
    # Its own namespace need not be there.
    metadata = {k: v for k, v in manifest["metadata"].items() if k != "namespace"}
    output = served.kubectl(
        *("-n", namespace, "apply", "--dry-run=server", "-f", "-"),
        input=json.dumps(manifest | {"metadata": metadata}),
    )
    assert "(server dry run)" in output


def test_there_is_something_to_accept() -> None:
    assert len(documented()) > 10
    assert len(examples()) > 5
