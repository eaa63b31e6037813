"""Manifests of our kinds, as a user would write them."""

from __future__ import annotations

from typing import Any

from together_operator.api.v1alpha1 import API_VERSION

Object = dict[str, Any]

CHAT_BASE = "Qwen/Qwen2.5-0.5B-Instruct"
EMBEDDING_BASE = "sentence-transformers/all-MiniLM-L6-v2"
CREDENTIALS = "s3-credentials"


def custom_model(name: str, source: Object, **spec: Any) -> Object:
    """A text model based on `CHAT_BASE`, unless the spec says something else."""
    spec = {"baseModel": CHAT_BASE, "source": source, **spec}
    return _object("CustomModel", name, {k: v for k, v in spec.items() if v is not None})


def model_deployment(name: str, model: str, **spec: Any) -> Object:
    """A deployment of the CustomModel `model`."""
    return _object("ModelDeployment", name, {"modelRef": {"name": model}, **spec})


def deployment_of(name: str, model: str, **spec: Any) -> Object:
    """A deployment of a model at Together, by its name or id there."""
    return _object("ModelDeployment", name, {"model": model, **spec})


def hugging_face(repo: str, **fields: Any) -> Object:
    """The source `huggingFace`."""
    return {"huggingFace": {"repo": repo, **fields}}


def presigned(secret: str, key: str = "url") -> Object:
    """The source `presignedURL`."""
    return {"presignedURL": {"secretKeyRef": {"name": secret, "key": key}}}


def secret(name: str, **values: str) -> Object:
    """A Secret with text values."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": values,
    }


def _object(kind: str, name: str, spec: Object) -> Object:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
