"""The last look at the Lease: after a connection was found, before the request is written to it.

A process that is paused while it waits for a connection wakes up when another one may have sent the
same. Where nothing at Together tells the two apart, as with imports, nobody else would notice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

# What httpcore tells right before it writes.
_HEADERS = frozenset(f"{protocol}.send_request_headers.started" for protocol in ("http11", "http2"))
_BODY = frozenset(f"{protocol}.send_request_body.started" for protocol in ("http11", "http2"))
_SAFE = frozenset(("GET", "HEAD"))


class DeposedError(Exception):
    """Another process may act by now: the request was not sent."""


def fence(may_write: Callable[[], bool]) -> Callable[[httpx.Request], Awaitable[None]]:
    """A hook for an httpx client's requests."""

    def before(writes: frozenset[str]) -> Callable[[str, Any], Awaitable[None]]:
        async def trace(event: str, info: Any) -> None:
            del info
            if event in writes and not may_write():
                raise DeposedError

        return trace

    async def hook(request: httpx.Request) -> None:
        if request.method not in _SAFE:
            # Without its body a request is not whole, so that the server can't act on it.
            is_whole = request.headers.get("content-length", "0") == "0"
            writes = _HEADERS if is_whole else _HEADERS | _BODY
            request.extensions = {**request.extensions, "trace": before(writes)}

    return hook
