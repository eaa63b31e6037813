"""Rows about what is at Together already, and whose it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.domain.serving_situations import (
    DEPLOYMENT,
    ENDPOINT,
    MODEL,
    SERVING,
    after,
    message,
    model_deployment,
    ready,
    seen,
)
from tests.unit.domain.situations import NOW
from together_operator.api.v1alpha1 import ModelType
from together_operator.domain.deployment.actions import CreateDeployment, CreateEndpoint
from together_operator.domain.deployment.observed import Observed, ServedModel, looks_settled
from together_operator.domain.deployment.target import Target, wanted_target
from together_operator.domain.together import DeploymentState, DeploymentSummary

REMOTE = ServedModel("ml_9", "acme/support", "proj_1")
BY_MODEL = {"model": "acme/support", "modelRef": None}


def new(spec: dict[str, Any], **facts: Any) -> Observed:
    """Nothing of it is there yet."""
    return replace(seen(model_deployment(spec), None), endpoint=None, project="acme", **facts)


def test_a_model_at_together_is_served_without_a_custom_model() -> None:
    status = SERVING.model_copy(update={"deployment": None})
    observed = replace(
        seen(model_deployment(BY_MODEL, status), None),
        model=None,
        project="acme",
        remote_model=REMOTE,
    )

    plan = after(observed)

    assert isinstance(plan.action, CreateDeployment)
    assert plan.action.new.model == "projects/proj_1/models/ml_9"
    assert plan.status.model == REMOTE.status


@pytest.mark.parametrize("by", [BY_MODEL, {"modelRef": {"name": "model"}}], ids=["model", "ref"])
@pytest.mark.parametrize("deployed", [None, DEPLOYMENT], ids=["new", "another serves"])
def test_a_revision_that_is_given_is_the_one_that_is_served(by: Any, deployed: Any) -> None:
    spec = {**by, "revisionPolicy": "Pinned", "revision": "rv_old"}
    status = SERVING if deployed else SERVING.model_copy(update={"deployment": None})
    remote = ServedModel("ml_1", "acme/team-model", "proj_1")
    observed = replace(
        seen(model_deployment(spec, status), deployed), project="acme", remote_model=remote
    )

    target = wanted_target(observed)

    assert isinstance(target, Target)
    assert target.served.resource == "projects/proj_1/models/ml_1/revisions/rv_old"
    plan = after(observed)
    if deployed is None:
        assert isinstance(plan.action, CreateDeployment)
        assert plan.action.new.model == target.served.resource
    else:
        assert ready(plan) == ("False", "RollingOut")


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("support", "ModelNotFound", ("support", "project acme")),
        ("acme/support", "ModelNotFound", ("acme/support",)),
        ("ml_unknown", "ModelNotFound", ("ml_unknown",)),
        ("other/support", "ModelOfAnotherProject", ("project other", "works in acme")),
    ],
)
def test_a_model_that_is_not_there_is_told(name: str, reason: str, words: tuple[str, ...]) -> None:
    plan = after(new({"model": name, "modelRef": None}, model=None))

    assert plan.action is None
    assert ready(plan) == ("False", reason)
    for word in words:
        assert word in message(plan)


def test_the_names_that_are_like_a_misspelt_one_are_told() -> None:
    similar = ("Qwen/Qwen3-8B", "acme/support")
    misspelt = {"model": "Qwen/Qwen3-9B", "modelRef": None}

    plan = after(new(misspelt, model=None, similar_models=similar))

    assert ready(plan) == ("False", "ModelNotFound"), "Qwen is in the catalog, and no project"
    assert "the nearest are Qwen/Qwen3-8B, acme/support" in message(plan)


TTFT = {"maxReplicas": 2, "metrics": [{"name": "ttft", "target": 500.0}]}
SESSIONS = {"maxReplicas": 2, "metrics": [{"name": "inflight_requests", "target": 8.0}]}
EMBEDS = MODEL.model_copy(
    update={"spec": MODEL.spec.model_copy(update={"type": ModelType.EMBEDDING})}
)


@pytest.mark.parametrize(
    ("spec", "facts"),
    [
        ({"autoscaling": TTFT}, {"model": EMBEDS}),
        (
            {"autoscaling": TTFT, **BY_MODEL},
            {"model": None, "remote_model": replace(REMOTE, is_embedding=True)},
        ),
    ],
    ids=["CustomModel", "model"],
)
def test_an_embedding_model_is_not_scaled_by_what_it_does_not_do(
    spec: dict[str, Any], facts: dict[str, Any]
) -> None:
    plan = after(new(spec, **facts))

    assert plan.action is None
    assert ready(plan) == ("False", "MetricUnfit")
    for word in ("embeddings", "ttft", "spec.autoscaling.metrics", "Use inflight_requests"):
        assert word in message(plan)


@pytest.mark.parametrize(
    ("spec", "facts"),
    [
        ({"autoscaling": TTFT}, {}),
        ({"autoscaling": SESSIONS}, {"model": EMBEDS}),
        ({"autoscaling": TTFT, "replicas": 0}, {"model": EMBEDS}),
        ({"autoscaling": TTFT, **BY_MODEL}, {"model": None, "remote_model": REMOTE}),
    ],
    ids=["a text model", "another metric", "nothing runs", "a text model without a CustomModel"],
)
def test_every_other_metric_is_taken(spec: dict[str, Any], facts: dict[str, Any]) -> None:
    assert isinstance(after(new(spec, **facts)).action, CreateEndpoint)


def test_a_custom_model_of_another_project_is_told_before_anything_is_created() -> None:
    assert MODEL.status.model is not None
    record = MODEL.status.model.model_copy(update={"name": "other/team-model"})
    foreign = MODEL.model_copy(update={"status": MODEL.status.model_copy(update={"model": record})})

    plan = after(new({}, model=foreign))

    assert plan.action is None
    assert ready(plan) == ("False", "ModelOfAnotherProject")
    assert "apiKeySecretRef" in message(plan)


def test_a_custom_model_of_the_same_project_is_served() -> None:
    assert isinstance(after(new({})).action, CreateEndpoint)


ADOPT = {"adoptionPolicy": "Adopt"}
ADOPTED = SERVING.model_copy(update={"deployment": None})


def test_a_deployment_that_is_what_is_wanted_is_taken_over_with_its_endpoint() -> None:
    small = replace(DEPLOYMENT, id="dep_2", name="acme/team-serve/by-hand-2")
    routed = replace(DEPLOYMENT, name="acme/team-serve/by-hand")
    observed = replace(
        seen(model_deployment(ADOPT, ADOPTED), None), strangers=(small, routed), project="acme"
    )

    plan = after(observed)

    assert plan.action is None
    assert plan.status.deployment is not None
    assert plan.status.deployment.id == routed.id, "the one with the traffic"


@pytest.mark.parametrize(
    "stranger",
    [
        replace(DEPLOYMENT, model="projects/proj_1/models/ml_other/revisions/rv_1"),
        replace(DEPLOYMENT, config="projects/proj_platform/configs/cr_other"),
    ],
)
def test_a_deployment_that_is_something_else_is_left_alone(stranger: Any) -> None:
    observed = replace(
        seen(model_deployment(ADOPT, ADOPTED), None), strangers=(stranger,), project="acme"
    )

    assert isinstance(after(observed).action, CreateDeployment)


def test_without_the_policy_nothing_is_taken_over() -> None:
    observed = replace(
        seen(model_deployment({}, ADOPTED), None), strangers=(DEPLOYMENT,), project="acme"
    )

    assert isinstance(after(observed).action, CreateDeployment)


SUMMARY = DeploymentSummary(DEPLOYMENT.id, DEPLOYMENT.name, DeploymentState.READY, 1, 1)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("acme/team-serve", "Ready", "acme/team-serve answers"),
        ("acme/by-hand", "Drifted", "renamed it (it was team-serve"),
    ],
)
def test_an_endpoint_that_was_renamed_serves_and_is_called_by_its_new_name(
    name: str, reason: str, words: str
) -> None:
    there = replace(ENDPOINT, name=name, deployments=(SUMMARY,))
    observed = replace(seen(model_deployment({}, SERVING), DEPLOYMENT), endpoint=there)

    plan = after(observed)

    assert plan.action is None
    assert ready(plan) == ("True", reason)
    assert words in message(plan)
    assert plan.status.endpoint is not None
    assert plan.status.endpoint.name == name
    settled = observed.md.model_copy(update={"status": plan.status})
    assert looks_settled(settled, there, NOW)
    again = replace(there, name="acme/team-serve-2")
    assert not looks_settled(settled, again, NOW), "another name is worth a look"
