"""An event loop whose time stands still while code runs and jumps while nothing does."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""The wall clock's time at the loop's time 0."""

MAX_TURNS = 20_000
"""Turns of the loop within one instant, after which it is taken for a loop without end."""


class StandstillError(Exception):
    """Nothing is due any more, or one instant does not end."""


class _Jumping(selectors.DefaultSelector):
    """Does not wait for what is due next but goes there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandstillError("everything waits, and nothing is due")
        self._turns = self._turns + 1 if timeout <= 0 else 0
        if self._turns > MAX_TURNS:
            raise StandstillError(f"more than {MAX_TURNS} turns at {self.now:.3f} s")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module. Nothing in it may wait for a thread or a socket."""

    def __init__(self, start: float = 0.0) -> None:
        self._jumping = _Jumping()
        self._jumping.now = start
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now

    def now(self) -> datetime:
        """The virtual wall clock."""
        return EPOCH + timedelta(seconds=self.time())


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end, cancel what is left, and close the loop."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
