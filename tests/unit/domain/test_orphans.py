"""Orphans: this cluster's by their mark, and claimed by no object."""

from __future__ import annotations

from typing import Any

import pytest

from together_operator.domain.custom_model.observed import marker
from together_operator.domain.names import cluster_tag
from together_operator.domain.orphans import Claims, OrphanKind, find_orphans
from together_operator.domain.together import DeploymentState, DeploymentSummary, Endpoint, Model

CLUSTER, OTHER = "cluster-a", "cluster-b"
OURS = f"llama-serve-{cluster_tag(CLUSTER)}-0123456789"
THEIRS = f"llama-serve-{cluster_tag(OTHER)}-0123456789"
DEPLOYMENT, ENDPOINT, MODEL = OrphanKind


def model(name: str = "prod-llama", description: str = marker(CLUSTER)) -> Model:
    return Model(id=f"ml_{name}", name=f"acme/{name}", project_id="p", description=description)


def endpoint(*deployments: str, name: str = "prod-llama") -> Endpoint:
    running = tuple(
        DeploymentSummary(f"dep_{n}", d, DeploymentState.READY, 1, 1)
        for n, d in enumerate(deployments)
    )
    return Endpoint(id=f"ep_{name}", name=f"acme/{name}", project_id="p", deployments=running)


def body(spec: Any = None, status: Any = None, name: str = "llama") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "prod", "name": name},
        "spec": spec or {},
        "status": status or {},
    }


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        pytest.param(endpoint(OURS), [DEPLOYMENT, ENDPOINT], id="ours"),
        pytest.param(endpoint(THEIRS), [], id="another cluster's"),
        pytest.param(endpoint("llama-by-hand"), [], id="a person's"),
        pytest.param(endpoint(OURS, THEIRS), [DEPLOYMENT], id="shared: only our deployment"),
        pytest.param(endpoint(f"acme/x/{OURS}"), [DEPLOYMENT, ENDPOINT], id="qualified name"),
        pytest.param(endpoint(), [], id="empty: nothing tells whose it is"),
        pytest.param(model(), [MODEL], id="marked model"),
        pytest.param(model(description=marker(OTHER)), [], id="another cluster's model"),
        pytest.param(model(description=""), [], id="a model without a mark"),
        pytest.param(model(description=f"x. {marker(CLUSTER)}."), [MODEL], id="mark in words"),
    ],
)
def test_only_what_carries_the_mark_is_ours(
    found: Model | Endpoint, kinds: list[OrphanKind]
) -> None:
    models = [found] if isinstance(found, Model) else []
    endpoints = [found] if isinstance(found, Endpoint) else []
    orphans = find_orphans(models, endpoints, Claims(), CLUSTER)
    assert [orphan.kind for orphan in orphans] == kinds


@pytest.mark.parametrize(
    "claiming",
    [
        pytest.param(body(), id="by the default name"),
        pytest.param(body({"endpointName": "prod-llama"}, name="other"), id="by a chosen name"),
        pytest.param(body(status={"endpoint": {"id": "ep_prod-llama"}}, name="x"), id="by id"),
        pytest.param(body(status={"endpoint": {"name": "acme/prod-llama"}}, name="x"), id="status"),
        pytest.param(body(status={"intent": {"name": "prod-llama"}}, name="x"), id="by intent"),
    ],
)
def test_what_an_object_asks_for_is_no_orphan(claiming: dict[str, Any]) -> None:
    claims = Claims()
    claims.add_deployment(claiming)
    assert find_orphans([], [endpoint(OURS)], claims, CLUSTER) == ()


@pytest.mark.parametrize(
    "claiming",
    [
        pytest.param(body(), id="by the default name"),
        pytest.param(body({"modelName": "prod-llama"}, name="other"), id="by a chosen name"),
        pytest.param(body(status={"model": {"id": "ml_prod-llama"}}, name="other"), id="by id"),
    ],
)
def test_a_model_that_an_object_asks_for_is_no_orphan(claiming: dict[str, Any]) -> None:
    claims = Claims()
    claims.add_model(claiming)
    assert find_orphans([model()], [], claims, CLUSTER) == ()


@pytest.mark.parametrize(
    "using",
    [
        pytest.param(body({"model": "acme/prod-llama"}), id="by name in the spec"),
        pytest.param(body(status={"model": {"id": "ml_prod-llama"}}), id="by id in the status"),
    ],
)
def test_a_model_that_is_served_is_no_orphan(using: dict[str, Any]) -> None:
    claims = Claims()
    claims.add_deployment(using)
    assert find_orphans([model()], [], claims, CLUSTER) == ()


def test_deployments_come_before_their_endpoints_and_those_before_models() -> None:
    endpoints = [endpoint(OURS, name="b"), endpoint(OURS, name="a")]
    orphans = find_orphans([model()], endpoints, Claims(), CLUSTER)
    assert [(o.kind, o.name) for o in orphans] == [
        (DEPLOYMENT, f"acme/a/{OURS}"),
        (DEPLOYMENT, f"acme/b/{OURS}"),
        (ENDPOINT, "acme/a"),
        (ENDPOINT, "acme/b"),
        (MODEL, "acme/prod-llama"),
    ]


def test_a_deployment_says_what_it_costs() -> None:
    (deployment, _) = find_orphans([], [endpoint(OURS)], Claims(), CLUSTER)
    assert (deployment.state, deployment.replicas) == ("READY", 1)
    assert deployment.endpoint_id == "ep_prod-llama"


@pytest.mark.parametrize(
    ("status", "is_orphan"),
    [
        pytest.param({"endpoint": {"id": "ep_9", "name": "acme/prod-llama"}}, False, id="here"),
        pytest.param({"endpoint": {"id": "ep_9", "name": "other/prod-llama"}}, True, id="there"),
        pytest.param({"endpoint": {"id": "ep_9", "name": "acme/model-1"}}, False, id="v1's name"),
        pytest.param({}, False, id="not known yet"),
    ],
)
def test_a_name_counts_in_the_project_of_the_object(status: Any, is_orphan: bool) -> None:
    claims = Claims()
    claims.add_deployment(body(status=status))
    assert bool(find_orphans([], [endpoint(OURS)], claims, CLUSTER)) is is_orphan


@pytest.mark.parametrize(
    ("using", "is_orphan"),
    [
        pytest.param(body({"model": "other/prod-llama"}), True, id="another project's model"),
        pytest.param(body({"model": "prod-llama"}), False, id="a bare name"),
        pytest.param(body(status={"model": {"name": "acme/prod-llama"}}), False, id="status"),
    ],
)
def test_a_model_is_in_use_by_its_qualified_name(using: dict[str, Any], is_orphan: bool) -> None:
    claims = Claims()
    claims.add_deployment(using)
    assert bool(find_orphans([model()], [], claims, CLUSTER)) is is_orphan
