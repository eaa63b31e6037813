"""The page of the kubelet that the API server asks for logs."""

from __future__ import annotations

import datetime as dt
import ssl
from typing import TYPE_CHECKING

from aiohttp import web

from tests.support.cluster.process_node.logs import ContainerLog, LogOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cluster.process_node.pod import PodRunner


class LogServer:
    """Serves ``/containerLogs/<namespace>/<pod>/<container>`` over TLS on 127.0.0.1."""

    def __init__(self, find: Callable[[str, str], PodRunner | None]) -> None:
        """Serve the logs of the pods that ``find`` returns for a namespace and a name."""
        self._find = find

    async def start(self, port: int, certificate: Path, key: Path) -> None:
        """Listen on ``port`` of 127.0.0.1 until the event loop ends."""
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        application = web.Application()
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls).start()

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        options = LogOptions.from_query(request.query, dt.datetime.now(dt.UTC))
        log = self._log(options, **request.match_info)
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        async for text in log.read(options):
            await response.write(text)
        await response.write_eof()
        return response

    def _log(self, options: LogOptions, namespace: str, pod: str, container: str) -> ContainerLog:
        runner = self._find(namespace, pod)
        found = runner.container(container) if runner else None
        if found is None:
            text = f'container "{container}" of pod "{pod}" in "{namespace}" isn\'t on this node'
            raise web.HTTPNotFound(text=text)
        log = found.log(previous=options.previous)
        if log is not None:
            return log
        if options.previous:
            text = f'previous terminated container "{container}" in pod "{pod}" not found'
        else:
            reason = found.state["waiting"]["reason"]
            text = f'container "{container}" in pod "{pod}" is waiting to start: {reason}'
        raise web.HTTPBadRequest(text=text)
