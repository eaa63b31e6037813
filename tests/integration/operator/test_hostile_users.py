"""A user who may create both kinds in one namespace: what the operator does not do for them."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.cluster import KubectlError
from tests.support.conditions import condition
from tests.support.environment import BUCKET
from tests.support.manifests import (
    custom_model,
    hugging_face,
    model_deployment,
    presigned,
    secret,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.operator.surroundings import Surroundings
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

MALLORY = "--as=mallory"
ROLE: Object = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "user"},
    "rules": [
        {
            "apiGroups": ["together.ai"],
            "resources": ["custommodels", "modeldeployments"],
            "verbs": ["*"],
        },
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "patch"]},
    ],
}
BINDING: Object = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "user"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "user"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}],
}
METADATA = "http://169.254.169.254"


@pytest.fixture
def mallory(workspace: Workspace) -> Workspace:
    """Their namespace."""
    for manifest in (ROLE, BINDING):
        workspace.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    return workspace


@pytest.fixture
def victim(surroundings: Surroundings) -> Iterator[str]:
    """A namespace of somebody else's, with a Secret `victim` that has every key."""
    values = {
        "token": "hf_victims-token",
        "api-key": "victims-api-key",
        "url": "https://example.com/m.zip?X-Amz-Signature=victims-signature",
        "AWS_ACCESS_KEY_ID": "victims-key-id",
        "AWS_SECRET_ACCESS_KEY": "victims-secret-key",
    }
    with surroundings.cluster.new_namespace("victim") as namespace:
        made = json.dumps(secret("victim", **values))
        surroundings.cluster.kubectl("-n", namespace, "apply", "-f", "-", input=made)
        yield namespace


def create(mallory: Workspace, *manifests: Object) -> None:
    """As mallory, who may do nothing else."""
    mallory.mark()
    items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    mallory.kubectl("create", MALLORY, "-f", "-", input=json.dumps(items))


def s3_at(endpoint: str | None, credentials: str = "s3-credentials") -> Object:
    """A place in a store."""
    place: Object = {"uri": f"s3://{BUCKET}/shared/chat.zip", "region": "us-east-1"}
    place["credentialsSecretRef"] = {"name": credentials}
    return place | ({"endpointURL": endpoint} if endpoint else {})


def references_to(name: str) -> list[Object]:
    """Every way in which a manifest can refer to a Secret."""
    api_key = {"apiKeySecretRef": {"name": name, "key": "api-key"}}
    prefix = {**s3_at(None), "uri": f"s3://{BUCKET}/shared/chat/"}
    destination = {**s3_at(None, name), "uri": f"s3://{BUCKET}/archives/"}
    return [
        custom_model("by-key", hugging_face(CHAT), **api_key),
        custom_model("by-token", hugging_face(CHAT, tokenSecretRef={"name": name})),
        custom_model("by-url", presigned(name)),
        custom_model("by-s3", {"s3": s3_at(None, name)}),
        custom_model("by-archive", {"s3": prefix}, archive={"destination": destination}),
        model_deployment("by-key", "by-key", **api_key),
    ]


def test_a_secret_of_another_namespace_is_never_read(mallory: Workspace, victim: str) -> None:
    cluster = mallory.surroundings.cluster
    before = sum(1 for _ in cluster.audit())  # other tests read as this user, too
    create(mallory, *references_to("victim"))
    mallory.apply(mallory.s3_secret())

    for name in ("by-key", "by-token", "by-url", "by-s3"):
        mallory.shows(MODEL, name, "SecretMissing", "victim")
    mallory.shows(DEPLOYMENT, "by-key", "SecretMissing", "victim")
    # The Job's pod can't start: its Secret is not there either.
    mallory.until(
        MODEL,
        "by-archive",
        lambda found: "victim" in condition(found, "Ready").get("message", ""),
        "says that the Secret of its Job is not there",
    )
    reads = {
        (entry.namespace, entry.verb)
        for entry in islice(cluster.audit(), before, None)
        if entry.user == "operator" and entry.resource == "secrets"
    }
    assert (victim, "get") not in reads
    assert {verb for _, verb in reads} == {"get"}, "by name, and never listed"
    assert "victims" not in everything_told(mallory)


@pytest.mark.parametrize(
    "reference",
    [{"name": "{victim}/victim"}, {"name": "../{victim}/secrets/victim"}],
    ids=["a namespace in the name", "a path in the name"],
)
def test_a_name_that_leads_elsewhere_is_refused_by_the_api(
    reference: dict[str, str], mallory: Workspace, victim: str
) -> None:
    named = {key: value.format(victim=victim) for key, value in reference.items()}
    source = hugging_face(CHAT, tokenSecretRef=named)
    with pytest.raises(KubectlError) as caught:
        create(mallory, custom_model("by-name", source))
    assert "must be the name of a Secret" in str(caught.value)


def test_a_namespace_beside_the_name_is_refused_by_the_api(mallory: Workspace, victim: str) -> None:
    source = hugging_face(CHAT, tokenSecretRef={"name": "victim", "namespace": victim})
    with pytest.raises(KubectlError) as caught:
        create(mallory, custom_model("by-namespace", source))
    said = str(caught.value)
    assert 'unknown field "namespace"' in said or 'tokenSecretRef.namespace"' in said, said


def test_the_metadata_address_is_never_reached(mallory: Workspace) -> None:
    url = f"{METADATA}/latest/meta-data/iam/security-credentials/?X-Amz-Signature=x"
    prefix = {**s3_at(mallory.s3("")["endpointURL"]), "uri": f"s3://{BUCKET}/shared/chat/"}
    destination = {**s3_at(METADATA), "uri": f"s3://{BUCKET}/archives/"}
    mallory.apply(mallory.s3_secret())
    create(
        mallory,
        secret("url", url=url),
        custom_model("endpoint", {"s3": s3_at(METADATA)}),
        custom_model("spelled", {"s3": s3_at("http://2852039166")}),
        custom_model("mapped", {"s3": s3_at("http://[::ffff:169.254.169.254]")}),
        custom_model(
            "prefix",
            {"s3": s3_at(METADATA) | {"uri": f"s3://{BUCKET}/p/"}},
            archive={"destination": destination},
        ),
        custom_model("destination", {"s3": prefix}, archive={"destination": destination}),
        custom_model("url", presigned("url")),
    )

    for name in ("endpoint", "spelled", "mapped", "prefix", "destination", "url"):
        found = mallory.shows(MODEL, name, "AddressRefused", "a metadata service's")
        assert condition(found, "Stalled")["status"] == "True"
        assert condition(found, "SourceReady")["status"] == "False"
    assert json.loads(mallory.kubectl("get", "jobs", "-o", "json"))["items"] == []
    assert "X-Amz-Signature" not in everything_told(mallory)
    assert mallory.audit("model") == []


CANARY = "c4n4ry"
"""In every value that must never be seen again."""


def test_no_key_is_ever_printed(mallory: Workspace) -> None:
    wrong_url = f"{mallory.presign('shared/chat.zip', 9000)}{CANARY}"
    create(
        mallory,
        secret("key", **{"api-key": f"tgp_{CANARY}"}),
        secret("odd-key", **{"api-key": f"tgp {CANARY}\r\nX-Evil: 1 é"}),
        secret("token", token=f"hf_{CANARY}"),
        secret("odd-token", token=f"hf {CANARY}\r\nX-Evil: 1 é"),
        secret("url", url=wrong_url),
        secret("no-url", url=f"ftp://user:{CANARY}@example.com/model.zip"),
        secret("aws", AWS_ACCESS_KEY_ID=f"AKIA{CANARY}", AWS_SECRET_ACCESS_KEY=CANARY),
        secret("odd-aws", AWS_ACCESS_KEY_ID=f"A {CANARY}\n1", AWS_SECRET_ACCESS_KEY=f"é {CANARY}"),
    )
    endpoint = mallory.s3("")["endpointURL"]
    destination = {**s3_at(endpoint, "aws"), "uri": f"s3://{BUCKET}/archives/"}
    prefix = {**s3_at(endpoint), "uri": f"s3://{BUCKET}/shared/chat/"}
    mallory.apply(mallory.s3_secret())
    models: dict[str, tuple[dict[str, Any], Object]] = {
        "key": ({"apiKeySecretRef": {"name": "key", "key": "api-key"}}, hugging_face(CHAT)),
        "odd-key": ({"apiKeySecretRef": {"name": "odd-key", "key": "api-key"}}, hugging_face(CHAT)),
        "token": ({}, hugging_face(CHAT, tokenSecretRef={"name": "token"})),
        "odd-token": ({}, hugging_face(CHAT, tokenSecretRef={"name": "odd-token"})),
        "url": ({}, presigned("url")),
        "no-url": ({}, presigned("no-url")),
        "aws": ({}, {"s3": s3_at(endpoint, "aws")}),
        "odd-aws": ({}, {"s3": s3_at(endpoint, "odd-aws")}),
        "archive": ({"archive": {"destination": destination}}, {"s3": prefix}),
    }
    create(
        mallory,
        *(custom_model(name, source, **spec) for name, (spec, source) in models.items()),
        model_deployment("key", "key", apiKeySecretRef={"name": "key", "key": "api-key"}),
    )

    for name in models:
        mallory.until(
            MODEL, name, lambda found: condition(found, "Stalled").get("status") == "True", "stalls"
        )
    told = everything_told(mallory)
    # What their keys can't delete is let go, since nothing was made with them.
    for kind in (MODEL, DEPLOYMENT):
        mallory.kubectl("annotate", kind, "--all", "together.ai/release=true")
    assert CANARY not in told
    assert mallory.simulators.key not in told
    assert "X-Evil" not in told


def everything_told(workspace: Workspace) -> str:
    """What the operator and its Jobs have said to anybody who may look, Secrets left out."""
    shown = workspace.kubectl(
        "get", "custommodels,modeldeployments,jobs,pods,events,configmaps", "-o", "yaml"
    )
    pods = json.loads(workspace.kubectl("get", "pods", "-o", "json"))["items"]
    logs = [workspace.kubectl("logs", pod["metadata"]["name"], check=False) for pod in pods]
    metrics = "\n".join(workspace.operator.metrics())
    return "\n".join((shown, *logs, metrics, workspace.operator.log.read_text()))
