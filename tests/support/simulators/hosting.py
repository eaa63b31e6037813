"""Running a simulator's server on an event loop of its own, in a thread.

Tests that block (kubectl, boto3, huggingface_hub) can't share a loop with the server they talk to.
"""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

T = TypeVar("T")


class Server(Protocol):
    """Something that serves while its loop runs."""

    async def start(self) -> None:
        """Begin to serve."""
        ...

    async def stop(self) -> None:
        """End serving."""
        ...


S = TypeVar("S", bound=Server)


class LoopBound:
    """A server whose methods may be called from any thread: they run on the server's loop."""

    _loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        """Remember the running loop as the server's."""
        self._loop = asyncio.get_running_loop()

    def on_loop(self, function: Callable[[], T]) -> T:
        """Call a function where nothing else touches the server's state meanwhile."""
        loop = self._loop
        if loop is None or not loop.is_running() or loop is _current_loop():
            return function()

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), loop).result()


def _current_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class InThread(Generic[S]):
    """Hosts a server in a thread, as a context manager that gives the server.

    Raises what the server's `start` raises.
    """

    def __init__(self, server: S) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        name = type(server).__name__
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> S:
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result()
        except BaseException:
            self._end()
            raise
        return self.server

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result()
        finally:
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class AsyncServer(LoopBound):
    """A server that can also live on the caller's own loop: `async with …`."""

    async def start(self) -> None:
        """Begin to serve."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End serving."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
