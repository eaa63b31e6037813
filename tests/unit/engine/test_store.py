"""The newest bodies, and who refers to what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from together_operator.engine.store import Body, Key, Store


def _refers(body: Body) -> Iterator[Key]:
    for name in body["refers"]:
        yield Key("", name)


def _body(name: str, version: int, *refers: str, namespace: str = "team") -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "refers": refers}


A, B = Key("", "a"), Key("", "b")


def test_an_object_is_found_under_everything_that_it_refers_to() -> None:
    store = Store(_refers)
    store.observe(_body("one", 1, "a", "b"))
    store.observe(_body("two", 2, "a", namespace="other"))

    assert store.referring(A) == [Key("other", "two"), Key("team", "one")]
    assert store.referring(B) == [Key("team", "one")]


def test_what_it_does_not_refer_to_any_more_does_not_find_it() -> None:
    store = Store(_refers)
    store.observe(_body("one", 1, "a", "b"))

    store.observe(_body("one", 2, "b"))

    assert (store.referring(A), store.referring(B)) == ([], [Key("team", "one")])
    store.forget(Key("team", "one"))
    assert store.referring(B) == []


def test_an_older_body_changes_nothing() -> None:
    store = Store(_refers)
    store.observe(_body("one", 2, "b"))

    assert not store.observe(_body("one", 1, "a"))

    assert (store.referring(A), store.referring(B)) == ([], [Key("team", "one")])


def test_a_reference_is_kept_as_long_as_anybody_has_it() -> None:
    store = Store(_refers)
    for version, name in enumerate(("one", "two", "three"), 1):
        store.observe(_body(name, version, "a"))
    store.forget(Key("team", "one"))
    store.observe(_body("two", 4, "b"))
    assert (store.referring(A), store.referring(B)) == (
        [Key("team", "three")],
        [Key("team", "two")],
    )

    store.forget(Key("team", "three"))
    store.observe(_body("one", 5, "a"))
    store.observe(_body("one", 6, "a", "a"))

    assert store.referring(A) == [Key("team", "one")]


def test_what_is_indexed_later_finds_what_was_there_before() -> None:
    store = Store()
    store.observe(_body("one", 1, "a"))
    assert store.referring(A) == []

    store.also_index(_refers)

    assert store.referring(A) == [Key("team", "one")]
