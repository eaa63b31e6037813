"""Whether the watch has told of all objects yet: until then, one that nobody knows may have it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from together_operator.domain.errors import OperatorError
from together_operator.engine.store import Key, Store


class NotAllKnown(Exception):
    """The watch has not told of every object yet; `error`: nor can it be asked which there are."""

    def __init__(self, error: OperatorError | None = None) -> None:
        super().__init__(str(error or ""))
        self.error = error


class Roll(Protocol):
    """All objects of one kind in the namespaces that are served."""

    async def versions(self) -> Mapping[Key, int]:
        """The resourceVersion of each."""
        ...


class Attendance:
    """See the module. Asked once in a process's life, or until all that was there is known.

    What comes into being afterwards need not be waited for: this process is the only one that acts,
    and knows what it has written itself.
    """

    def __init__(self, roll: Roll, store: Store) -> None:
        self._roll = roll
        self._store = store
        self._awaited: Mapping[Key, int] | None = None
        self._asking = asyncio.Lock()

    async def require(self) -> None:
        """Pass when the store has all that there was when this was first called.

        Raises:
            NotAllKnown: it has not, or Kubernetes can't be asked.
        """
        async with self._asking:
            awaited = self._awaited
            try:
                if awaited is None:
                    awaited = await self._roll.versions()
                elif self._unknown(awaited):
                    there = await self._roll.versions()  # what is gone is never told
                    awaited = {key: version for key, version in awaited.items() if key in there}
            except OperatorError as error:
                raise NotAllKnown(error) from None
            self._awaited = self._unknown(awaited)
            if self._awaited:
                raise NotAllKnown

    def _unknown(self, versions: Mapping[Key, int]) -> Mapping[Key, int]:
        known = self._store.version
        return {key: version for key, version in versions.items() if known(key) < version}
