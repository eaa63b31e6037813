"""Which of our objects a thing at Together belongs to, when several want one of its name.

An intent alone can't tell: two objects may have announced the same name, and one of them have
died before it learned that the other one's request had been first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from together_operator.engine.store import Body, Store


class Claims:
    """Of one kind of ours, and in this process: what statuses say, and what was claimed since.

    Args:
        recorded: a part of a status, `{"id": ...}`, that names the thing which an object has.
    """

    def __init__(self, store: Store, recorded: Callable[[Body], Any]) -> None:
        self._store = store
        self._recorded = recorded
        self._claimed: dict[str, str] = {}

    def claim(self, thing_id: str, uid: str) -> str:
        """Claim a thing for the object `uid`; the answer is `namespace/name` of another object
        that has it already, and empty when the claim holds.

        Looks at every object: to be asked only about what was just found by its name.
        """
        holder, keys = self._claimed.get(thing_id), self._store.keys()
        for key in keys:
            body = self._store.get(key)
            other = body["metadata"]["uid"] if body is not None else uid
            if body is None or other == uid:
                continue
            if other == holder or self._has(body, thing_id):
                return str(key)
        self._claimed[thing_id] = uid
        return ""

    def _has(self, body: Body, thing_id: str) -> bool:
        """True when the status, written for this very object, names the thing."""
        status = body.get("status") or {}
        own = status.get("objectUID") in {None, body["metadata"]["uid"]}
        return own and (self._recorded(status) or {}).get("id") == thing_id
