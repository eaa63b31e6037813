"""Claims: of several objects that found one thing by its name, only one takes it."""

from __future__ import annotations

from typing import Any

from together_operator.engine.store import Store
from together_operator.reconcilers.claims import Claims


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
    assert mine.claim("ml_1", "uid-a") == ""
    assert mine.claim("ml_1", "uid-a") == ""


def test_what_another_object_has_claimed_is_that_objects() -> None:
    mine = claims(a_store(("a", {}), ("b", {})))
    mine.claim("ml_1", "uid-a")
    assert mine.claim("ml_1", "uid-b") == "team/a"
    assert mine.claim("ml_2", "uid-b") == ""


def test_what_another_objects_status_names_is_that_objects() -> None:
    mine = claims(a_store(("a", {"model": {"id": "ml_1"}}), ("b", {})))
    assert mine.claim("ml_1", "uid-b") == "team/a"


def test_a_status_that_was_written_for_another_object_claims_nothing() -> None:
    restored = {"model": {"id": "ml_1"}, "objectUID": "uid-of-long-ago"}
    assert claims(a_store(("a", restored), ("b", {}))).claim("ml_1", "uid-b") == ""


def test_a_claim_ends_with_its_object() -> None:
    store = a_store(("a", {}), ("b", {}))
    mine = claims(store)
    mine.claim("ml_1", "uid-a")
    store.forget(store.keys()[0])
    assert mine.claim("ml_1", "uid-b") == ""
