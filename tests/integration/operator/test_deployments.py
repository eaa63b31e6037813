"""ModelDeployments: the config that is chosen, replicas, and an endpoint that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition
from tests.support.manifests import (
    CHAT_BASE,
    custom_model,
    hugging_face,
    model_deployment,
)
from tests.support.simulators.together.catalog import Config, default_catalog

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

PRICES = {kind.name: kind.cents_per_hour / 100 for kind in default_catalog().instance_types}


def _configs() -> list[Config]:
    base = next(model for model in default_catalog().models if model.name == CHAT_BASE)
    return [config for variant in base.variants for config in variant.configs]


def _cheapest(**wanted: str) -> Config:
    """The cheapest config with these attributes."""
    fitting = [c for c in _configs() if all(getattr(c, k) == v for k, v in wanted.items())]
    return min(fitting, key=lambda config: PRICES[config.instance_type])


DEAREST = max(_configs(), key=lambda config: PRICES[config.instance_type])
CHOICES: dict[str, tuple[Object, str]] = {
    "cheapest": ({}, _cheapest().instance_type),
    "hardware": (
        {"hardware": {"gpu": DEAREST.accelerator, "count": DEAREST.count}},
        DEAREST.instance_type,
    ),
    "optimization": (
        {"optimization": "throughput"},
        _cheapest(optimization="throughput").instance_type,
    ),
    "config": ({"config": DEAREST.id}, DEAREST.instance_type),
}
"""By name: what the spec asks for, and the hardware that it shall run on."""


@pytest.fixture(scope="module")
def deployed(shared: Workspace) -> Workspace:
    """A model, and deployments of it on differently chosen hardware, all applied at once."""
    shared.apply(
        custom_model("chat", hugging_face(CHAT)),
        *(model_deployment(name, "chat", **spec) for name, (spec, _) in CHOICES.items()),
    )
    return shared


@pytest.mark.parametrize("name", CHOICES)
def test_a_deployment_becomes_ready_on_the_hardware_that_was_asked_for(
    deployed: Workspace, name: str
) -> None:
    spec, hardware = CHOICES[name]

    status = deployed.ready(DEPLOYMENT, name)["status"]

    used = next(config for config in _configs() if config.id == status["deployment"]["config"])
    assert status["deployment"]["hardware"] == used.instance_type == hardware
    assert used.optimization == spec.get("optimization", used.optimization)
    assert used.id == spec.get("config", used.id)
    assert float(status["cost"]["perReplicaHour"]) == PRICES[hardware]
    assert float(status["cost"]["perHour"]) == PRICES[hardware]


def test_a_deployment_says_its_endpoint_replicas_and_revision(deployed: Workspace) -> None:
    status = deployed.ready(DEPLOYMENT, "cheapest")["status"]

    model = deployed.ready(MODEL, "chat")["status"]["model"]
    endpoint = deployed.endpoints()[deployed.remote_name("cheapest")]
    assert status["phase"] == "Ready"
    assert status["endpoint"]["id"] == endpoint["id"]
    assert status["endpoint"]["name"] == f"acme/{deployed.remote_name('cheapest')}"
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["replicasText"] == "1/1"
    assert status["deployment"]["revision"] == model["revision"]
    assert status["model"] == model


def test_the_endpoint_of_a_ready_deployment_answers(deployed: Workspace) -> None:
    endpoint = deployed.ready(DEPLOYMENT, "cheapest")["status"]["endpoint"]["name"]

    answer = httpx.post(
        f"{deployed.simulators.together}/v1/chat/completions",
        headers={"Authorization": f"Bearer {deployed.simulators.key}"},
        json={"model": endpoint, "messages": [{"role": "user", "content": "the king"}]},
    ).raise_for_status()

    assert answer.json()["choices"][0]["message"]["content"]


def test_kubectl_shows_what_a_person_wants_to_know(deployed: Workspace) -> None:
    deployed.ready(DEPLOYMENT, "cheapest")

    header, row = deployed.kubectl("get", "modeldeployment/cheapest").splitlines()

    assert header.split()[:7] == [
        *("NAME", "READY", "STATUS", "MODEL", "ENDPOINT", "REPLICAS", "$/HOUR")
    ]
    price = f"{PRICES[_cheapest().instance_type]:.2f}"
    name = f"acme/{deployed.remote_name('cheapest')}"
    assert row.split()[:7] == ["cheapest", "True", "Ready", "chat", name, "1/1", price]


def test_what_the_spec_says_is_what_together_was_asked_for(workspace: Workspace) -> None:
    name = f"{workspace.namespace}-support"
    placement = {"regions": ["us-central-4", "eu-west-1"], "constraint": "Preferred", "hipaa": True}
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)),
        model_deployment("serve", "chat", endpointName=name, placement=placement),
    )

    found = workspace.ready(DEPLOYMENT, "serve")

    status = found["status"]
    assert status["endpoint"]["name"] == f"acme/{name}"
    path = f"endpoints/{status['endpoint']['id']}/deployments/{status['deployment']['id']}"
    assert workspace.simulators.call("GET", path)["placement"] == {
        "inline": {
            "regions": ["us-central-4", "eu-west-1"],
            "constraint": "ENFORCEMENT_PREFERRED",
            "compliancePolicy": {"hipaa": True},
        }
    }
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        **dict.fromkeys(("Ready", "ModelReady", "Affordable", "Scheduled"), "True"),
        **dict.fromkeys(("Deployed", "Routed", "RolledOut"), "True"),
        **dict.fromkeys(("Reconciling", "Stalled"), "False"),
    }
    announced = {
        intent["kind"]
        for version in workspace.versions(DEPLOYMENT, "serve")
        if (intent := version["status"].get("intent"))
    }
    assert announced == {"Endpoint", "Deployment"}, "each create was announced before it was sent"
    assert status.keys().isdisjoint({"intent", "retry", "previous", "rollout"})


def test_kubectl_scale_goes_up_to_zero_and_back(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat", replicas=1)
    )
    price = float(workspace.ready(DEPLOYMENT, "serve")["status"]["cost"]["perReplicaHour"])

    workspace.scale("serve", 3)

    status = workspace.ready(DEPLOYMENT, "serve")["status"]
    assert (status["readyReplicas"], status["replicasText"]) == (3, "3/3")
    assert float(status["cost"]["perHour"]) == pytest.approx(3 * price)

    workspace.scale("serve", 0)

    stopped = workspace.ready(DEPLOYMENT, "serve")
    assert condition(stopped, "Ready")["reason"] == "Stopped"
    assert stopped["status"]["readyReplicas"] == 0
    assert float(stopped["status"]["cost"]["perHour"]) == 0
    assert [d["state"] for d in workspace.deployments()] == ["STOPPED"]

    workspace.scale("serve", 1)

    assert workspace.ready(DEPLOYMENT, "serve")["status"]["readyReplicas"] == 1
    assert workspace.count("deployment", "serve") == 1, "the same deployment was started again"


def test_with_zero_replicas_from_the_start_nothing_is_billed(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)), model_deployment("serve", "chat", replicas=0)
    )

    found = workspace.ready(DEPLOYMENT, "serve")

    assert condition(found, "Ready")["reason"] == "Stopped"
    assert workspace.deployments() == []


def test_a_suspended_deployment_is_neither_created_nor_scaled(workspace: Workspace) -> None:
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)),
        model_deployment("new", "chat", suspend=True),
        model_deployment("running", "chat"),
    )
    workspace.shows(DEPLOYMENT, "new", "Suspended", "CreateEndpoint")
    workspace.ready(DEPLOYMENT, "running")

    workspace.patch(DEPLOYMENT, "running", suspend=True, replicas=2)

    workspace.shows(DEPLOYMENT, "running", "Suspended", "ScaleDeployment")
    assert [d["readyReplicas"] for d in workspace.deployments()] == [1]
    assert workspace.count("endpoint", "new") == 0
    workspace.patch(DEPLOYMENT, "running", suspend=False)
    assert workspace.ready(DEPLOYMENT, "running")["status"]["readyReplicas"] == 2


def test_an_endpoint_that_is_there_is_taken_over_only_when_the_spec_says_so(
    workspace: Workspace,
) -> None:
    theirs = {
        name: workspace.simulators.call("POST", "endpoints", {"name": workspace.remote_name(name)})
        for name in ("kept", "adopted")
    }
    workspace.apply(
        custom_model("chat", hugging_face(CHAT)),
        model_deployment("kept", "chat"),
        model_deployment("adopted", "chat", adoptionPolicy="Adopt"),
    )

    workspace.shows(DEPLOYMENT, "kept", "NameTaken", "spec.endpointName", "adoptionPolicy")
    adopted = workspace.ready(DEPLOYMENT, "adopted")["status"]

    assert adopted["endpoint"]["id"] == theirs["adopted"]["id"]
    workspace.delete("modeldeployment/kept")
    workspace.gone(DEPLOYMENT, "kept")
    assert workspace.endpoints()[workspace.remote_name("kept")]["id"] == theirs["kept"]["id"]
    workspace.simulators.call("DELETE", f"endpoints/{theirs['kept']['id']}")
