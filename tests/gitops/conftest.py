"""A cluster with a real Argo CD, the simulators and the operator."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support import argocd, facts
from tests.support.environment import (
    OperatorProcess,
    Simulators,
    install,
    operator_environment,
    stopping,
)
from tests.support.simulators.tiny_models import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cluster import ThrowawayCluster

CHAT, OTHER_CHAT = "tiny/chat", "tiny/other-chat"


@dataclass
class Platform:
    """What a platform team has."""

    cluster: ThrowawayCluster
    simulators: Simulators
    operator: OperatorProcess
    facts: dict[str, str] = field(default_factory=lambda: _facts)
    """What the summary at the end tells."""


_facts: dict[str, str] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was seen, for people."""
    facts.tell(terminalreporter, "make gitops: what was seen", _facts)


@pytest.fixture(scope="session")
def platform(
    cluster: ThrowawayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """All of it, running."""
    folder = tmp_path_factory.mktemp("gitops")
    simulators = Simulators.start(time_scale=400)
    with ExitStack() as stack:
        stack.enter_context(stopping(simulators))
        simulators.add_repository(CHAT, write_model(folder / "chat"))
        simulators.add_repository(OTHER_CHAT, write_model(folder / "other-chat", seed=1))
        install(cluster)
        environment = operator_environment(
            cluster, simulators, poll_seconds="0.3", resync_seconds="5", settle_seconds="1"
        )
        operator = OperatorProcess(environment, folder / "operator.log")
        stack.enter_context(stopping(operator))
        operator.start()
        operator.wait_ready()
        stack.enter_context(argocd.running(cluster, folder))
        yield Platform(cluster, simulators, operator)
