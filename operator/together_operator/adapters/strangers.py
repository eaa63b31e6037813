"""Calls to endpoints that users name: in threads of their own, and not for ever.

Nothing ends a call to a server that sends its headers byte by byte: Python's timeouts are for each
read. So such a call is left alone after a while, and only others like it may lack a thread then.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from together_operator.domain import errors

T = TypeVar("T")

DEADLINE = 120.0
"""Seconds for a call, however many requests it makes. The looks have bounds of their own for what
they read (`archive.s3_guard`, `archive.check.remote`: one or two minutes), none for headers.
"""


class Strangers:
    """Runs calls that block.

    Args:
        threads: calls at once.
        patience: seconds that a call waits for a thread.
        deadline: seconds after which a call is left to itself; default: `DEADLINE`.
    """

    def __init__(self, threads: int, patience: float, deadline: float | None = None) -> None:
        self._free = asyncio.Semaphore(threads)
        self._patience = patience
        self._deadline = DEADLINE if deadline is None else deadline

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises.

        Raises:
            Unavailable: no thread is free, or it takes too long.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            words = (
                "other endpoints that users name are slow to answer: this one's turn comes later"
            )
            raise errors.Unavailable(words) from None
        loop = asyncio.get_running_loop()
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is raised to who asked
                future.set_exception(error)
            finally:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._free.release)

        # A daemon: one that hangs must not hold up the end of the process.
        threading.Thread(target=work, name="stranger", daemon=True).start()
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise errors.Unavailable("the endpoint takes too long to answer") from None
