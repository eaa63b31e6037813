from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.cluster.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster


@pytest.fixture(scope="module")
def workspace(cluster: ThrowawayCluster) -> Iterator[Workspace]:
    with cluster.new_namespace() as namespace:
        yield Workspace(cluster, namespace)
