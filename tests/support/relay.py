"""A TCP relay in front of a server, by which the server can be made unreachable or mute."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.simulators.hosting import AsyncServer

_CHUNK = 256 * 1024


class Relay(AsyncServer):
    """Passes connections on to the server at `target`, a base URL; hosted by `InThread`.

    Args:
        host: the address to listen on.
    """

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        self._host = host
        parts = urlsplit(target)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._may_pass = asyncio.Event()
        self._rate: float | None = None
        self._free_at = 0.0
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Base URL of the server as it is seen through the relay."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen on a free port, the same one each time."""
        self.bind()
        self._may_pass.set()
        self._server = await asyncio.start_server(self._accept, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections, and cut those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def refuse(self) -> None:
        """From any thread: as `stop`."""
        self._call(self.stop())

    def hold(self) -> None:
        """From any thread: accept connections, and pass nothing on from now."""
        self.on_loop(self._may_pass.clear)

    def throttle(self, rate: float) -> None:
        """From any thread: pass on `rate` bytes a second to the server, over all connections."""

        def set_rate() -> None:
            self._rate = rate

        self.on_loop(set_rate)

    def mute(self) -> None:
        """From any thread: keep what is open, and pass nothing more on in it; new ones work.

        It is what a firewall does that forgets a connection: neither end is told.
        """
        self.on_loop(self._mute)

    def _mute(self) -> None:
        self._may_pass.clear()
        self._may_pass = asyncio.Event()
        self._may_pass.set()

    def restore(self) -> None:
        """From any thread: pass everything on again, as fast as it comes."""

        def open_up() -> None:
            self._rate = None
            self._may_pass.set()

        self.on_loop(open_up)
        if self._server is None:
            self._call(self.start())

    def _call(self, work: Coroutine[None, None, None]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError, ExceptionGroup, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        may_pass = self._may_pass
        from_target, to_target = await asyncio.open_connection(*self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, to_target, may_pass, throttled=True))
                both.create_task(self._pass(from_target, writer, may_pass))
        finally:
            to_target.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        may_pass: asyncio.Event,
        *,
        throttled: bool = False,
    ) -> None:
        while data := await reader.read(_CHUNK):
            await may_pass.wait()
            if throttled and self._rate is not None:
                await self._take_turn(len(data) / self._rate)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _take_turn(self, seconds: float) -> None:
        """Wait until what was let through before has had its time, and take `seconds` more."""
        now = asyncio.get_running_loop().time()
        begin = max(now, self._free_at)
        self._free_at = begin + seconds
        await asyncio.sleep(begin - now)


def kubeconfig_through(relay: Relay, kubeconfig: Path, path: Path) -> Path:
    """Write a kubeconfig like `kubeconfig` whose API server is reached by the relay."""
    content = json.loads(kubeconfig.read_text())
    port = urlsplit(relay.url).port
    for cluster in content["clusters"]:
        cluster["cluster"]["server"] = f"https://127.0.0.1:{port}"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content))
    return path
