"""From what is at Together to manifests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from together_operator.api.v1alpha1 import GROUP, VERSION
from together_operator.commands.exported_settings import settings_of, unsaid
from together_operator.domain.deployment.target import model_of
from together_operator.domain.together import (
    Deployment,
    Endpoint,
    Import,
    ImportState,
    Model,
    SupportedModel,
    Visibility,
)

Manifest = dict[str, Any]
_HUB = "huggingface.co"
_ARCHIVES = (".zip", ".tar", ".tar.gz")
_VIRTUAL = re.compile(r"^(?P<bucket>.+)\.s3(?:[.-](?P<region>[a-z0-9-]+))?\.amazonaws\.com$")
_PATH = re.compile(r"^s3(?:[.-](?P<region>[a-z0-9-]+))?\.amazonaws\.com$")


@dataclass(frozen=True, slots=True)
class Found:
    """What is at Together.

    Args:
        imports: of all models, in any order.
        deployable: the newest validated revision by the id of its model.
        deployments: by the id of their endpoint.
    """

    models: Sequence[Model]
    imports: Sequence[Import]
    deployable: Mapping[str, str]
    endpoints: Sequence[Endpoint]
    deployments: Mapping[str, Sequence[Deployment]]
    bases: Sequence[SupportedModel]


@dataclass
class Exported:
    """Manifests, each with the comments that go above it, and what was left out and why."""

    manifests: list[tuple[list[str], Manifest]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def export(found: Found, namespace: str | None) -> Exported:
    """A CustomModel for each model with weights, and a ModelDeployment for each endpoint.

    All of them adopt what is there, and leave it there when they are deleted.
    """
    exported, names = Exported(), _Names()
    refs: dict[str, str] = {}
    for model in sorted(found.models, key=lambda m: m.name):
        if model.id not in found.deployable:
            exported.left_out.append(f"model {model.name}: it has no weights")
            continue
        name = refs[model.id] = names.of("CustomModel", model.bare_name)
        exported.manifests.append(_custom_model(found, model, name, namespace))
    for endpoint in sorted(found.endpoints, key=lambda e: e.bare_name):
        problem = _add_deployment(exported, found, endpoint, refs, names, namespace)
        if problem is not None:
            exported.left_out.append(f"endpoint {endpoint.name}: {problem}")
    return exported


def _custom_model(
    found: Found, model: Model, name: str, namespace: str | None
) -> tuple[list[str], Manifest]:
    done = [j for j in found.imports if j.model_id == model.id and j.state is ImportState.SUCCEEDED]
    newest = max(done, key=lambda j: (j.created_at is not None, j.created_at), default=None)
    source = source_of(newest.source if newest is not None else "")
    comments = []
    if source is None:
        source = {"presignedURL": {"secretKeyRef": {"name": f"{name[:59]}-url", "key": "url"}}}
        comments.append("Together does not say where these weights came from: fill in the source.")
    elif "s3" in source:
        comments.append("Add credentialsSecretRef, unless the operator itself may read the object.")
    base = next((b for b in found.bases if b.model_id == model.base_model_id), None)
    spec: Manifest = {
        "modelName": model.bare_name,
        "type": _type(model, base),
        **({"baseModel": model.base_model_id} if model.base_model_id else {}),
        "source": source,
        **({"description": model.description} if model.description else {}),
        **({"visibility": "Internal"} if model.visibility == Visibility.INTERNAL else {}),
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    return comments, _manifest("CustomModel", name, namespace, spec)


def _type(model: Model, base: SupportedModel | None) -> str:
    if model.type == "adapter":
        return "Adapter"
    embeds = base is not None and "CAPABILITY_EMBEDDING" in base.capabilities
    return "Embedding" if embeds else "TextGeneration"


def _add_deployment(
    exported: Exported,
    found: Found,
    endpoint: Endpoint,
    refs: Mapping[str, str],
    names: _Names,
    namespace: str | None,
) -> str | None:
    """Add the endpoint's manifest; or say why there is none."""
    weights = {share.deployment_id: share.weight for share in endpoint.traffic if share.weight > 0}
    deployments = found.deployments.get(endpoint.id, ())
    serving = [d for d in deployments if d.id in weights] or list(deployments)
    if len(serving) != 1:
        count = "no" if not serving else f"{len(serving)}"
        return f"{count} deployments serve it, and an object stands for one"
    [deployment] = serving
    model_id, revision = model_of(deployment)
    reference = refs.get(model_id or deployment.model)
    if reference is None:
        return "what it serves is no model of this project with weights"
    spec: Manifest = {
        "modelRef": {"name": reference},
        "endpointName": endpoint.bare_name,
        "config": deployment.config.rpartition("/")[2],
        "replicas": deployment.min_replicas,
        "adoptionPolicy": "Adopt",
        "deletionPolicy": "Retain",
    }
    settings, comments = settings_of(deployment)
    spec |= settings
    if revision is not None and revision != found.deployable.get(model_id):
        spec |= {"revisionPolicy": "Pinned", "revision": revision}
        comments.append(
            "An older revision serves: without revision and its policy, the newest is rolled out."
        )
    problem = unsaid(spec, deployment)
    if problem is not None:
        return problem
    name = names.of("ModelDeployment", endpoint.bare_name)
    manifest = _manifest("ModelDeployment", name, namespace, spec)
    exported.manifests.append((comments, manifest))
    return None


def _manifest(kind: str, name: str, namespace: str | None, spec: Manifest) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": name, **place},
        "spec": spec,
    }


class _Names:
    """Names of objects: those of Together as far as Kubernetes allows, each only once a kind."""

    def __init__(self) -> None:
        self._taken: set[tuple[str, str]] = set()

    def of(self, kind: str, bare: str) -> str:
        """A free name for something that is called `bare` at Together."""
        stem = re.sub(r"[^a-z0-9]+", "-", bare.lower()).strip("-")[:58].rstrip("-") or "unnamed"
        name = next(n for n in self._tries(stem) if (kind, n) not in self._taken)
        self._taken.add((kind, name))
        return name

    @staticmethod
    def _tries(stem: str) -> Iterable[str]:
        yield stem
        yield from (f"{stem}-{number}" for number in range(2, 10_000))


def source_of(url: str) -> Manifest | None:
    """`spec.source` for the place that an import was from; None where that can't be told.

    Args:
        url: without parameters: a repository of Hugging Face, or an object in S3.
    """
    parts = urlsplit(url)
    host, path = parts.hostname or "", unquote(parts.path.strip("/"))
    if host in {_HUB, f"www.{_HUB}"} and path.count("/") == 1:
        return {"huggingFace": {"repo": path}}
    if not path.endswith(_ARCHIVES):
        return None
    virtual, by_path = _VIRTUAL.match(host), _PATH.match(host)
    if virtual:
        return _s3(f"{virtual['bucket']}/{path}", virtual["region"], None)
    if "/" not in path:
        return None
    if by_path:
        return _s3(path, by_path["region"], None)
    return _s3(path, None, f"{parts.scheme}://{parts.netloc}")


def _s3(place: str, region: str | None, endpoint: str | None) -> Manifest:
    return {
        "s3": {
            "uri": f"s3://{place}",
            **({"region": region} if region else {}),
            **({"endpointURL": endpoint} if endpoint else {}),
        }
    }
