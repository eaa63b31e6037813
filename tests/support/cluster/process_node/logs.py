"""Container logs: a file for each attempt, each line with its time, as the kubelet serves it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.support.cluster.process_node.time import precise_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class LogOptions:
    """What of a log is asked for; the fields of PodLogOptions."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: dt.datetime | None = None

    @classmethod
    def from_query(cls, query: Mapping[str, str], now: dt.datetime) -> Self:
        """Read the query of a request to ``/containerLogs``; raises ValueError."""
        since = None
        if "sinceTime" in query:
            since = dt.datetime.fromisoformat(query["sinceTime"])
        elif "sinceSeconds" in query:
            since = now - dt.timedelta(seconds=int(query["sinceSeconds"]))
        return cls(
            follow=query.get("follow") == "true",
            previous=query.get("previous") == "true",
            timestamps=query.get("timestamps") == "true",
            tail_lines=int(query["tailLines"]) if "tailLines" in query else None,
            limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
            since=since,
        )


class ContainerLog:
    """The log of one attempt of a container, written by this process or by one before it.

    A line of the file is ``<RFC 3339 time> <text>``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = b""
        self.open = False
        """Whether more may come."""
        self._grown = asyncio.Condition()

    async def fill(self, output: asyncio.StreamReader) -> None:
        """Copy ``output`` until it ends."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.open = True
        try:
            with self.path.open("ab", buffering=0) as file:
                while chunk := await output.read(65536):
                    *lines, self._partial = (self._partial + chunk).split(b"\n")
                    if lines:
                        file.write(_stamped(lines))
                        await self._notify()
                if self._partial:
                    file.write(_stamped([self._partial]))
        finally:
            self.open = False
            await self._notify()

    async def read(self, options: LogOptions) -> AsyncIterator[bytes]:
        """Yield what ``options`` ask for, and with ``follow`` what comes until the attempt ends."""
        left = options.limit_bytes
        async for lines in self._batches(options):
            text = b"".join(lines if options.timestamps else map(_unstamped, lines))
            if left is not None:
                text = text[:left]
                left -= len(text)
            yield text
            if left == 0:
                return

    def tail(self, lines: int, size: int) -> str:
        """Return the last ``lines`` lines, at most ``size`` bytes of them."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            text = b"".join(map(_unstamped, deque(file, lines)))
        return text[-size:].decode(errors="replace")

    async def _batches(self, options: LogOptions) -> AsyncIterator[list[bytes]]:
        """Yield lines as they are in the file, as many at once as there are."""
        position = 0
        if self.path.exists():
            present = self.path.read_bytes()
            position = len(present)
            yield _selected(present.splitlines(keepends=True), options)
        while options.follow:
            await self._wait_for_more_than(position)
            if self._size() == position:
                return
            with self.path.open("rb") as file:
                file.seek(position)
                grown = file.read()
            position += len(grown)
            yield grown.splitlines(keepends=True)

    async def _wait_for_more_than(self, size: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: not self.open or self._size() > size)

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    async def _notify(self) -> None:
        async with self._grown:
            self._grown.notify_all()


def _stamped(lines: list[bytes]) -> bytes:
    stamp = precise_now().encode()
    return b"".join(b"%b %b\n" % (stamp, line) for line in lines)


def _unstamped(line: bytes) -> bytes:
    return line.partition(b" ")[2]


def _selected(lines: list[bytes], options: LogOptions) -> list[bytes]:
    if options.since is not None:
        since = options.since
        lines = [line for line in lines if _time(line) >= since]
    if options.tail_lines is not None:
        lines = lines[max(0, len(lines) - options.tail_lines) :]
    return lines


def _time(line: bytes) -> dt.datetime:
    return dt.datetime.fromisoformat(line.partition(b" ")[0].decode())
