"""Which creates this process has sent without knowing what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from together_operator.domain.errors import Ambiguous, OperatorError

T = TypeVar("T")


class Ledger:
    """Remembers, by object and intent, when a create was last sent.

    It need not outlive the process: another process has another holder in its intents and so
    distrusts every intent that it finds.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._sent: dict[tuple[str, str], datetime] = {}

    def last_sent(self, uid: str, kind: str) -> datetime | None:
        """When the create of `kind` for object `uid` was last sent; None: never, or known."""
        return self._sent.get((uid, kind))

    async def send(self, uid: str, kind: str, create: Callable[[], Awaitable[T]]) -> T:
        """Send a create. It stays in the ledger unless it definitely did not happen.

        The caller clears it with `settle` once the result is stored.
        """
        self._sent[(uid, kind)] = self._clock()
        try:
            return await create()
        except Ambiguous:
            self._sent[(uid, kind)] = self._clock()
            raise
        except OperatorError:
            del self._sent[(uid, kind)]
            raise

    def settle(self, uid: str, kind: str) -> None:
        """The outcome is stored."""
        self._sent.pop((uid, kind), None)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        for key in [key for key in self._sent if key[0] == uid]:
            del self._sent[key]
