"""`/livez`, `/readyz` and `/metrics`."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from together_operator.telemetry import Metrics

Check = Callable[[], str | None]
"""None when all is well, else what is wrong."""


class HealthServer:
    """Serves probes and metrics.

    Args:
        alive: whether the process should go on; a failing one is restarted.
        ready: whether it watches and may act.
        refresh: brings gauges up to date before they are read.
    """

    def __init__(
        self, metrics: Metrics, alive: Check, ready: Check, refresh: Callable[[], None]
    ) -> None:
        self._metrics = metrics
        self._refresh = refresh
        app = web.Application()
        app.router.add_get("/livez", self._probe(alive))
        app.router.add_get("/readyz", self._probe(ready))
        app.router.add_get("/metrics", self._serve_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on all addresses; `self.port` is the port that was taken."""
        # One socket for both families: with one for each, port 0 would be two different ports.
        both = socket.has_dualstack_ipv6()
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self.port = listener.getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @staticmethod
    def _probe(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            del request
            problem = check()
            return web.Response(text=problem or "ok", status=503 if problem else 200)

        return answer

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        """All metrics, or those that `name[]` names, as with every server of prometheus_client."""
        self._refresh()
        registry, names = self._metrics.registry, request.query.getall("name[]", [])
        body = generate_latest(registry.restricted_registry(names) if names else registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
