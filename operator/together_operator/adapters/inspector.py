"""Looks into sources with the checks of `together-operator check`. Never on the event loop.

The checks are imported apart: they bring huggingface_hub, the archiver, and for S3 boto3.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import TYPE_CHECKING

from together_operator.adapters.strangers import Strangers
from together_operator.domain.addresses import AddressPolicy
from together_operator.ports import BehindUrl, InRepository, InStore, Place

if TYPE_CHECKING:
    from together_operator.adapters.inspector_calls import Inspections

AT_ONCE = 2
"""Looks at the same time: each may hold a large header and its parsed form in memory."""

PATIENCE = 30.0
"""Seconds that a look at an endpoint which a user names waits for its turn."""

REMEMBERED = 1024
"""Answers that are kept: a bad source is asked about again and again until it is mended."""

_Key = tuple[str, ...]


class SourceInspector:
    """`Inspector` of the ports.

    Args:
        hub_endpoint: base URL of Hugging Face, or of a mirror.
        executor: bounded threads, in which every look runs.
        addresses: where something that an object names may lead.
    """

    def __init__(self, hub_endpoint: str, executor: Executor, addresses: AddressPolicy) -> None:
        self._hub_endpoint = hub_endpoint
        self._addresses = addresses
        self._executor = executor
        self._lock = threading.Lock()
        self._loaded: Inspections | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._strangers = Strangers(AT_ONCE, PATIENCE)
        self._answers: OrderedDict[_Key, tuple[str, ...]] = OrderedDict()

    @staticmethod
    def preload() -> None:
        """Load the checks before the first look needs them; blocks, so call it in a thread."""
        from together_operator.adapters import inspector_calls  # noqa: F401 - for its imports

    async def inspect(self, place: Place, revision: str, largest_node: int | None) -> Sequence[str]:
        """Each problem with its remedy, in one line; none for a source that is good.

        Raises:
            InputError: it can't be read as what it claims to be.
            Forbidden, Unavailable: it can't be read at present.
        """
        key = (*_identity(place), revision, str(largest_node))
        look = partial(self._inspect, place, largest_node)
        if _is_strange(place):
            known = self._known(key)
            if known is None:
                known = self._remember(key, await self._strangers.run(look))
            return known
        await self._slots.acquire()
        known = self._known(key)
        if known is not None:
            self._slots.release()
            return known
        work = self._executor.submit(look)
        # Nobody may wait for the look any more when it ends: until then it takes its memory.
        work.add_done_callback(partial(self._free, asyncio.get_running_loop()))
        found = await asyncio.wrap_future(work)
        return self._remember(key, found)

    def _free(self, loop: asyncio.AbstractEventLoop, _: Future[list[str]]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._slots.release)

    def _known(self, key: _Key) -> tuple[str, ...] | None:
        known = self._answers.get(key)
        if known is not None:
            self._answers.move_to_end(key)
        return known

    def _remember(self, key: _Key, answer: Sequence[str]) -> tuple[str, ...]:
        found = self._answers[key] = tuple(answer)
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)
        return found

    def _inspect(self, place: Place, largest_node: int | None) -> list[str]:
        with self._lock:
            if self._loaded is None:
                from together_operator.adapters.inspector_calls import Inspections

                self._loaded = Inspections(self._hub_endpoint, self._addresses)
        return self._loaded.inspect(place, largest_node)


def _is_strange(place: Place) -> bool:
    """Whether a user names the server that is asked."""
    if isinstance(place, InStore):
        return bool(place.location.endpoint_url)
    return isinstance(place, BehindUrl)


def _identity(place: Place) -> _Key:
    """What the answer depends on besides the content; never a credential."""
    match place:
        case InStore(location, uri):
            return ("s3", location.endpoint_url or "", uri)
        case InRepository(repo):
            return ("hub", repo)
        case BehindUrl():
            return ("url",)  # the revision is a digest of the whole URL
