"""Manifests of what is at Together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from together_operator.api.v1alpha1 import CustomModel, ModelDeployment
from together_operator.commands.exporting import Exported, Found, export, source_of
from together_operator.commands.rules import problem
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    Endpoint,
    Import,
    ImportState,
    Model,
    Placement,
    ScalingMetric,
    SupportedModel,
    TrafficShare,
    Tuning,
)

HUB = "https://huggingface.co/org/weights"
MODEL = Model("ml_1", "acme/Prod.Chat_8B", "proj_1", "ml_base")
BASE = SupportedModel("meta/base", "ml_base", capabilities=("CAPABILITY_EMBEDDING",))
ENDPOINT = Endpoint("ep_1", "acme/chat", "proj_1", traffic=(TrafficShare("dep_1", 1.0),))
SERVING = Deployment(
    "dep_1",
    "acme/chat/d",
    "ep_1",
    DeploymentState.READY,
    model="projects/proj_1/models/ml_1/revisions/rv_1",
    config="projects/platform/configs/cr_1",
    min_replicas=2,
    max_replicas=2,
)


def fetched(url: str, model: Model = MODEL, day: int = 1) -> Import:
    """An import that has ended well."""
    made = datetime(2026, 3, day, tzinfo=UTC)
    return Import(f"job_{day}", model.id, ImportState.SUCCEEDED, created_at=made, source=url)


def found(**parts: Any) -> Found:
    """One model, served by one endpoint."""
    whole: dict[str, Any] = {
        "models": [MODEL],
        "imports": [fetched(HUB)],
        "deployable": {"ml_1": "rv_1"},
        "endpoints": [ENDPOINT],
        "deployments": {"ep_1": [SERVING]},
        "bases": [BASE],
    }
    return Found(**{**whole, **parts})


def bodies(exported: Exported) -> list[dict[str, Any]]:
    return [manifest for _, manifest in exported.manifests]


def test_a_model_and_its_endpoint_are_adopted_and_kept() -> None:
    exported = export(found(), "team")
    model, deployment = bodies(exported)
    assert exported.left_out == []
    assert model["metadata"] == {"name": "prod-chat-8b", "namespace": "team"}
    assert model["spec"] == {
        "modelName": "Prod.Chat_8B",
        "type": "Embedding",
        "baseModel": "ml_base",
        "source": {"huggingFace": {"repo": "org/weights"}},
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    assert deployment["spec"] == {
        "modelRef": {"name": "prod-chat-8b"},
        "endpointName": "chat",
        "config": "cr_1",
        "replicas": 2,
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    CustomModel.model_validate(model)
    ModelDeployment.model_validate(deployment)


def test_an_older_revision_that_is_served_stays() -> None:
    exported = export(found(deployable={"ml_1": "rv_2"}), "team")
    [_, (comments, deployment)] = exported.manifests
    pinned = {"revisionPolicy": "Pinned", "revision": "rv_1"}
    assert pinned.items() <= deployment["spec"].items()
    assert comments == [
        "An older revision serves: without revision and its policy, the newest is rolled out."
    ]
    assert problem(ModelDeployment, deployment) is None


PLACED = Placement(regions=("us-central-4", "eu-west-1"))
METRIC = ScalingMetric("ttft", 500.0, "p95")


@pytest.mark.parametrize(
    ("facts", "fields"),
    [
        ({"placement": PLACED}, {"placement": {"regions": ["us-central-4", "eu-west-1"]}}),
        (
            {"placement": replace(PLACED, required=False)},
            {"placement": {"regions": ["us-central-4", "eu-west-1"], "constraint": "Preferred"}},
        ),
        ({"placement": Placement(hipaa=True)}, {"placement": {"hipaa": True}}),
        ({"placement": Placement(profile="pp_1")}, {"placement": {"profile": "pp_1"}}),
        ({"max_replicas": 5}, {"autoscaling": {"maxReplicas": 5}}),
        (
            {"max_replicas": 5, "tuning": Tuning((METRIC,), 60, 600, 3600)},
            {
                "autoscaling": {
                    "maxReplicas": 5,
                    "metrics": [{"name": "ttft", "target": 500, "percentile": "p95"}],
                    "scaleUpWindow": "60s",
                    "scaleDownWindow": "600s",
                    "scaleToZeroWindow": "3600s",
                }
            },
        ),
        (
            {"tuning": Tuning(scale_to_zero_window=3600)},
            {"autoscaling": {"maxReplicas": 2, "scaleToZeroWindow": "3600s"}},
        ),
        (
            {
                "min_replicas": 0,
                "max_replicas": 0,
                "state": DeploymentState.STOPPED,
                "tuning": Tuning(scale_to_zero_window=3600),
            },
            {"replicas": 0, "autoscaling": {"maxReplicas": 1, "scaleToZeroWindow": "3600s"}},
        ),
        ({"tuning": Tuning(inactive_timeout=60)}, {"inactiveTimeout": 60}),
        ({"tuning": Tuning(inactive_timeout=0)}, {}),
    ],
)
def test_where_it_runs_and_how_it_scales_is_written(
    facts: dict[str, Any], fields: dict[str, Any]
) -> None:
    exported = export(found(deployments={"ep_1": [replace(SERVING, **facts)]}), "team")
    _, deployment = bodies(exported)
    fixed = ("modelRef", "endpointName", "config", "adoptionPolicy", "deletionPolicy")
    said = {k: v for k, v in deployment["spec"].items() if k not in fixed}
    assert said == {"replicas": 2, **fields}
    ModelDeployment.model_validate(deployment)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"placement": Placement()}, "spec.placement can't say where it may run"),
        ({"placement": Placement(regions=("",))}, "spec.placement can't say"),
        (
            {"max_replicas": 5, "tuning": Tuning((ScalingMetric("queue_depth", 3.0),))},
            "spec.autoscaling can't say",
        ),
        ({"max_replicas": 2000}, "spec.autoscaling can't say"),
        ({"tuning": Tuning(inactive_timeout=5)}, "spec.inactiveTimeout can't be 5 minutes"),
    ],
)
def test_what_a_spec_can_not_say_is_left_out_with_the_reason(
    facts: dict[str, Any], words: str
) -> None:
    exported = export(found(deployments={"ep_1": [replace(SERVING, **facts)]}), "team")
    assert [body["kind"] for body in bodies(exported)] == ["CustomModel"]
    [reason] = exported.left_out
    assert reason.startswith("endpoint acme/chat: ")
    assert words in reason


def test_the_newest_import_is_the_source() -> None:
    imports = [fetched("https://huggingface.co/org/new", day=2), fetched(HUB, day=1)]
    [model, _] = bodies(export(found(imports=imports), None))
    assert model["spec"]["source"] == {"huggingFace": {"repo": "org/new"}}


def test_a_source_that_is_not_known_is_left_to_fill_in() -> None:
    [(comments, model), _] = export(found(imports=[]), None).manifests
    assert "fill in the source" in comments[0]
    assert model["spec"]["source"]["presignedURL"]["secretKeyRef"]["name"] == "prod-chat-8b-url"
    CustomModel.model_validate(model)


def test_names_that_fold_to_the_same_are_told_apart() -> None:
    other = Model("ml_2", "acme/prod-chat-8b", "proj_1", "ml_base")
    exported = export(
        found(models=[MODEL, other], deployable={"ml_1": "rv_1", "ml_2": "rv_2"}), None
    )
    names = [b["metadata"]["name"] for b in bodies(exported) if b["kind"] == "CustomModel"]
    assert names == ["prod-chat-8b", "prod-chat-8b-2"]


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"deployable": {}}, "model acme/Prod.Chat_8B: it has no weights"),
        ({"deployments": {}}, "endpoint acme/chat: no deployments serve it"),
        (
            {"models": [], "deployable": {}},
            "endpoint acme/chat: what it serves is no model of this project",
        ),
    ],
)
def test_what_can_not_be_an_object_is_named(parts: dict[str, Any], words: str) -> None:
    assert any(words in reason for reason in export(found(**parts), None).left_out)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        (HUB, {"huggingFace": {"repo": "org/weights"}}),
        (
            "https://bucket.s3.eu-west-1.amazonaws.com/a/m.tar.gz",
            {"s3": {"uri": "s3://bucket/a/m.tar.gz", "region": "eu-west-1"}},
        ),
        ("https://my.bucket.s3.amazonaws.com/m.zip", {"s3": {"uri": "s3://my.bucket/m.zip"}}),
        (
            "https://s3.us-east-2.amazonaws.com/bucket/m.zip",
            {"s3": {"uri": "s3://bucket/m.zip", "region": "us-east-2"}},
        ),
        (
            "http://127.0.0.1:9000/bucket/m%20m.zip",
            {"s3": {"uri": "s3://bucket/m m.zip", "endpointURL": "http://127.0.0.1:9000"}},
        ),
        ("https://example.com/m.zip", None),
        ("https://example.com/some/page", None),
        ("", None),
    ],
)
def test_the_source_is_told_from_where_together_fetched(url: str, source: object) -> None:
    assert source_of(url) == source
