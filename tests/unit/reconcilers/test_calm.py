"""When what is at hand shows that a settled object needs no decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from together_operator.api.v1alpha1 import ApiKeySecretRef, SecretKeyRef
from together_operator.domain.backoff import Backoff
from together_operator.domain.errors import Unavailable
from together_operator.domain.plan import Process
from together_operator.domain.together import Model
from together_operator.engine.store import Key, Store
from together_operator.ports import ModelProvider, Priority
from together_operator.reconcilers.account import UNUSED_SECONDS, Accounts
from together_operator.reconcilers.calm import Calm, Still

KEY = Key("team", "a")
CALM = 100.0
MINE = ApiKeySecretRef(name="mine")


def record(model_id: str, **fields: Any) -> Model:
    return replace(Model(model_id, f"acme/team-{model_id}", "proj_1"), **fields)


@dataclass
class World:
    """One object, one model, and a clock."""

    now: float = 1000.0
    models: dict[str, Model] = field(default_factory=lambda: {"ml_1": record("ml_1")})
    readings: int = 0
    secrets: int = 0
    holds: bool = True
    is_away: bool = False

    def __post_init__(self) -> None:
        self.store = Store()
        self.observe(5)
        self.accounts = Accounts(lambda: SecretStr("tgp_own"), self.connect, self, lambda: self.now)
        process = Process(
            "cluster", "me", datetime(2026, 1, 1, tzinfo=UTC), 30.0, 10.0, Backoff(1, 60), CALM
        )
        self.calm = Calm(process, self.store, self.accounts, lambda account: account.models)

    def observe(self, version: int) -> None:
        metadata = {"namespace": KEY.namespace, "name": KEY.name, "resourceVersion": str(version)}
        self.store.observe({"metadata": metadata})

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """`Secrets`."""
        assert (namespace, name) == (KEY.namespace, "mine")
        self.secrets += 1
        return {MINE.key: SecretStr("tgp_theirs")}

    def connect(self, key: SecretStr) -> ModelProvider:
        del key
        nothing = SimpleNamespace(
            list_models=self.list, list_imports=self.list, list_endpoints=self.list
        )
        return cast("ModelProvider", nothing)

    async def list(self, priority: Priority) -> Sequence[Model]:
        del priority
        if self.is_away:
            raise Unavailable("Together is away")
        self.readings += 1
        return [replace(model) for model in self.models.values()]

    def decided(self, reference: SecretKeyRef | None = None) -> None:
        """What a decision rested on is as it is now."""
        place = (KEY.namespace, reference)
        record = replace(self.models["ml_1"])
        self.calm.keep(KEY, Still(self.store.version(KEY), place, record, lambda: self.holds))


@pytest.fixture
async def world() -> World:
    """Of which all is at hand."""
    made = World()
    made.decided()
    assert not made.calm.is_known(KEY), "no list was read yet"
    assert await made.calm.compare(KEY)
    assert made.calm.is_known(KEY)
    return made


def change_record(world: World) -> None:
    world.models["ml_1"] = record("ml_1", description="by hand")


def delete_record(world: World) -> None:
    del world.models["ml_1"]


def change_object(world: World) -> None:
    world.observe(6)


def forget_object(world: World) -> None:
    world.store.forget(KEY)


def change_the_rest(world: World) -> None:
    world.holds = False


@pytest.mark.parametrize("change", [change_object, forget_object, change_the_rest])
async def test_a_change_that_is_at_hand_is_seen_at_once(
    world: World, change: Callable[[World], None]
) -> None:
    change(world)
    assert not world.calm.is_known(KEY)
    assert not await world.calm.compare(KEY)
    world.holds = True
    assert not world.calm.is_known(KEY), "until it is decided on again"


@pytest.mark.parametrize("change", [change_record, delete_record])
async def test_a_change_at_together_is_seen_with_the_next_list(
    world: World, change: Callable[[World], None]
) -> None:
    change(world)
    assert world.calm.is_known(KEY)
    world.now += CALM + 1
    await world.accounts.of(KEY.namespace, None)  # for another object, which needs another list
    assert not world.calm.is_known(KEY), "the list is too old to tell"
    assert world.readings == 1
    assert not await world.calm.compare(KEY)
    assert world.readings == 2
    assert not world.calm.is_known(KEY)


async def test_a_list_that_is_read_anew_tells_that_all_is_as_it_was(world: World) -> None:
    for _ in range(3):
        world.now += CALM + 1
        assert not world.calm.is_known(KEY)
        assert await world.calm.compare(KEY)
        assert world.calm.is_known(KEY)
    assert world.readings == 4


async def test_where_looking_fails_nothing_is_known(world: World) -> None:
    world.now += CALM + 1
    world.is_away = True
    assert not await world.calm.compare(KEY)
    world.is_away = False
    assert not world.calm.is_known(KEY), "it is decided on first"


async def test_what_has_changed_since_the_decision_is_not_kept() -> None:
    world = World()
    await (await world.accounts.of("team", None)).models.read(world.now)
    for version, is_kept in ((4, False), (5, True)):
        world.calm.keep(KEY, Still(version, ("team", None), record("ml_1")))
        assert world.calm.is_known(KEY) is is_kept


async def test_a_key_in_a_secret_is_read_as_often_as_lists_are() -> None:
    world = World()
    world.decided(MINE)
    await world.calm.compare(KEY)
    for _ in range(50):
        assert world.calm.is_known(KEY)
    assert world.secrets == 1

    world.now += CALM + 1
    await (await world.accounts.of("team", None)).models.read(world.now)
    assert not world.calm.is_known(KEY), "the operator's own key is another"
    assert await world.calm.compare(KEY)
    assert world.secrets == 2


async def test_a_place_that_nobody_asks_for_any_more_is_forgotten(world: World) -> None:
    await world.accounts.of("team", MINE)
    assert len(world.accounts._recent) == 2
    world.now += UNUSED_SECONDS + 1
    await world.accounts.of("team", None)
    assert len(world.accounts._recent) == 1
