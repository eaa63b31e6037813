"""The operator as a process between a real API server and the simulators, cut off from either."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.integration.resilience.world import REPO, World
from tests.support.environment import Simulators, install, stopping
from tests.support.relay import Relay
from tests.support.simulators.hosting import InThread
from tests.support.simulators.tiny_models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster


@pytest.fixture(scope="package")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    """The simulators, with one model on the hub; lists at Together lag a little."""
    simulators = Simulators.start(time_scale=400)
    with stopping(simulators):
        simulators.add_repository(REPO, write_model(tmp_path_factory.mktemp("hub") / "model"))
        simulators.behave(list_lag_seconds=0.5)
        yield simulators


@pytest.fixture
def world(
    cluster: ThrowawayCluster,
    hub: Simulators,
    namespace: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """A namespace, a relay before the API server, and no operator yet."""
    install(cluster)
    server = json.loads(cluster.kubeconfig("operator").read_text())["clusters"][0]["cluster"]
    with ExitStack() as stack:
        api = stack.enter_context(InThread(Relay(server["server"])))
        world = World(cluster, hub, api, tmp_path_factory.mktemp("world"), namespace)
        try:
            yield world
            world.close()
        finally:
            for operator in world.operators:
                operator.stop()
