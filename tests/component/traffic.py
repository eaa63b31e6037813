"""A stream of requests to an endpoint while it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from tests.support.simulators.together import TogetherSimulator

PAUSE_SECONDS = 0.005


@dataclass
class Traffic:
    """What became of the requests: by HTTP status, and by the deployment that answered."""

    statuses: Counter[int] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def sent(self) -> int:
        """Number of requests."""
        return self.statuses.total()

    async def answered_by(self, deployment: str) -> None:
        """Wait until a deployment has answered a request."""
        async with self.news:
            await self.news.wait_for(lambda: self.answered[deployment] > 0)

    @property
    def failed(self) -> int:
        """Those that were not answered with 200."""
        return self.sent - self.statuses[200]


@contextlib.asynccontextmanager
async def stream(sim: TogetherSimulator, endpoint: str) -> AsyncIterator[Traffic]:
    """Send requests one after another until the block ends."""
    traffic = Traffic()

    async def send(client: httpx.AsyncClient) -> None:
        while True:
            answer = await client.post(
                f"{sim.url}/v1/embeddings", json={"model": endpoint, "input": "king"}
            )
            async with traffic.news:
                traffic.statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    traffic.answered[answer.headers["x-sim-deployment"]] += 1
                traffic.news.notify_all()
            await asyncio.sleep(PAUSE_SECONDS)

    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {sim.key}"}) as client:
        task = asyncio.create_task(send(client))
        try:
            yield traffic
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
