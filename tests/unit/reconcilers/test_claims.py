"""Claims: of several objects that found one thing by its name, only one takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from together_operator.domain.errors import Unavailable
from together_operator.engine.store import Body, Key, Store
from together_operator.reconcilers.attendance import NotAllKnown
from together_operator.reconcilers.claims import Claims

A, B = (Key("team", "a"), "uid-a"), (Key("team", "b"), "uid-b")


def a_store(*objects: tuple[str, dict[str, Any]]) -> Store:
    """Objects by name, each with its status; the UID is `uid-<name>`."""
    store = Store()
    for name, status in objects:
        metadata = {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
        store.observe({"metadata": metadata, "status": status})
    return store


class Roll:
    """What there is: what a store knows, and objects that it does not know yet."""

    def __init__(self, store: Store, **unknown: int) -> None:
        self.there = {**store.versions(), **{Key("team", n): v for n, v in unknown.items()}}
        self.calls = 0

    async def versions(self) -> Mapping[Key, int]:
        self.calls += 1
        return dict(self.there)


def claims(store: Store, roll: Roll | None = None) -> Claims:
    """Of models."""
    return Claims(roll or Roll(store), store, lambda status: status.get("model"))


async def test_a_thing_of_nobody_can_be_claimed_again_and_again() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    assert await mine.claim("ml_1", *A) == ""
    assert await mine.claim("ml_1", *A) == ""


async def test_what_another_object_has_claimed_is_that_objects() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    await mine.claim("ml_1", *A)
    assert await mine.claim("ml_1", *B) == "team/a"
    assert await mine.claim("ml_2", *B) == ""


async def test_what_another_objects_status_names_is_that_objects() -> None:
    mine = claims(a_store(("a", {"model": {"id": "ml_1"}}), ("b", {})))
    assert await mine.claim("ml_1", *B) == "team/a"


async def test_a_status_that_was_written_for_another_object_claims_nothing() -> None:
    restored = {"model": {"id": "ml_1"}, "objectUID": "uid-of-long-ago"}
    mine = claims(a_store(("a", restored), ("b", {})))
    assert await mine.claim("ml_1", *B) == ""


async def test_a_claim_ends_with_its_object() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store)
    await mine.claim("ml_1", *A)
    store.forget(store.keys()[0])
    assert await mine.claim("ml_1", *B) == ""


async def test_an_object_of_the_same_name_that_was_made_anew_is_another_one() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store)
    await mine.claim("ml_1", *A)
    metadata = {"namespace": "team", "name": "a", "uid": "uid-2", "resourceVersion": "2"}
    store.observe({"metadata": metadata})
    assert await mine.claim("ml_1", *B) == ""


async def test_a_status_that_names_the_thing_no_more_claims_it_no_more() -> None:
    store = a_store(("a", {"model": {"id": "ml_1"}}), ("b", {}))
    mine = claims(store)
    metadata = {"namespace": "team", "name": "a", "uid": "uid-a", "resourceVersion": "2"}
    store.observe({"metadata": metadata, "status": {}})
    assert await mine.claim("ml_1", *B) == ""


async def test_what_was_there_before_the_claims_is_found_too() -> None:
    store = a_store(("a", {"model": {"id": "ml_1"}}))
    assert await claims(store).claim("ml_1", *B) == "team/a"


class Counting(Store):
    """Counts the bodies that are decoded."""

    decoded = 0

    def get(self, key: Key) -> Body | None:
        """The newest body seen."""
        self.decoded += 1
        return super().get(key)


async def test_a_claim_looks_at_no_more_than_one_object_however_many_there_are() -> None:
    store = Counting()
    for n in range(500):
        metadata = {"namespace": "team", "name": f"m-{n}", "uid": f"{n}", "resourceVersion": "1"}
        store.observe({"metadata": metadata, "status": {"model": {"id": f"ml_{n}"}}})
    mine = claims(store)

    assert await mine.claim("ml_new", *A) == ""
    assert await mine.claim("ml_new", *B) == ""
    assert await mine.claim("ml_7", *B) == "team/m-7"
    assert store.decoded <= 1


async def test_who_is_gone_is_not_remembered() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    await mine.claim("ml_1", *A)
    await mine.claim("ml_2", *B)

    mine.forget(A[0])

    assert len(mine) == 1


def told(name: str, version: int, status: dict[str, Any]) -> Body:
    """What the watch tells of an object."""
    metadata = {"namespace": "team", "name": name, "uid": f"uid-{name}"}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "status": status}


async def test_an_object_that_nobody_has_told_of_yet_may_have_it() -> None:
    store = a_store(("b", {}))
    roll = Roll(store, a=1)
    mine = claims(store, roll)
    with pytest.raises(NotAllKnown):
        await mine.claim("ml_1", *B)

    store.observe(told("a", 1, {"model": {"id": "ml_1"}}))

    assert await mine.claim("ml_1", *B) == "team/a"


async def test_an_object_of_which_only_an_older_version_was_told_may_have_it() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store, Roll(store, a=2))
    with pytest.raises(NotAllKnown):
        await mine.claim("ml_1", *B)

    store.observe(told("a", 2, {"model": {"id": "ml_1"}}))

    assert await mine.claim("ml_1", *B) == "team/a"


async def test_what_has_gone_before_the_watch_told_of_it_is_not_waited_for() -> None:
    store = a_store(("b", {}))
    roll = Roll(store, a=1)
    mine = claims(store, roll)
    with pytest.raises(NotAllKnown):
        await mine.claim("ml_1", *B)

    del roll.there[A[0]]

    assert await mine.claim("ml_1", *B) == ""


async def test_once_all_is_known_the_roll_is_called_no_more() -> None:
    store = a_store(("b", {}))
    roll = Roll(store)
    mine = claims(store, roll)
    for thing in ("ml_1", "ml_2", "ml_3"):
        await mine.claim(thing, *B)
    roll.there[A[0]] = 9  # came into being since

    assert await mine.claim("ml_4", *B) == ""
    assert roll.calls == 1


async def test_while_kubernetes_cannot_be_asked_nothing_is_claimed() -> None:
    class Away(Roll):
        async def versions(self) -> Mapping[Key, int]:
            raise Unavailable("Kubernetes can't be reached")

    store = a_store(("b", {}))
    with pytest.raises(NotAllKnown) as unknown:
        await claims(store, Away(store)).claim("ml_1", *B)
    assert isinstance(unknown.value.error, Unavailable)
