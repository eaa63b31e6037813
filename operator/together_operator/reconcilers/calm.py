"""What a settled object's last decision rested on: while that is as it was, nothing is to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

import structlog

from together_operator.domain.errors import OperatorError
from together_operator.domain.plan import Process
from together_operator.engine.store import Key, Store
from together_operator.reconcilers.account import Account, Accounts, Place
from together_operator.reconcilers.listing import Listing, T

log = structlog.get_logger(__name__)


def calm_age(listing: Listing[Any], process: Process) -> float:
    """How old a list may be, in seconds, that tells whether a settled object is as it was."""
    return listing.age(process.poll * 6, calm=process.calm)


@dataclass(slots=True)
class Still(Generic[T]):
    """One decision's grounds. Thousands of objects have one of these: no body is kept in it.

    Args:
        version: of the object that was decided on.
        place: names the key by which the account is looked into.
        item: the record at Together, as it was seen.
        holds: whether all else is as it was.
    """

    version: int
    place: Place
    item: T
    holds: Callable[[], bool] = lambda: True


class Calm(Generic[T]):
    """The settled objects of one kind.

    Args:
        listing: an account's list that has their records.
    """

    def __init__(
        self,
        process: Process,
        store: Store,
        accounts: Accounts,
        listing: Callable[[Account], Listing[T]],
    ) -> None:
        self._process = process
        self._store = store
        self._accounts = accounts
        self._listing = listing
        self._still: dict[Key, Still[T]] = {}

    def keep(self, key: Key, still: Still[T]) -> None:
        """Remember what was decided on, unless another version of the object is known by now."""
        if self._store.version(key) == still.version:
            self._still[key] = still

    def drop(self, key: Key) -> None:
        """The object is gone, or is decided on anew."""
        self._still.pop(key, None)

    def is_known(self, key: Key) -> bool:
        """Whether what is at hand shows that an object needs no decision.

        It takes microseconds, and so thousands can be looked at in one go.
        """
        still = self._unchanged(key)
        if still is None:
            return False
        account = self._accounts.recent(still.place, self._process.calm)
        if account is None:
            return False
        listing = self._listing(account)
        snapshot = listing.newest(self._since(account, listing))
        return snapshot is not None and _is_as_it_was(still, snapshot.get(still.item.id))

    async def compare(self, key: Key) -> bool:
        """The same, where keys and lists may be read; what has changed is dropped."""
        still = self._unchanged(key)
        if still is not None:
            try:
                account = await self._accounts.of(*still.place)
                listing = self._listing(account)
                snapshot = await listing.read(self._since(account, listing))
                if _is_as_it_was(still, snapshot.get(still.item.id)):
                    return True
            except OperatorError as error:
                # The look that follows meets it, too, and says what it means for the object.
                log.debug("cannot compare", object=str(key), error=str(error))
        self.drop(key)
        return False

    def _since(self, account: Account, listing: Listing[T]) -> float:
        return account.clock() - calm_age(listing, self._process)

    def _unchanged(self, key: Key) -> Still[T] | None:
        still = self._still.get(key)
        if still is None or self._store.version(key) != still.version or not still.holds():
            return None
        return still


def _is_as_it_was(still: Still[T], found: T | None) -> bool:
    # Mostly it is the very same: a page of a list that has not changed is not parsed again.
    if found is None or (found is not still.item and found != still.item):
        return False
    still.item = found
    return True
