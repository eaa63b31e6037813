"""Ceilings of the operator's configuration, which objects share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, Workspace
from tests.support.conditions import condition
from tests.support.environment import stopping
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.operator.surroundings import Surroundings
    from tests.support.environment import OperatorProcess

pytestmark = pytest.mark.integration

PRICE = 1.49
"""Dollars an hour of the cheapest hardware."""


@pytest.fixture
def large(surroundings: Surroundings) -> Iterator[Workspace]:
    """A namespace with no ceiling of its own."""
    with surroundings.cluster.new_namespace() as namespace:
        workspace = Workspace(surroundings, namespace)
        yield workspace
        workspace.close()


@pytest.fixture
def limited(
    surroundings: Surroundings, workspace: Workspace, large: Workspace
) -> Iterator[OperatorProcess]:
    """In place of the usual operator, one with a ceiling of ten dollars an hour over all, and of
    five over the test's own namespace."""
    assert large.namespace != workspace.namespace
    surroundings.operator.stop()
    operator = surroundings.another_operator(
        "limited", max_hourly_cost="10", namespace_max_hourly_cost=f"{workspace.namespace}=5"
    )
    with stopping(operator):
        operator.start()
        operator.wait_ready()
        yield operator


def test_nothing_is_started_above_the_ceilings_of_a_namespace_and_of_the_operator(
    workspace: Workspace, large: Workspace, limited: OperatorProcess
) -> None:
    small = workspace
    for each in (small, large):
        each.apply(custom_model("chat", hugging_face(CHAT)))
        each.ready("CustomModel", "chat")

    small.apply(model_deployment("serve", "chat", replicas=4))
    large.apply(model_deployment("serve", "chat", replicas=8))

    of_namespace = f"the ceiling of namespace {small.namespace} allows $5.00"
    refused = small.shows(DEPLOYMENT, "serve", "OverBudget", f"${4 * PRICE:.2f}", of_namespace)
    assert condition(refused, "Affordable")["status"] == "False"
    of_operator = "the operator's ceiling allows $10.00"
    large.shows(DEPLOYMENT, "serve", "OverBudget", f"${8 * PRICE:.2f}", of_operator)
    for each in (small, large):
        assert "OverBudget" in each.kubectl("get", "modeldeployment/serve")
        assert each.audit("endpoint") == each.audit("deployment") == []

    large.patch(DEPLOYMENT, "serve", replicas=6)
    large.ready(DEPLOYMENT, "serve")
    small.patch(DEPLOYMENT, "serve", replicas=1)

    taken = f"of which ${6 * PRICE:.2f} are taken by others"
    small.shows(DEPLOYMENT, "serve", "OverBudget", f"${PRICE:.2f}", of_operator, taken)
    assert small.audit("deployment") == []

    # Another process knows what was reserved before it looks at the first object.
    limited.stop()
    limited.start()
    limited.wait_ready()
    small.patch(DEPLOYMENT, "serve", replicas=2)
    small.shows(DEPLOYMENT, "serve", "OverBudget", f"${2 * PRICE:.2f}", taken)

    large.patch(DEPLOYMENT, "serve", replicas=4)

    assert small.ready(DEPLOYMENT, "serve")["status"]["readyReplicas"] == 2, "it waited for this"
