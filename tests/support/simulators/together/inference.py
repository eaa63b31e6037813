"""Inference: who answers a request, and with what."""

import asyncio
import random
from typing import Any

from tests.support.simulators.together import weights
from tests.support.simulators.together.blobs import Blobs
from tests.support.simulators.together.catalog import PLATFORM_PROJECT
from tests.support.simulators.together.errors import GatewayError
from tests.support.simulators.together.lifecycle import Lifecycle
from tests.support.simulators.together.records import V1_USER, Deployment, Endpoint
from tests.support.simulators.together.store import Project, Store

_MAX_WORDS = 16


class Inference:
    """Routes requests by the traffic split and answers them from the imported weights."""

    def __init__(self, store: Store, lifecycle: Lifecycle, blobs: Blobs, *, seed: int = 0) -> None:
        self._store = store
        self._lifecycle = lifecycle
        self._blobs = blobs
        self._random = random.Random(seed)

    def route(self, projects: dict[str, Project], project: Project, name: object) -> Deployment:
        """The deployment that gets a request for this `model`; GatewayError 400, 404, 503."""
        if not isinstance(name, str) or not name:
            raise GatewayError(400, "model: is required")
        slug, _, rest = name.removeprefix(f"{V1_USER}/").partition("/")
        endpoint_name, _, deployment_name = rest.partition("/")
        owner = projects.get(slug)
        endpoint = self._endpoint(owner, endpoint_name)
        if endpoint is None or not _may_call(project, owner, endpoint):
            raise GatewayError(404, f"Unable to access model {name}", symbol="model_not_available")
        candidates = self._candidates(endpoint, deployment_name)
        ready = [(d, weight * d.ready) for d, weight in candidates if weight * d.ready > 0]
        if not ready:
            raise self._unrouted(name)
        chosen = self._random.choices([d for d, _ in ready], [share for _, share in ready])[0]
        chosen.requests += 1
        chosen.last_request_at = self._store.clock.now()
        return chosen

    async def embeddings(self, deployment: Deployment, texts: list[str]) -> dict[str, Any]:
        """Embeddings of some texts; GatewayError 400 when it is no embedding model."""
        self._require(deployment, "CAPABILITY_EMBEDDING", "embeddings")
        embedder = await self._embedder(deployment)
        vectors = [await asyncio.to_thread(embedder.embed, text) for text in texts]
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, (vector, _) in enumerate(vectors)
            ],
            "usage": _usage(sum(count for _, count in vectors), 0),
        }

    async def complete(self, deployment: Deployment, prompt: str, length: int) -> tuple[str, Any]:
        """A continuation of a prompt, and its usage; GatewayError 400 for embedding models."""
        self._require(deployment, "CAPABILITY_CHAT", "chat")
        embedder = await self._embedder(deployment)
        words = max(1, min(length, _MAX_WORDS))
        text = await asyncio.to_thread(embedder.complete, prompt, words)
        return text, _usage(len(embedder.tokenize(prompt)), len(text.split()))

    def _endpoint(self, owner: Project | None, name: str) -> Endpoint | None:
        if owner is None:
            return None
        return self._store.endpoints.get(self._store.endpoint_names.get((owner.id, name), ""))

    def _candidates(self, endpoint: Endpoint, name: str) -> list[tuple[Deployment, float]]:
        deployments = self._store.deployments_of(endpoint.id)
        for deployment in deployments:
            self._lifecycle.advance(deployment)
        if name:
            return [(d, 1.0) for d in deployments if d.name == name]
        weight = {entry.deployment_id: entry.weight for entry in endpoint.split}
        return [(d, weight.get(d.id, 0.0)) for d in deployments]

    def _unrouted(self, name: str) -> GatewayError:
        if self._lifecycle.behaviour.unrouted_error == "endpoint_not_configured":
            return GatewayError(
                400, f"Endpoint {name} is not configured", symbol="endpoint_not_configured"
            )
        return GatewayError(
            503,
            f"No deployment of {name} can take traffic",
            type_="routing_error",
            symbol="routing_error",
        )

    def _require(self, deployment: Deployment, capability: str, what: str) -> None:
        if self._capability(deployment) != capability:
            raise GatewayError(400, f"This model does not support {what}")

    def _capability(self, deployment: Deployment) -> str:
        model = self._store.models.get(deployment.model_id)
        base = self._store.catalog.base(model.base_model_id if model else deployment.model_id)
        if base is not None:
            return base[0].capability
        # A model that came by v1 names no base: it is what its weights say.
        architecture = model.latest.weights.architecture if model and model.latest else ""
        same = (e for e in self._store.catalog.models if e.architecture == architecture)
        return next((entry.capability for entry in same), "")

    async def _embedder(self, deployment: Deployment) -> weights.Embedder:
        model = self._store.models.get(deployment.model_id)
        if deployment.model_project_id == PLATFORM_PROJECT or model is None:
            raise GatewayError(501, "The simulator has no weights for public models")
        revision = next(r for r in model.revisions if r.id == deployment.revision_id)
        files = {file.path: self._blobs.open_path(file) for file in revision.files}
        embedder = await asyncio.to_thread(weights.load, files)
        if embedder is None:
            raise GatewayError(501, "The simulator can't run this architecture")
        return embedder


def _may_call(caller: Project, owner: Project | None, endpoint: Endpoint) -> bool:
    if owner is None or owner.id == caller.id:
        return owner is not None
    shared = endpoint.visibility == "VISIBILITY_INTERNAL"
    return shared and owner.organization_id == caller.organization_id


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
