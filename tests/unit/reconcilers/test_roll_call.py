"""What the watch never told is found by comparing, and told as the watch would have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from together_operator.engine.store import Body, Key, Store, key_of
from together_operator.reconcilers.roll_call import RollCall

A, B = Key("team", "a"), Key("team", "b")


def body(key: Key, version: int, uid: str = "1") -> dict[str, Any]:
    metadata = {"namespace": key.namespace, "name": key.name, "uid": uid}
    return {"metadata": {**metadata, "resourceVersion": str(version)}}


class Cluster:
    """Objects that there are; `meanwhile` happens while the roll is read."""

    def __init__(self, *bodies: Body, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.live = {key_of(b): b for b in bodies}
        self.meanwhile = meanwhile
        self.on_get: Callable[[], None] = lambda: None
        self.gets = 0

    async def versions(self) -> Mapping[Key, int]:
        found = {k: int(b["metadata"]["resourceVersion"]) for k, b in self.live.items()}
        self.meanwhile()
        return found

    async def get(self, key: Key) -> Body | None:
        self.gets += 1
        found = self.live.get(key)
        self.on_get()
        return found


class Meter:
    def __init__(self) -> None:
        self.counted: list[tuple[str, int]] = []

    def missed(self, kind: str, number: int) -> None:
        self.counted.append((kind, number))


async def call(known: list[Body], cluster: Cluster, store: Store) -> list[tuple[Key, str, bool]]:
    """What was told: key, version and whether it is gone."""
    told: list[tuple[Key, str, bool]] = []
    for each in known:
        store.observe(each)

    def tell(news: Body, deleted: bool) -> None:
        told.append((key_of(news), news["metadata"]["resourceVersion"], deleted))

    meter = Meter()
    number = await RollCall("things", cluster, store, tell, meter).call()
    assert meter.counted == [("things", number)]
    assert number == len(told)
    return told


@pytest.mark.parametrize(
    ("known", "live", "told", "gets"),
    [
        pytest.param([body(A, 1)], [body(A, 1)], [], 0, id="all as it is known"),
        pytest.param([body(A, 1), body(B, 2)], [body(A, 1)], [(B, "2", True)], 1, id="vanished"),
        pytest.param([body(A, 1)], [], [(A, "1", True)], 1, id="all vanished"),
        pytest.param([body(A, 1)], [body(A, 5)], [(A, "5", False)], 1, id="changed"),
        pytest.param([], [body(A, 5)], [(A, "5", False)], 1, id="new"),
        pytest.param(
            [body(A, 1)], [body(A, 9, "2")], [(A, "9", False)], 1, id="deleted and made anew"
        ),
        pytest.param([body(A, 7)], [body(A, 5)], [(A, "5", False)], 1, id="restored from a backup"),
    ],
)
async def test_differences_are_told(
    known: list[Body], live: list[Body], told: list[tuple[Key, str, bool]], gets: int
) -> None:
    cluster = Cluster(*live)

    assert await call(known, cluster, Store()) == told
    assert cluster.gets == gets


async def test_what_the_watch_tells_meanwhile_is_no_miss() -> None:
    store = Store()
    cluster = Cluster(body(A, 5))

    def meanwhile() -> None:
        cluster.live[B] = body(B, 8)
        _observe(store, B, 8)

    cluster.meanwhile = meanwhile

    assert await call([body(A, 5)], cluster, store) == []


async def test_our_own_write_while_the_roll_is_read_is_no_miss() -> None:
    store = Store()
    cluster = Cluster(body(A, 5))
    cluster.meanwhile = lambda: _observe(store, A, 7)

    assert await call([body(A, 5)], cluster, store) == []


async def test_a_roll_that_is_older_than_the_object_is_no_miss() -> None:
    cluster = Cluster(body(A, 5))
    cluster.meanwhile = lambda: cluster.live.update({A: body(A, 7)})

    assert await call([body(A, 7)], cluster, Store()) == []


async def test_our_own_write_while_the_object_is_read_is_no_restored_backup() -> None:
    store = Store()
    cluster = Cluster(body(A, 5))
    store.observe(body(A, 7))
    cluster.on_get = lambda: _observe(store, A, 9)

    assert await call([], cluster, store) == []
    assert store.version(A) == 9


async def test_what_was_restored_from_a_backup_is_known_as_it_is_and_followed_again() -> None:
    store = Store()
    cluster = Cluster(body(A, 5))
    store.observe(body(A, 7))

    await RollCall("things", cluster, store, lambda b, _: _told(store, b), Meter()).call()

    assert store.version(A) == 5
    assert store.observe(body(A, 6))


async def test_what_was_deleted_after_the_roll_was_read_is_told_as_gone() -> None:
    cluster = Cluster(body(A, 5), body(B, 6))
    cluster.meanwhile = cluster.live.clear

    assert await call([body(A, 4), body(B, 6)], cluster, Store()) == [(A, "4", True)]


async def test_what_the_watch_tells_before_the_look_is_told_once() -> None:
    store = Store()
    cluster = Cluster(body(A, 5))
    cluster.meanwhile = lambda: _observe(store, A, 5)

    assert await call([body(A, 4)], cluster, store) == []


def _observe(store: Store, key: Key, version: int) -> None:
    store.observe(body(key, version))


def _told(store: Store, news: Body) -> None:
    store.observe(news)


@pytest.mark.looptime
async def test_a_bug_does_not_end_it_for_good() -> None:
    def bug() -> None:
        raise RuntimeError("a bug")

    cluster, meter = Cluster(body(A, 1), meanwhile=bug), Meter()
    calls = RollCall("things", cluster, Store(), lambda _body, _gone: None, meter)
    running = asyncio.create_task(calls.run(10.0))
    await asyncio.sleep(15)
    cluster.meanwhile = lambda: None
    await asyncio.sleep(10)

    assert not running.done()
    assert meter.counted == [("things", 1)]
    running.cancel()
