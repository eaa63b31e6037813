"""What every kind's reconcile does when the API server refuses a write."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from together_operator.api.v1alpha1 import CustomModel, CustomModelStatus
from together_operator.domain.backoff import Backoff
from together_operator.domain.errors import Conflict, Unavailable
from together_operator.domain.failures import StageError
from together_operator.domain.outcome import After, Done, Failed, Gone, Outcome
from together_operator.domain.plan import FINALIZER, AddFinalizer, Plan, Process, RemoveFinalizer
from together_operator.engine.store import Body, Key, Store
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.attendance import NotAllKnown
from together_operator.reconcilers.calm import Calm
from together_operator.reconcilers.driver import SOON_REFUSED, Reconciler, Result, World
from together_operator.reconcilers.ledger import Ledger

KEY = Key("team", "a")
NOW = datetime(2026, 1, 1, tzinfo=UTC)

Action = AddFinalizer | RemoveFinalizer
F = TypeVar("F", bound="Finalizing")


def body(version: int, **more: Any) -> dict[str, Any]:
    """An object; `more` is in its metadata."""
    metadata = {"namespace": KEY.namespace, "name": KEY.name, "uid": "uid-a", "generation": 1}
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "CustomModel",
        "metadata": {**metadata, "resourceVersion": str(version), **more},
        "spec": {"source": {"huggingFace": {"repo": "acme/one"}}},
    }


class OneObject:
    """`Objects` of which there is one at most; a write of another version is refused."""

    def __init__(self, live: dict[str, Any] | None) -> None:
        self.live = live
        self.refuses = False

    async def get(self, key: Key) -> Body | None:
        assert key == KEY
        return self.live

    async def list(self) -> Sequence[Body]:
        raise AssertionError("nobody lists")

    async def versions(self) -> Mapping[Key, int]:
        raise AssertionError("nobody calls the roll")

    async def delete(self, key: Key, uid: str) -> None:
        raise AssertionError(f"nobody deletes {key} {uid}")

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        raise AssertionError(f"nobody writes {status} to {body}")

    async def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        if self.live is None:
            return None
        version = self.live["metadata"]["resourceVersion"]
        if self.refuses or version != body["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", status=409)
        news = {"finalizers": list(finalizers), "resourceVersion": str(int(version) + 1)}
        self.live = {**self.live, "metadata": {**self.live["metadata"], **news}}
        return self.live


class Nobody:
    """`Gate` that is held, and `Events` that nobody reads."""

    def is_held(self) -> bool:
        return True

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        del body, warning, reason, message


class Finalizing(Reconciler[CustomModel, CustomModelStatus, CustomModel, Action]):
    """Has nothing but finalizers to set."""

    def parse(self, body: Body) -> CustomModel:
        return CustomModel.model_validate(body)

    def with_status(self, resource: CustomModel, status: CustomModelStatus) -> CustomModel:
        return resource.model_copy(update={"status": status})

    def status_of(self, resource: CustomModel) -> CustomModelStatus:
        return resource.status

    def is_settled(self, resource: CustomModel) -> bool:
        return False

    def seconds_to_wait(self, resource: CustomModel, now: datetime) -> float:
        return 0.0

    async def gather(self, resource: CustomModel) -> CustomModel:
        return resource

    def unseen(self, resource: CustomModel) -> CustomModel:
        return resource

    def decide(self, observed: CustomModel, now: datetime) -> Plan[CustomModelStatus, Action]:
        if observed.metadata.deletion_timestamp is not None:
            return Plan(observed.status, Done(), RemoveFinalizer())
        if FINALIZER in observed.metadata.finalizers:
            return Plan(observed.status, Done())
        return Plan(observed.status, After(0), AddFinalizer())

    def failure(
        self, observed: CustomModel, now: datetime, error: StageError
    ) -> Plan[CustomModelStatus, Action]:
        raise AssertionError(error)

    async def act(
        self, resource: CustomModel, action: Action
    ) -> Result[CustomModelStatus, Action] | None:
        raise AssertionError(action)


def a_reconciler(kind: type[F], objects: OneObject, store: Store) -> F:
    nobody = Nobody()
    process = Process("cluster", "holder-1", NOW, 30.0, 10.0, Backoff(1.0, 60.0))
    ledger = Ledger(lambda: NOW)
    world = World(process, nobody, nobody, ledger, lambda: NOW, random.Random(1))
    nothing: Any = None  # nothing is ever kept of a decision, and so nobody asks for accounts
    calm = Calm(process, store, Accounts(None, nothing, nothing), lambda account: account.models)
    return kind(world, objects, store, calm)


async def outcomes(reconcile: Finalizing, number: int) -> list[Outcome]:
    return [await reconcile(KEY) for _ in range(number)]


async def test_after_an_etcd_was_restored_the_object_is_taken_as_it_is() -> None:
    store, objects = Store(), OneObject(body(900, generation=2))
    store.observe(body(1000))
    reconcile = a_reconciler(Finalizing, objects, store)

    assert await outcomes(reconcile, 3) == [After(0), After(0), Done()]
    assert store.version(KEY) == 901
    known = store.get(KEY)
    assert known is not None
    assert known["metadata"]["generation"] == 2


async def test_a_write_that_is_refused_again_and_again_is_tried_more_and_more_seldom() -> None:
    store, objects = Store(), OneObject(body(5))
    store.observe(body(5))
    reconcile = a_reconciler(Finalizing, objects, store)
    objects.refuses = True

    pauses = [
        o.seconds for o in await outcomes(reconcile, 11 + SOON_REFUSED) if isinstance(o, After)
    ]

    assert not any(pauses[: SOON_REFUSED - 1]), "in a burst, our own writes cross each other"
    assert all(pause > 0.4 for pause in pauses[SOON_REFUSED - 1 :])
    assert sum(pauses) > 100
    objects.refuses = False
    await reconcile(KEY)
    objects.live = body(9)
    store.observe(objects.live)
    objects.refuses = True
    assert await reconcile(KEY) == After(0)


async def test_an_object_that_somebody_else_let_go_is_forgotten() -> None:
    store, objects = Store(), OneObject(body(5))
    store.observe(body(5))
    reconcile = a_reconciler(Finalizing, objects, store)
    await reconcile(KEY)
    assert reconcile.world.ledger.has_nothing("uid-a")

    objects.live = None
    store.forget(KEY)

    assert await reconcile(KEY) == Gone()
    assert not reconcile.world.ledger.has_nothing("uid-a")


async def test_an_object_that_was_made_anew_under_its_name_takes_its_place() -> None:
    store, objects = Store(), OneObject(body(5))
    store.observe(body(5))
    reconcile = a_reconciler(Finalizing, objects, store)
    await reconcile(KEY)

    objects.live = body(9, uid="uid-2")
    store.observe(objects.live)
    await reconcile(KEY)

    ledger = reconcile.world.ledger
    assert (ledger.has_nothing("uid-a"), ledger.has_nothing("uid-2")) == (False, True)


class Settled(Finalizing):
    """Has nothing to do, and looks at what is away at times."""

    away = True

    def is_settled(self, resource: CustomModel) -> bool:
        return True

    async def gather(self, resource: CustomModel) -> CustomModel:
        if self.away:
            raise StageError("Registered", Unavailable("Together is away"))
        return resource


async def test_in_an_outage_a_settled_object_is_looked_at_more_and_more_seldom() -> None:
    live = body(5, finalizers=[FINALIZER])
    store, objects = Store(), OneObject(live)
    store.observe(live)
    reconcile = a_reconciler(Settled, objects, store)

    waits = [o.seconds for o in await outcomes(reconcile, 5) if isinstance(o, Failed)]

    for wait, whole in zip(waits, (8, 16, 32, 60, 60), strict=True):
        assert whole / 2 <= wait <= whole

    reconcile.away = False
    assert await outcomes(reconcile, 1) == [Done()]
    store.observe(body(6, finalizers=[FINALIZER]))
    reconcile.away = True
    (first,) = await outcomes(reconcile, 1)
    assert isinstance(first, Failed)
    assert 4 <= first.seconds <= 8, "it was seen in between"


class Waiting(Finalizing):
    """Needs to know all objects first."""

    unknown = NotAllKnown()

    async def gather(self, resource: CustomModel) -> CustomModel:
        raise self.unknown


async def test_what_needs_all_objects_to_be_known_comes_again_without_a_word() -> None:
    store, objects = Store(), OneObject(body(5))
    store.observe(body(5))
    reconcile = a_reconciler(Waiting, objects, store)

    assert await reconcile(KEY) == After(reconcile.world.process.soon)

    reconcile.unknown = NotAllKnown(Unavailable("Kubernetes can't be reached"))
    outcome = await reconcile(KEY)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "KubernetesUnavailable"
    assert objects.live == body(5), "nothing was written"
