"""Writes a pod's newest status, however long the API server is away."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.api import STRATEGIC_MERGE_PATCH, APIError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster.process_node.api import KubeAPI, Object

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
# Not found; conflict: the name has a new pod now.
GONE = (404, 409)


class StatusWriter:
    """Patches the status of one pod; statuses that are outdated before they are sent are left out.

    Use :meth:`run` as a task.
    """

    def __init__(self, api: KubeAPI, path: str, uid: str, status: Callable[[], Object]) -> None:
        self._api = api
        self._path = path
        self._uid = uid
        self._status = status
        self._wanted = 0
        self._written = 0
        self._changed = asyncio.Condition()
        self.gone = False

    async def request(self) -> None:
        """Ask for the status as it is by then to be written soon."""
        async with self._changed:
            self._wanted += 1
            self._changed.notify_all()

    async def flush(self) -> None:
        """Write the status as it is now, and return once that is done or the pod is gone."""
        await self.request()
        target = self._wanted
        async with self._changed:
            await self._changed.wait_for(lambda: self._written >= target or self.gone)

    async def run(self) -> None:
        failures = 0
        while not self.gone:
            async with self._changed:
                await self._changed.wait_for(lambda: self._wanted > self._written)
            number = self._wanted
            try:
                await self._write()
            except APIError as error:
                if error.status in GONE:
                    self.gone = True
                elif error.status in range(400, 500) and error.status != 429:
                    # Ours to correct; sending it again would not help, and the pod would hang.
                    print(f"{self._path}: status refused: {error}", file=sys.stderr, flush=True)
                else:
                    await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                    failures += 1
                    continue
            failures = 0
            async with self._changed:
                self._written = number
                self._changed.notify_all()

    async def _write(self) -> None:
        body = {"metadata": {"uid": self._uid}, "status": self._status()}
        await self._api.patch(f"{self._path}/status", body, STRATEGIC_MERGE_PATCH)
