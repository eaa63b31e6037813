"""When each object was last looked at."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import datetime, timedelta

LEAST_GAP = timedelta(seconds=2)
"""Between two looks at sources, whosever they are: 150 in five minutes. The Hub refuses who asks
it more than 500 times in that time without a token (huggingface.co/docs/hub/rate-limits), and what
people wait for is to have the rest.
"""


class Rounds:
    """One look at each object an interval, spread over it.

    It is only kept in memory: after a start the first looks come at a moment of the interval that
    the object's uid gives, so that many objects don't ask a hub at once.

    Args:
        seconds: the interval; 0: nothing is ever due. It is longer with very many objects, so
            that `LEAST_GAP` is between two looks on average.
        started: when the process did.
        objects: how many there are.
    """

    def __init__(self, seconds: float, started: datetime, objects: Callable[[], int]) -> None:
        self._seconds = timedelta(seconds=seconds)
        self._started = started
        self._objects = objects
        self._tidied = started
        self._looked: dict[str, datetime] = {}

    def __len__(self) -> int:
        """How many objects are remembered."""
        return len(self._looked)

    def is_due(self, uid: str, now: datetime) -> bool:
        """Whether the object should be looked at now."""
        if not self._seconds:
            return False
        interval, last = self._interval, self._looked.get(uid)
        if last is None:
            share = zlib.crc32(uid.encode()) / 2**32  # asked at every look: it has to be cheap
            last = self._started - interval * share
        return now - last >= interval

    @property
    def _interval(self) -> timedelta:
        return max(self._seconds, LEAST_GAP * self._objects())

    def looked(self, uid: str, now: datetime) -> None:
        """The object is looked at now. Those that are gone are forgotten, once an interval."""
        if now - self._tidied >= self._interval:
            self._tidied = now
            oldest = now - 3 * self._interval
            self._looked = {u: at for u, at in self._looked.items() if at > oldest}
        self._looked[uid] = now
