"""When each object was last looked at."""

from __future__ import annotations

from datetime import datetime, timedelta

from together_operator.domain.names import short_hash


class Rounds:
    """One look at each object an interval, spread over it.

    It is only kept in memory: after a start the first looks come at a moment of the interval that
    the object's uid gives, so that many objects don't ask a hub at once.

    Args:
        seconds: the interval; 0: nothing is ever due.
        started: when the process did.
    """

    def __init__(self, seconds: float, started: datetime) -> None:
        self._interval = timedelta(seconds=seconds)
        self._started = started
        self._tidied = started
        self._looked: dict[str, datetime] = {}

    def __len__(self) -> int:
        """How many objects are remembered."""
        return len(self._looked)

    def is_due(self, uid: str, now: datetime) -> bool:
        """Whether the object should be looked at now."""
        if not self._interval:
            return False
        share = int(short_hash(uid), 16) / 16**10
        first = self._started - self._interval * share
        return now - self._looked.get(uid, first) >= self._interval

    def looked(self, uid: str, now: datetime) -> None:
        """The object is looked at now. Those that are gone are forgotten, once an interval."""
        if now - self._tidied >= self._interval:
            self._tidied = now
            oldest = now - 3 * self._interval
            self._looked = {u: at for u, at in self._looked.items() if at > oldest}
        self._looked[uid] = now
