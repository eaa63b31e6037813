"""Which of our objects a thing at Together belongs to, when several want one of its name.

An intent alone can't tell: two objects may have announced the same name, and one of them have
died before it learned that the other one's request had been first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from together_operator.engine.store import Body, Key, Store
from together_operator.reconcilers.attendance import Attendance, Roll


class Claims:
    """Of one kind of ours, and in this process: what statuses say, and what was claimed since.

    To ask costs the same however many objects there are: the store finds them by what they have.

    Args:
        roll: all objects of that kind.
        recorded: a part of a status, `{"id": ...}`, that names the thing which an object has.
    """

    def __init__(self, roll: Roll, store: Store, recorded: Callable[[Body], Any]) -> None:
        self._store = store
        self._attendance = Attendance(roll, store)
        self._recorded = recorded
        self._claimed: dict[str, tuple[Key, str]] = {}
        self._claimed_by: dict[Key, set[str]] = {}
        store.also_index(self._had_by)

    def __len__(self) -> int:
        """How many claims are remembered."""
        return len(self._claimed)

    async def claim(self, thing_id: str, key: Key, uid: str) -> str:
        """Claim a thing for the object `uid` at `key`; the answer is `namespace/name` of another
        object that has it already, and empty when the claim holds.

        Raises:
            NotAllKnown: an object that the watch has not told of yet may have it.
        """
        await self._attendance.require()
        for other in self._store.referring(_having(thing_id)):
            if other != key:
                return str(other)
        holder, holder_uid = self._claimed.get(thing_id, (key, uid))
        if holder != key and self._is_there(holder, holder_uid):
            return str(holder)
        self._claimed_by.get(holder, set()).discard(thing_id)
        self._claimed[thing_id] = key, uid
        self._claimed_by.setdefault(key, set()).add(thing_id)
        return ""

    def forget(self, key: Key) -> None:
        """The object is gone, and its claims with it."""
        for thing_id in self._claimed_by.pop(key, ()):
            del self._claimed[thing_id]

    def _is_there(self, key: Key, uid: str) -> bool:
        body = self._store.get(key)
        return body is not None and body["metadata"]["uid"] == uid

    def _had_by(self, body: Body) -> Iterator[Key]:
        """The thing that the status, written for this very object, names."""
        status = body.get("status") or {}
        own = status.get("objectUID") in {None, body["metadata"]["uid"]}
        thing_id = (self._recorded(status) or {}).get("id")
        if own and thing_id:
            yield _having(thing_id)


def _having(thing_id: str) -> Key:
    """What objects that have a thing refer to: no namespace has such a name."""
    return Key("/having", thing_id)
