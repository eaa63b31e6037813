"""The CRDs, installed on the throw-away cluster."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from kubernetes.client import ApiClient, CustomObjectsApi
from kubernetes.config import new_client_from_config

from tests.integration.crds.constraints import CRDS
from tests.integration.crds.objects import PLURALS, Objects, eventually
from together_operator.api.v1alpha1 import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster


@pytest.fixture(scope="session")
def served(cluster: ThrowawayCluster) -> ThrowawayCluster:
    """The cluster, once it serves our kinds."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={CRDS}")
    for plural in PLURALS.values():
        eventually(partial(cluster.kubectl, "get", f"{plural}.{GROUP}", "--all-namespaces"))
    return cluster


@pytest.fixture(scope="session")
def objects(served: ThrowawayCluster) -> Iterator[Objects]:
    """Objects in a namespace of their own; a test deletes what it creates."""
    name = "crd-rules"
    served.kubectl("create", "namespace", name)
    client: ApiClient = new_client_from_config(  # type: ignore[no-untyped-call]
        config_file=str(served.kubeconfig())
    )
    with client:
        yield Objects(CustomObjectsApi(client), name)
    served.kubectl("delete", "namespace", name, "--wait=false")
