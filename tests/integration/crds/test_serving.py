"""What users see of the kinds through kubectl: documentation, defaults, columns, scaling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.crds.manifests import (
    ABSENT,
    CUSTOM_MODEL_STATUS,
    DEPLOYMENT,
    DEPLOYMENT_STATUS,
    FROM_HUGGING_FACE,
    FROM_PREFIX,
    FROM_PRESIGNED_URL,
    Manifest,
    changed,
)
from tests.integration.crds.objects import PLURALS, eventually
from tests.support.cluster import KubectlError
from together_operator.api.v1alpha1 import (
    API_VERSION,
    GROUP,
    VERSION,
    CustomModel,
    JobSettings,
    ModelDeployment,
)

if TYPE_CHECKING:
    from tests.integration.crds.objects import Objects
    from tests.support.cluster import ThrowawayCluster

pytestmark = pytest.mark.integration

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def test_every_field_is_documented(served: ThrowawayCluster) -> None:
    document = eventually(lambda: _openapi(served))

    fields = {
        f"{kind}.{path}": field
        for kind in PLURALS
        for path, field in _fields(
            document["components"]["schemas"][f"ai.together.{VERSION}.{kind}"]
        )
    }

    assert "CustomModel.spec.job.tolerations[].effect" in fields
    undocumented = [
        path
        for path, field in fields.items()
        if not path.endswith(".metadata") and not field.get("description", "").strip()
    ]
    assert undocumented == []


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("custommodel", "Weights that shall be a model at Together AI"),
        ("cmodel.spec.source.s3.uri", "s3://bucket/prefix/, which a Job first packs"),
        ("custommodel.spec.type", "TextGeneration, Embedding, or Adapter"),
        ("modeldeployment.spec.replicas", "0 stops serving and billing"),
        ("mdeploy.status.cost.perHour", "Dollars that all replicas together cost"),
    ],
)
def test_kubectl_explains(served: ThrowawayCluster, field: str, words: str) -> None:
    eventually(lambda: _openapi(served))

    assert words in " ".join(served.kubectl("explain", field).split())


def test_kubectl_explains_a_whole_spec(served: ThrowawayCluster) -> None:
    eventually(lambda: _openapi(served))

    listed = served.kubectl("explain", "custommodel.spec", "--recursive")

    for field in (
        "huggingFace",
        "persistentVolumeClaim",
        "presignedURL",
        "retention",
        "credentialsSecretRef",
        "podAntiAffinity",
    ):
        assert field in listed


def test_defaults_are_those_of_the_models(objects: Objects) -> None:
    with objects.stored(FROM_HUGGING_FACE) as stored:
        source = changed(FROM_HUGGING_FACE, {"spec.source.huggingFace.transfer": "Auto"})
        assert stored["spec"] == source["spec"] | {
            "type": "TextGeneration",
            "description": "",
            "visibility": "Private",
            "deletionPolicy": "Delete",
            "adoptionPolicy": "Never",
            "suspend": False,
        }
        sent, got = (CustomModel.model_validate(body) for body in (FROM_HUGGING_FACE, stored))
        assert got.spec == sent.spec


def test_defaults_of_a_job_are_those_of_the_models(objects: Objects) -> None:
    with objects.stored(changed(FROM_PREFIX, {"spec.job": {}})) as stored:
        assert stored["spec"]["job"] == {
            "activeDeadlineSeconds": 86400,
            "stallSeconds": 900,
            "ttlSecondsAfterFinished": 3600,
        }
        assert CustomModel.model_validate(stored).spec.job == JobSettings()


@pytest.mark.parametrize(
    ("manifest", "path", "key"),
    [
        (FROM_HUGGING_FACE, "spec.source.huggingFace.tokenSecretRef", "token"),
        (FROM_PRESIGNED_URL, "spec.source.presignedURL.secretKeyRef", "url"),
        (FROM_HUGGING_FACE, "spec.apiKeySecretRef", "TOGETHER_API_KEY"),
        (DEPLOYMENT, "spec.apiKeySecretRef", "TOGETHER_API_KEY"),
    ],
)
def test_a_secret_reference_needs_no_key(
    objects: Objects, manifest: Manifest, path: str, key: str
) -> None:
    stored: Any = objects.create(changed(manifest, {path: {"name": "secret"}}), dry_run=True)

    for step in path.split("."):
        stored = stored[step]
    assert stored == {"name": "secret", "key": key}


def test_a_deployment_has_one_replica_by_default(objects: Objects) -> None:
    minimal = changed(DEPLOYMENT, {"spec": {"modelRef": {"name": "model"}}})

    stored = objects.create(minimal, dry_run=True)

    assert stored["spec"]["replicas"] == 1
    sent, got = (ModelDeployment.model_validate(body) for body in (minimal, stored))
    assert got.spec == sent.spec


@pytest.mark.parametrize("manifest", [FROM_HUGGING_FACE, DEPLOYMENT], ids=lambda m: m["kind"])
def test_an_object_that_nobody_has_looked_at_is_in_progress(
    objects: Objects, manifest: Manifest
) -> None:
    with objects.stored(manifest) as stored:
        assert stored["status"] == {"observedGeneration": -1}


def test_a_status_in_a_manifest_is_not_taken(objects: Objects) -> None:
    with objects.stored(FROM_HUGGING_FACE | {"status": CUSTOM_MODEL_STATUS}) as stored:
        assert stored["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize(
    ("manifest", "status", "model"),
    [
        (FROM_PREFIX, CUSTOM_MODEL_STATUS, CustomModel),
        (DEPLOYMENT, DEPLOYMENT_STATUS, ModelDeployment),
    ],
    ids=["CustomModel", "ModelDeployment"],
)
def test_a_status_is_stored_as_it_was_dumped(
    objects: Objects,
    manifest: Manifest,
    status: Manifest,
    model: type[CustomModel | ModelDeployment],
) -> None:
    dumped = model.model_validate(manifest | {"status": status}).status.to_body()

    with objects.stored(manifest, dumped) as stored:
        assert stored["status"] == dumped == status
        assert model.model_validate(stored).status.to_body() == dumped


def test_a_misspelt_field_is_refused_by_kubectl(served: ThrowawayCluster, objects: Objects) -> None:
    misspelt = changed(FROM_HUGGING_FACE, {"spec.deletePolicy": "Retain"})

    with pytest.raises(KubectlError, match=r'unknown field "spec\.deletePolicy"'):
        served.kubectl(
            *("create", "--dry-run=server", f"--namespace={objects.namespace}", "--filename=-"),
            input=json.dumps(misspelt),
        )


def test_columns_of_custom_models(served: ThrowawayCluster, objects: Objects) -> None:
    with objects.stored(FROM_PREFIX, CUSTOM_MODEL_STATUS):
        table = _table(served, objects, "cmodel", "--output=wide")

    del table["AGE"]
    assert table == {
        "NAME": "model",
        "READY": "True",
        "STATUS": "Imported",
        "PROGRESS": "63% 1.2GiB/s 4m",
        "MODEL": "acme/model",
        "TYPE": "TextGeneration",
        "SOURCE": "s3://models/support/v1/",
        "SIZE": "14.9GiB",
        "JOB": "job_1",
        "REVISION": "rv_1",
    }


def test_columns_of_model_deployments(served: ThrowawayCluster, objects: Objects) -> None:
    with objects.stored(DEPLOYMENT, DEPLOYMENT_STATUS):
        table = _table(served, objects, "mdeploy")

    del table["AGE"]
    assert table == {
        "NAME": "deployment",
        "READY": "True",
        "STATUS": "Imported",
        "MODEL": "model",
        "ENDPOINT": "acme/support",
        "REPLICAS": "1/2",
        "$/HOUR": "6.72",
    }


def test_the_model_column_names_a_model_that_has_no_custom_model(
    served: ThrowawayCluster, objects: Objects
) -> None:
    without = changed(DEPLOYMENT, {"spec.modelRef": ABSENT, "spec.model": "acme/support"})

    with objects.stored(without):
        assert _table(served, objects, "mdeploy")["MODEL"] == "acme/support"


def test_the_category_lists_both_kinds(served: ThrowawayCluster, objects: Objects) -> None:
    with objects.stored(FROM_PREFIX), objects.stored(DEPLOYMENT):
        listed = eventually(lambda: _both(served, objects))

    assert listed == {f"custommodel.{GROUP}/model", f"modeldeployment.{GROUP}/deployment"}


def test_a_deployment_is_scaled(served: ThrowawayCluster, objects: Objects) -> None:
    at = f"--namespace={objects.namespace}"
    with objects.stored(DEPLOYMENT, DEPLOYMENT_STATUS) as before:
        served.kubectl("scale", at, "modeldeployment/deployment", "--replicas=5")
        after = objects.get(before)
        path = f"/apis/{API_VERSION}/namespaces/{objects.namespace}/modeldeployments/deployment"
        scale = json.loads(served.kubectl("get", "--raw", f"{path}/scale"))

    assert after["spec"] == before["spec"] | {"replicas": 5}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert scale["spec"] == {"replicas": 5}
    assert scale["status"] == {"replicas": 2, "selector": "together.ai/deployment=deployment"}


def test_a_deployment_is_not_scaled_below_zero(served: ThrowawayCluster, objects: Objects) -> None:
    at = f"--namespace={objects.namespace}"
    with objects.stored(DEPLOYMENT), pytest.raises(KubectlError):
        served.kubectl(
            *("patch", at, "modeldeployment/deployment", "--subresource=scale", "--type=merge"),
            '--patch={"spec": {"replicas": -1}}',
        )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_accepted(served: ThrowawayCluster, objects: Objects, example: Path) -> None:
    at = f"--namespace={objects.namespace}"

    printed = served.kubectl("create", at, "--dry-run=server", f"--filename={example}")

    assert "created (server dry run)" in printed


def test_there_is_an_example_for_each_way() -> None:
    assert [path.name for path in EXAMPLES] == [
        "custommodel-huggingface-revision.yaml",
        "custommodel-huggingface.yaml",
        "custommodel-presigned.yaml",
        "custommodel-s3-archive.yaml",
        "custommodel-s3-prefix.yaml",
        "custommodel-volume.yaml",
        "modeldeployment-autoscaling.yaml",
        "modeldeployment-canary.yaml",
        "modeldeployment-office-hours.yaml",
        "modeldeployment.yaml",
        "secrets.example.yaml",
    ]


def _openapi(cluster: ThrowawayCluster) -> dict[str, Any]:
    """The API server's own documentation, which `kubectl explain` reads; it comes a bit later."""
    printed = cluster.kubectl("get", "--raw", f"/openapi/v3/apis/{API_VERSION}")
    document: dict[str, Any] = json.loads(printed)
    for kind in PLURALS:
        assert f"ai.together.{VERSION}.{kind}" in document["components"]["schemas"]
    return document


def _fields(schema: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every field below a schema, with its path."""
    found = []
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}".lstrip(".")
        found.append((here, field))
        found += _fields(field, here)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            found += _fields(schema[keyword], f"{path}[]")
    return found


def _table(cluster: ThrowawayCluster, objects: Objects, kind: str, *options: str) -> dict[str, str]:
    """The only row of `kubectl get`, by its columns' headings."""
    heading, row = cluster.kubectl(
        "get", kind, f"--namespace={objects.namespace}", *options
    ).splitlines()
    starts = [heading.index(name) for name in heading.split()]
    ends = [*starts[1:], max(len(heading), len(row))]
    return {
        heading[start:end].strip(): row[start:end].strip()
        for start, end in zip(starts, ends, strict=True)
    }


def _both(cluster: ThrowawayCluster, objects: Objects) -> set[str]:
    printed = cluster.kubectl(
        "get", "together", f"--namespace={objects.namespace}", "--output=name"
    )
    assert len(printed.splitlines()) == 2, printed
    return set(printed.split())
