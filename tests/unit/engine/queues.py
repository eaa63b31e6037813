"""Steps of tests about the work queue, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import TypeVar

from together_operator.engine.workqueue import WorkQueue

K = TypeVar("K", bound=Hashable)


def now() -> float:
    """The loop's virtual time."""
    return asyncio.get_running_loop().time()


async def take(queue: WorkQueue[K]) -> K:
    """The next key, which must be there already."""
    async with asyncio.timeout(0.001):
        key, _ = await queue.get()
    return key


async def drain(queue: WorkQueue[K]) -> list[K]:
    """All keys that are ready, in order; each is done at once."""
    keys = []
    while len(queue):
        keys.append(await take(queue))
        queue.done(keys[-1])
    return keys
