"""The API's own latency: an import's requests, sent by a program that decides and checks nothing.

It sends what the operator sends up to an import, in the same order, of the same size, as many at
once, and on the same machine: what the operator takes longer is its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

WORKERS = 16
"""As many as the operator has connections to Kubernetes."""

Body = dict[str, Any]


@dataclass
class Floor:
    """Imports whatever CustomModel appears.

    Args:
        kubeconfig: of a user, as JSON.
        together: base URL and key.
        status: of an object of the operator's, for its size.
        remote_url: what is imported.
    """

    kubeconfig: Path
    together: tuple[str, str]
    status: Mapping[str, Any]
    remote_url: str
    sent: dict[str, float] = field(default_factory=dict)
    """When the import of each name was asked for, in seconds of the epoch."""

    _base_model: str = ""
    _queue: asyncio.Queue[Body] = field(default_factory=asyncio.Queue)

    async def run(self, count: int, on_watching: Callable[[], None]) -> None:
        """Until `count` objects are imported."""
        config = json.loads(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        objects = f"{cluster['server']}/apis/together.ai/v1alpha1/namespaces/default/custommodels"
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {user['token']}"},
                connector=aiohttp.TCPConnector(ssl=tls),
                raise_for_status=True,
                read_bufsize=1 << 20,
            ) as kubernetes,
            aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self.together[1]}"}, raise_for_status=True
            ) as together,
        ):
            me = await _call(together, "GET", f"{self.together[0]}/v3/whoami")
            project = f"{self.together[0]}/v2/projects/{me['project']['id']}"
            like = await _call(together, "GET", f"{project}/models/{self.status['model']['id']}")
            self._base_model = like["baseModelId"]
            tasks = [asyncio.create_task(self._watch(kubernetes, objects, on_watching))]
            for _ in range(WORKERS):
                work = self._work(kubernetes, objects, together, project)
                tasks.append(asyncio.create_task(work))
            while len(self.sent) < count:
                done, _ = await asyncio.wait(tasks, timeout=0.05)
                for task in done:
                    task.result()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(
        self, kubernetes: aiohttp.ClientSession, objects: str, on_watching: Callable[[], None]
    ) -> None:
        begin = (await _call(kubernetes, "GET", objects))["metadata"]["resourceVersion"]
        params = {"watch": "true", "resourceVersion": begin}
        timeout = aiohttp.ClientTimeout(total=None)
        async with kubernetes.get(objects, params=params, timeout=timeout) as answer:
            on_watching()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ADDED":
                    self._queue.put_nowait(event["object"])

    async def _work(
        self,
        kubernetes: aiohttp.ClientSession,
        objects: str,
        together: aiohttp.ClientSession,
        project: str,
    ) -> None:
        while True:
            body = await self._queue.get()
            name = body["metadata"]["name"]
            one = f"{objects}/{name}"
            patch = {"metadata": {"finalizers": ["example.com/floor"]}}
            body = await _call(
                kubernetes, "PATCH", one, patch, **{"Content-Type": "application/merge-patch+json"}
            )
            await _call(together, "GET", f"{project}/models")
            body = await self._write(kubernetes, one, body)
            new = {"name": name, "baseModelId": self._base_model, "type": "model"}
            model = await _call(together, "POST", f"{project}/models", new)
            body = await self._write(kubernetes, one, body)
            await _call(together, "GET", f"{project}/models/uploads")
            body = await self._write(kubernetes, one, body)
            self.sent[name] = time.time()
            upload = {"modelId": model["id"], "remoteUrl": self.remote_url}
            await _call(together, "POST", f"{project}/models/uploads", upload)
            await self._write(kubernetes, one, body)

    async def _write(self, kubernetes: aiohttp.ClientSession, one: str, body: Body) -> Body:
        # A write without a change would cost nothing.
        status = {**self.status, "model": {**self.status["model"], "name": f"{time.time():.6f}"}}
        return await _call(kubernetes, "PUT", f"{one}/status", {**body, "status": status})


async def _call(
    session: aiohttp.ClientSession, method: str, url: str, body: Body | None = None, **headers: str
) -> Body:
    async with session.request(method, url, json=body, headers=headers) as answer:
        found: Body = await answer.json(content_type=None)
        return found
