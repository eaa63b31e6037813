"""The HTTP side: one thread a connection, bodies straight into and out of the arena."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape

from tests.support.s3_fixture import sigv4
from tests.support.s3_fixture.behaviour import Counters, Fault, FaultKind, FaultList, Quirks
from tests.support.s3_fixture.operations import Answer, Operations, S3Error
from tests.support.s3_fixture.storage import Arena, Block, Content, Storage

ACCESS_KEY, SECRET_KEY = "fixture-key", "fixture-secret"


class S3Fixture:
    """Runs the server in a thread of this process.

    >>> with S3Fixture() as s3:
    ...     s3.storage.put_bytes("bucket", "key", b"content")
    """

    def __init__(
        self,
        quirks: Quirks | None = None,
        *,
        arena_bytes: int = 4 << 30,
        touch_bytes: int = 0,
        port: int = 0,
    ) -> None:
        self.quirks = quirks or Quirks()
        self.counters = Counters()
        self.faults = FaultList()
        self.storage = Storage(Arena(arena_bytes, touch_bytes))
        self.secrets = {ACCESS_KEY: SECRET_KEY}
        self.lock = threading.Lock()
        self.before: Callable[[str, Mapping[str, str]], None] = lambda _operation, _query: None
        """Called with the operation and its query before each request is served; may raise
        `S3Error`.
        """
        self.operations = Operations(self.storage, self.quirks, self.counters)
        fixture = self

        class Handler(_Handler):
            server_fixture = fixture

        self._server = _Server(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def fail(self, operation: str, kind: FaultKind, *, times: int = 1, skip: int = 0) -> None:
        self.faults.add(Fault(operation, kind, times, skip))

    def content(self, bucket: str, key: str) -> bytes:
        return bytes(self.storage.buckets[bucket].objects[key].content)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.storage.arena.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients break connections on purpose here


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 1 << 16
    server_fixture: S3Fixture
    connection: socket.socket

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *_: object) -> None:
        pass

    def version_string(self) -> str:
        return "s3-fixture"

    def _serve(self) -> None:
        fixture = self.server_fixture
        path, _, query_text = self.path.partition("?")
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        headers = {name.lower(): value for name, value in self.headers.items()}
        bucket, _, key = unquote(path).lstrip("/").partition("/")
        operation = _operation(self.command, query, key, headers)
        with fixture.lock:
            fixture.counters.requests[operation] += 1
        try:
            fixture.before(operation, {**query, "key": key})
        except S3Error as error:
            self.close_connection = True
            return self._send(Answer(error.status, body=_error(error.code)), None)
        if fixture.quirks.latency_seconds:
            time.sleep(fixture.quirks.latency_seconds)
        fault = fixture.faults.take(operation)
        if fault == "reset_request":
            self._read_half(headers)
            return self._break()
        try:
            body = self._read_body(headers)
            sigv4.check(sigv4.Request(self.command, path, query_text, headers), fixture.secrets)
            if fault == "error_in_200":
                return self._send(Answer(body=_error("InternalError")), None)
            if fault in _STATUS_OF_FAULT:
                status, code = _STATUS_OF_FAULT[fault]
                return self._send(Answer(status, body=_error(code)), None)
            answer = fixture.operations.run(operation, bucket, key, query, headers, body)
        except sigv4.SignatureError as error:
            answer = Answer(403, body=_error(str(error.args[0])))
        except S3Error as error:
            answer = Answer(error.status, body=_error(error.code, error.message))
        if fault == "lost_answer":
            return self._break()
        return self._send(answer, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 (http.server's names)

    def _read_half(self, headers: Mapping[str, str]) -> None:
        left = int(headers.get("content-length", 0)) // 2
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20))) or left

    def _break(self) -> None:
        self.close_connection = True
        # Closing with unread data makes the kernel send a reset.
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self.connection.shutdown(socket.SHUT_RDWR)

    def _read_body(self, headers: Mapping[str, str]) -> Content:
        size = int(headers.get("content-length", 0))
        with self.server_fixture.lock:
            self.server_fixture.counters.bytes_in += size
        streaming = headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        if streaming and self.server_fixture.quirks.trailers:
            return self._read_chunked(headers)
        if not size:
            return Content(())
        block = self.server_fixture.storage.arena.allocate(size)
        self._fill(block, 0, size)
        return Content(((block, 0, size),))

    def _fill(self, block: Block, start: int, stop: int) -> None:
        for view in block.views(start, stop):
            position = 0
            while position < len(view):
                count = self.rfile.readinto(view[position:])
                if not count:
                    raise ConnectionError
                position += count

    def _read_chunked(self, headers: Mapping[str, str]) -> Content:
        size = int(headers["x-amz-decoded-content-length"])
        block = self.server_fixture.storage.arena.allocate(size)
        position = 0
        while length := int(self.rfile.readline().split(b";")[0], 16):
            self._fill(block, position, position + length)
            position += length
            self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name.strip()] = value.strip()
            headers[name.strip().lower()] = value.strip()  # type: ignore[index]
        if position != size:
            raise S3Error(400, "IncompleteBody")
        return Content(((block, 0, size),) if size else ())

    def _send(self, answer: Answer, fault: FaultKind | None) -> None:
        content = answer.content
        body = answer.body.encode()
        length = content.size if content is not None else len(body)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("x-amz-request-id", "0000000000000000")
        self.send_header("Content-Length", str(answer.length if answer.length >= 0 else length))
        if answer.status >= 400:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        if content is None:
            self.wfile.write(body)
            return
        limit = length // 2 if fault == "reset_response" else length
        with self.server_fixture.lock:
            self.server_fixture.counters.bytes_out += limit
        self._send_content(content.slice(0, limit))
        if limit < length:
            self._break()

    def _send_content(self, content: Content) -> None:
        self.wfile.flush()
        descriptor = self.server_fixture.storage.arena.descriptor
        for place, length in content.runs():
            offset, left = place, length
            while left:
                sent = os.sendfile(self.connection.fileno(), descriptor, offset, left)
                offset, left = offset + sent, left - sent


_STATUS_OF_FAULT: dict[FaultKind | None, tuple[int, str]] = {
    "internal_error": (500, "InternalError"),
    "slow_down": (503, "SlowDown"),
    "access_denied": (403, "AccessDenied"),
}


def _error(code: str, message: str = "a message with a secret in it") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    )


def _operation(method: str, query: Mapping[str, str], key: str, headers: Mapping[str, str]) -> str:
    if not key:
        if method == "GET":
            return "ListMultipartUploads" if "uploads" in query else "ListObjectsV2"
        if method == "POST" and "delete" in query:
            return "DeleteObjects"
        return {"PUT": "CreateBucket", "HEAD": "HeadBucket"}.get(method, "Unknown")
    if "uploadId" in query:
        if method == "PUT":
            return "UploadPartCopy" if "x-amz-copy-source" in headers else "UploadPart"
        return {
            "GET": "ListParts",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
        }.get(method, "Unknown")
    if method == "POST" and "uploads" in query:
        return "CreateMultipartUpload"
    return {
        "PUT": "PutObject",
        "GET": "GetObject",
        "HEAD": "HeadObject",
        "DELETE": "DeleteObject",
    }.get(method, "Unknown")
