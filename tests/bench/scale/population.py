"""Thousands of settled objects, and at Together what they stand for.

One pair is brought up by the operator itself; the others are copies of it with the names and ids
of records that are made at the simulator, so that a look at them finds everything as it should be.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from tests.support.environment import Simulators
from together_operator.api.v1alpha1 import GROUP, VERSION

Object = dict[str, Any]
NAMESPACE = "default"
CONCURRENCY = 32
_ASSIGNED = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


async def populate(
    kubeconfig: str,
    simulators: Simulators,
    model: Object,
    deployment: Object,
    models: int,
    mds: int,
) -> None:
    """Make copies until there are `models` and `mds` of them besides the two templates."""
    together = simulators.urls["together"]
    base = f"{together['url']}/v2/projects/{together['project']}"
    headers = {"Authorization": f"Bearer {simulators.key}"}
    await config.load_kube_config(config_file=kubeconfig)  # type: ignore[no-untyped-call]
    async with client.ApiClient() as api, aiohttp.ClientSession(headers=headers) as session:
        maker = _Maker(client.CustomObjectsApi(api), session, base)
        template = await maker.ask("GET", f"/models/{model['status']['model']['id']}")
        running = await maker.only_deployment(deployment["status"]["endpoint"]["id"])
        await _each(range(models), lambda n: maker.model(f"m{n:05}", model, template))
        await _each(range(mds), lambda n: maker.deployment(f"d{n:05}", deployment, running))


async def _each(numbers: Iterable[int], work: Callable[[int], Awaitable[None]]) -> None:
    limit = asyncio.Semaphore(CONCURRENCY)

    async def one(number: int) -> None:
        async with limit:
            await work(number)

    await asyncio.gather(*(one(number) for number in numbers))


class _Maker:
    def __init__(
        self, api: client.CustomObjectsApi, session: aiohttp.ClientSession, base: str
    ) -> None:
        self._api = api
        self._session = session
        self._base = base

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        async with self._session.request(
            method, self._base + path, json=body, params=query
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            return json.loads(text)

    async def only_deployment(self, endpoint_id: str) -> Any:
        (found,) = (await self.ask("GET", f"/endpoints/{endpoint_id}/deployments"))["data"]
        return found

    async def model(self, name: str, like: Object, record: Object) -> None:
        """A CustomModel and its record."""
        body = {
            "name": f"{NAMESPACE}-{name}",
            "type": "model",
            "baseModelId": record["baseModelId"],
            "description": record["description"],
        }
        made = await self.ask("POST", "/models", body)
        status = copy.deepcopy(like["status"])
        status["model"] |= {"id": made["id"], "name": made["name"]}
        await self._settle("custommodels", name, like, status)

    async def deployment(self, name: str, like: Object, running: Object) -> None:
        """A ModelDeployment with an endpoint and a deployment that gets its traffic."""
        endpoint = await self.ask("POST", "/endpoints", {"name": f"{NAMESPACE}-{name}"})
        body = {key: running[key] for key in ("model", "config", "autoscaling")}
        path = f"/endpoints/{endpoint['id']}"
        made = await self.ask("POST", f"{path}/deployments", {"name": f"{name}-serve", **body})
        split = {"trafficSplit": [{"deploymentId": made["id"], "weight": 1}]}
        await self.ask("PATCH", path, split, updateMask="trafficSplit")
        status = copy.deepcopy(like["status"])
        status["endpoint"] |= {"id": endpoint["id"], "name": endpoint["name"]}
        status["deployment"] |= {"id": made["id"], "name": f"{name}-serve"}
        await self._settle("modeldeployments", name, like, status)

    async def _settle(self, plural: str, name: str, like: Object, status: Object) -> None:
        body = {k: copy.deepcopy(v) for k, v in like.items() if k != "status"}
        body["metadata"] = {k: v for k, v in body["metadata"].items() if k not in _ASSIGNED}
        body["metadata"]["name"] = name
        made: Any = await self._api.create_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, plural, body
        )
        status["observedGeneration"] = made["metadata"]["generation"]
        # Messages have names in them, too.
        own = json.dumps(status).replace(f"{NAMESPACE}-template", f"{NAMESPACE}-{name}")
        status = json.loads(own)
        # A status that was written for another object counts for nothing.
        status["objectUID"] = made["metadata"]["uid"]
        await self._api.replace_namespaced_custom_object_status(
            GROUP, VERSION, NAMESPACE, plural, name, {**made, "status": status}
        )
