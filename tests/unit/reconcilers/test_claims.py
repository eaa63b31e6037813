"""Claims: of several objects that found one thing by its name, only one takes it."""

from __future__ import annotations

from typing import Any

from together_operator.engine.store import Body, Key, Store
from together_operator.reconcilers.claims import Claims

A, B = (Key("team", "a"), "uid-a"), (Key("team", "b"), "uid-b")


def a_store(*objects: tuple[str, dict[str, Any]]) -> Store:
    """Objects by name, each with its status; the UID is `uid-<name>`."""
    store = Store()
    for name, status in objects:
        metadata = {"namespace": "team", "name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
        store.observe({"metadata": metadata, "status": status})
    return store


def claims(store: Store) -> Claims:
    """Of models."""
    return Claims(store, lambda status: status.get("model"))


def test_a_thing_of_nobody_can_be_claimed_again_and_again() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    assert mine.claim("ml_1", *A) == ""
    assert mine.claim("ml_1", *A) == ""


def test_what_another_object_has_claimed_is_that_objects() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    mine.claim("ml_1", *A)
    assert mine.claim("ml_1", *B) == "team/a"
    assert mine.claim("ml_2", *B) == ""


def test_what_another_objects_status_names_is_that_objects() -> None:
    mine = claims(a_store(("a", {"model": {"id": "ml_1"}}), ("b", {})))
    assert mine.claim("ml_1", *B) == "team/a"


def test_a_status_that_was_written_for_another_object_claims_nothing() -> None:
    restored = {"model": {"id": "ml_1"}, "objectUID": "uid-of-long-ago"}
    assert claims(a_store(("a", restored), ("b", {}))).claim("ml_1", *B) == ""


def test_a_claim_ends_with_its_object() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store)
    mine.claim("ml_1", *A)
    store.forget(store.keys()[0])
    assert mine.claim("ml_1", *B) == ""


def test_an_object_of_the_same_name_that_was_made_anew_is_another_one() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store)
    mine.claim("ml_1", *A)
    metadata = {"namespace": "team", "name": "a", "uid": "uid-2", "resourceVersion": "2"}
    store.observe({"metadata": metadata})
    assert mine.claim("ml_1", *B) == ""


def test_a_status_that_names_the_thing_no_more_claims_it_no_more() -> None:
    store = a_store(("a", {"model": {"id": "ml_1"}}), ("b", {}))
    mine = claims(store)
    metadata = {"namespace": "team", "name": "a", "uid": "uid-a", "resourceVersion": "2"}
    store.observe({"metadata": metadata, "status": {}})
    assert mine.claim("ml_1", *B) == ""


def test_what_was_there_before_the_claims_is_found_too() -> None:
    store = a_store(("a", {"model": {"id": "ml_1"}}))
    assert claims(store).claim("ml_1", *B) == "team/a"


class Counting(Store):
    """Counts the bodies that are decoded."""

    decoded = 0

    def get(self, key: Key) -> Body | None:
        """The newest body seen."""
        self.decoded += 1
        return super().get(key)


def test_a_claim_looks_at_no_more_than_one_object_however_many_there_are() -> None:
    store = Counting()
    for n in range(500):
        metadata = {"namespace": "team", "name": f"m-{n}", "uid": f"{n}", "resourceVersion": "1"}
        store.observe({"metadata": metadata, "status": {"model": {"id": f"ml_{n}"}}})
    mine = claims(store)

    assert mine.claim("ml_new", *A) == ""
    assert mine.claim("ml_new", *B) == ""
    assert mine.claim("ml_7", *B) == "team/m-7"
    assert store.decoded <= 1


def test_who_is_gone_is_not_remembered() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    mine.claim("ml_1", *A)
    mine.claim("ml_2", *B)

    mine.forget(A[0])

    assert len(mine) == 1
