"""Objects that people apply in scenarios."""

from __future__ import annotations

from typing import Any

from tests.support.fakes.api_server import Manifest

REPO = "acme/tiny"
PRIVATE_REPO = "acme/private"
HUB_TOKEN = "hf_secret-token"
ARCHIVE = "s3://models/tiny.zip"
PREFIX = "s3://models/tiny/"
S3_KEY = "AKIA-secret"


def custom_model(
    name: str, source: dict[str, Any], *, namespace: str = "team", **spec: Any
) -> Manifest:
    """A CustomModel."""
    return {
        "kind": "CustomModel",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": "Embedding", "source": source, **spec},
    }


def model_deployment(name: str, model: str, *, namespace: str = "team", **spec: Any) -> Manifest:
    """A ModelDeployment."""
    return {
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"modelRef": {"name": model}, "replicas": 1, **spec},
    }


def hugging_face(repo: str = REPO, **more: Any) -> dict[str, Any]:
    """A repository as a source."""
    return {"huggingFace": {"repo": repo, **more}}


def private_repository() -> dict[str, Any]:
    """A repository that takes a token."""
    return hugging_face(PRIVATE_REPO, tokenSecretRef={"name": "hub", "key": "token"})


def s3(uri: str) -> dict[str, Any]:
    """S3 with credentials as a source."""
    return {"s3": {"uri": uri, "credentialsSecretRef": {"name": "s3"}}}


def presigned() -> dict[str, Any]:
    """A URL in a Secret as a source."""
    return {"presignedURL": {"secretKeyRef": {"name": "url", "key": "url"}}}


def archive() -> dict[str, Any]:
    """Where archives go."""
    return {"destination": {"uri": "s3://archives/sim", "credentialsSecretRef": {"name": "s3"}}}
