"""Which creates this process has sent without knowing what became of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from together_operator.api.v1alpha1 import Intent
from together_operator.domain.errors import Ambiguous, OperatorError, Unavailable

T = TypeVar("T")


class Ledger:
    """Remembers, by object and intent, when a create was last sent.

    It need not outlive the process: another process has another holder in its intents and so
    distrusts every intent that it finds.

    Args:
        clock: the wall clock, in UTC.
        may_send: false once another process may act.
    """

    def __init__(
        self, clock: Callable[[], datetime], may_send: Callable[[], bool] = lambda: True
    ) -> None:
        self._clock = clock
        self._may_send = may_send
        self._sent: dict[tuple[str, str], datetime] = {}
        self._created: dict[str, datetime] = {}
        self._new: set[str] = set()
        self._deleted: dict[str, set[str]] = {}

    def begun(self, uid: str) -> None:
        """This process is the first that ever had to do with object `uid`."""
        self._new.add(uid)

    def has_nothing(self, uid: str) -> bool:
        """True when nothing of object `uid` can be anywhere: it is new, and nothing was sent."""
        return uid in self._new

    def last_sent(self, uid: str, intent: Intent | None) -> datetime | None:
        """When what `intent` announces was last sent for object `uid`; None: never, or known."""
        sent = self._sent.get((uid, intent.kind)) if intent is not None else None
        # An older intent's request has nothing to do with this one.
        return sent if sent is not None and intent is not None and sent >= intent.since else None

    def last_created(self, uid: str) -> datetime | None:
        """When this process last created, or may have created, something for object `uid`.

        Looks that begin soon after that may not show it yet. Known also once the result is stored.
        """
        return self._created.get(uid)

    async def send(self, uid: str, kind: str, create: Callable[[], Awaitable[T]]) -> T:
        """Send a create. It stays in the ledger unless it definitely did not happen.

        The caller forgets the object's entries once the result is stored.

        Raises:
            Unavailable: another process may act by now; nothing was sent. What had to be read
                first (a Secret, a signature) may have taken longer than the Lease.
        """
        if not self._may_send():
            raise Unavailable("Another process may act by now: nothing was sent")
        self._new.discard(uid)
        before = self._sent.get((uid, kind))
        self._sent[(uid, kind)] = self._clock()
        try:
            created = await create()
        except Ambiguous:
            self._sent[(uid, kind)] = self._created[uid] = self._clock()
            raise
        except OperatorError:
            # This one did not happen. An earlier one may have, and be what it ran into.
            if before is None:
                self._sent.pop((uid, kind), None)
            else:
                self._sent[(uid, kind)] = before
            raise
        self._created[uid] = self._clock()
        return created

    def deleted(self, uid: str, remote_id: str) -> None:
        """This process has deleted what object `uid` had under `remote_id`."""
        self._deleted.setdefault(uid, set()).add(remote_id)

    def has_deleted(self, uid: str, remote_id: str) -> bool:
        """True when this process has deleted it: that it is not seen any more says it is gone."""
        return remote_id in self._deleted.get(uid, ())

    def gone(self, uid: str) -> None:
        """The object is gone."""
        self.forget(uid)
        self._deleted.pop(uid, None)
        self._created.pop(uid, None)

    def forget(self, uid: str) -> None:
        """What was sent for an object is stored."""
        self._new.discard(uid)
        for key in [key for key in self._sent if key[0] == uid]:
            del self._sent[key]
