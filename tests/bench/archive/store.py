"""The fixture S3 server as a process of its own, told what to do line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.s3_fixture.server import ACCESS_KEY, SECRET_KEY

BUCKET = "bench"


class Store:
    """`ask` runs one operation of `tests.support.s3_fixture.__main__`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self.url = self._out.readline().strip()

    @property
    def environ(self) -> dict[str, str]:
        """What both the archiver and the aws CLI read, and nothing of the user's own."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def ask(self, **request: Any) -> dict[str, Any]:
        self._in.write(json.dumps(request) + "\n")
        self._in.flush()
        answer: dict[str, Any] = json.loads(self._out.readline())
        return answer

    def reset(self) -> None:
        """Counters to zero, no upload unfinished, no archive left."""
        self.ask(op="reset")

    def client_bytes(self) -> int:
        """Bytes of bodies that went through the client since `reset`, both ways."""
        counters = self.ask(op="counters")
        return int(counters["bytesIn"]) + int(counters["bytesOut"])

    def received(self) -> int:
        return int(self.ask(op="counters")["bytesIn"])

    def size(self, key: str) -> int:
        return int(self.ask(op="size", key=key)["size"])

    def digest(self, key: str) -> str:
        """SHA-256 of an object, in hex."""
        return str(self.ask(op="digest", key=key)["sha256"])


@contextmanager
def running(arena_gib: float, touch_gib: float) -> Iterator[Store]:
    """A server whose first `touch_gib` of memory are resident before anything is measured."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.s3_fixture", "--bucket", BUCKET),
            *("--arena-gib", str(arena_gib), "--touch-gib", str(touch_gib)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Store(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
