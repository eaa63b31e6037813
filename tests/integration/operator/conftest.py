"""The operator as a process, on a real API server, with simulators as a process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.integration.operator.changes import CHANGES, HEADING, LEGEND
from tests.integration.operator.recorder import Recorder
from tests.integration.operator.surroundings import (
    TIME_SCALE,
    TIMING,
    Surroundings,
    operator_process,
    stock,
)
from tests.integration.operator.workspace import Workspace
from tests.support.environment import Simulators, install, stopping
from tests.support.relay import Relay
from tests.support.simulators.hosting import InThread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster


@pytest.fixture(scope="package")
def surroundings(
    cluster: ThrowawayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """Everything, running. It ends with this folder, so that no other test meets the operator."""
    folder = tmp_path_factory.mktemp("operator")
    simulators = Simulators.start(time_scale=TIME_SCALE, timing=TIMING)
    with ExitStack() as stack:
        stack.enter_context(stopping(simulators))
        together = stack.enter_context(InThread(Relay(simulators.together)))
        store = stack.enter_context(InThread(Relay(simulators.urls["s3"]["url"])))
        stock(simulators, folder)
        install(cluster)
        recorder = Recorder(cluster.kubeconfig())
        recorder.start()
        stack.callback(recorder.stop)
        operator = operator_process(cluster, simulators, together, folder, "operator-a")
        stack.enter_context(stopping(operator))
        operator.start()
        operator.wait_ready()
        yield Surroundings(cluster, simulators, recorder, operator, together, store, folder)


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
