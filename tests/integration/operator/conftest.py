"""The operator as a process, on a real API server, with simulators as a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.changes import CHANGES, HEADING, LEGEND
from tests.integration.operator.surroundings import Surroundings, running
from tests.integration.operator.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster


@pytest.fixture(scope="package")
def surroundings(
    cluster: ThrowawayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """Everything, running. It ends with this folder, so that no other test meets the operator."""
    with running(cluster, tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture
def workspace(surroundings: Surroundings, namespace: str) -> Iterator[Workspace]:
    """A namespace for one test."""
    workspace = Workspace(surroundings, namespace)
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def shared(surroundings: Surroundings) -> Iterator[Workspace]:
    """A namespace for all tests of a module."""
    with surroundings.cluster.new_namespace() as namespace:
        workspace = Workspace(surroundings, namespace)
        yield workspace
        workspace.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what changes of the served model did to requests and to the bill."""
    if CHANGES:
        terminalreporter.section("changes of the served model, under a stream of requests")
        for line in (HEADING, *(change.line for change in CHANGES), LEGEND):
            terminalreporter.write_line(line)
