"""Situations that contract tests start from, and waiting for what a remote does by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import SecretStr

from tests.support.simulators.pytest_plugin import TINY_EMBEDDING
from together_operator.domain.together import (
    Deployment,
    Endpoint,
    Import,
    ImportState,
    Model,
    NewDeployment,
    NewModel,
    TrafficShare,
)
from together_operator.ports import ModelProvider

T = TypeVar("T")
BASE = "sentence-transformers/all-MiniLM-L6-v2"
CHAT_BASE = "Qwen/Qwen2.5-0.5B-Instruct"
FINAL = (ImportState.SUCCEEDED, ImportState.FAILED)


async def until(
    read: Callable[[], Awaitable[T]], done: Callable[[T], bool], *, seconds: float = 30.0
) -> T:
    """Read until what was read is as wanted; AssertionError with the last one after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        found = await read()
        if done(found):
            return found
        assert asyncio.get_running_loop().time() < deadline, f"still {found}"
        await asyncio.sleep(0.02)


async def base_model_id(provider: ModelProvider, name: str = BASE) -> str:
    """The `ml_` id of a base model of the catalog."""
    found = await provider.find_supported_models(name)
    return next(entry.model_id for entry in found if entry.name == name)


async def create_model(provider: ModelProvider, name: str = "m", base: str = BASE) -> Model:
    """A model without files."""
    base_id = await base_model_id(provider, base)
    return await provider.create_model(NewModel(name, base_id, "model", "a model"))


async def finished(provider: ModelProvider, job: Import) -> Import:
    """An import when nothing more happens to it."""
    return await until(lambda: provider.get_import(job.id), lambda found: found.state in FINAL)


async def import_url(provider: ModelProvider, model: Model, url: str) -> Import:
    """The end of an import from a URL."""
    return await finished(provider, await provider.start_import(model.id, SecretStr(url)))


async def imported_model(provider: ModelProvider, name: str = "m") -> Model:
    """A model with (tiny) weights from the hub."""
    model = await create_model(provider, name)
    job = await import_url(provider, model, f"https://huggingface.co/{TINY_EMBEDDING}")
    assert job.state == ImportState.SUCCEEDED, job.message
    return model


@dataclass(frozen=True)
class Served:
    """An endpoint with one deployment."""

    model: Model
    endpoint: Endpoint
    deployment: Deployment


async def new_deployment(
    provider: ModelProvider, model: Model, name: str = "d", *, replicas: int = 1
) -> NewDeployment:
    """What a deployment of a model is created from."""
    config = (await provider.list_configs(model.id))[0]
    resource = f"projects/{model.project_id}/models/{model.id}"
    return NewDeployment(name, resource, config.resource, replicas, replicas)


async def deployed(provider: ModelProvider, *, replicas: int = 1) -> Served:
    """A deployment that has just been asked for."""
    model = await imported_model(provider)
    endpoint = await provider.create_endpoint("e")
    new = await new_deployment(provider, model, replicas=replicas)
    return Served(model, endpoint, await provider.create_deployment(endpoint.id, new))


async def in_state(provider: ModelProvider, served: Served, state: str) -> Deployment:
    """The deployment of a situation, when it has come to a state."""

    async def read() -> Deployment:
        found = await provider.list_deployments(served.endpoint.id)
        return next(d for d in found if d.id == served.deployment.id)

    return await until(read, lambda deployment: deployment.state == state)


async def routed(provider: ModelProvider) -> Served:
    """A deployment that is READY and has all the traffic."""
    served = await deployed(provider)
    deployment = await in_state(provider, served, "READY")
    endpoint = await provider.set_traffic(
        served.endpoint.id, [TrafficShare(deployment.id, 1.0)], served.endpoint.etag
    )
    return Served(served.model, endpoint, deployment)
