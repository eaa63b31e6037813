"""An HTTP server that answers as somebody who means harm would."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = "Callable[[BaseHTTPRequestHandler], None]"


class HostileServer:
    """Counts requests; `answer` writes what comes back."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                outer.requests.append(f"{self.command} {self.path}")
                with contextlib.suppress(OSError):
                    answer(self)
                self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[HostileServer]:
        """Serve in a thread."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


def start(to: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    """Status line and headers."""
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.end_headers()


def redirect(location: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send everybody elsewhere."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        start(to, 307, Location=location, Content_Length="0")

    return answer


def endless(
    status: int, chunk: bytes, pause: threading.Event, **headers: str
) -> Callable[[BaseHTTPRequestHandler], None]:
    """A body that never ends; `pause` is waited for between chunks, 0.05 s at most."""

    def answer(to: BaseHTTPRequestHandler) -> None:
        start(to, status, **headers)
        while not pause.wait(0.05 if len(chunk) < 1024 else 0):
            to.wfile.write(chunk)

    return answer
