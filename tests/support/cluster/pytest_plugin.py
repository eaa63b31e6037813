"""Fixtures ``cluster`` and ``namespace``.

A cluster that can't be built or started is an error of every test that asks for one, never a skip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.cluster import ThrowawayCluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[ThrowawayCluster]:
    """One throw-away cluster for the session; a test that breaks it has to mend it."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    # A build takes minutes; it should be seen.
    with capture.global_and_fixture_disabled():
        cluster = ThrowawayCluster.start()
    with cluster:
        yield cluster


@pytest.fixture
def namespace(cluster: ThrowawayCluster) -> Iterator[str]:
    """A new namespace, deleted afterwards."""
    with cluster.new_namespace() as name:
        yield name
