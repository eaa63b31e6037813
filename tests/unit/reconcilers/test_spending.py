"""The one place where all objects' reservations meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.domain.deployment.observed import Ceiling
from together_operator.engine.store import Key
from together_operator.reconcilers.spending import Limits, Spending

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def _object(name: str, namespace: str = "team", reserved: str | None = None) -> ModelDeployment:
    cost = {"cost": {"reservedPerHour": reserved}} if reserved is not None else {}
    return ModelDeployment.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"modelRef": {"name": "model"}},
            "status": cost,
        }
    )


A, B, OTHER = _object("a"), _object("b"), _object("c", "other")
KEY_A, KEY_B = Key("team", "a"), Key("team", "b")


def test_each_sees_what_the_others_reserve_and_not_its_own() -> None:
    spending = Spending(Limits(2000.0, {"team": 1000.0}))
    spending.reserve(A, 400.0, waits=False)
    spending.reserve(OTHER, 300.0, waits=False)

    assert spending.ceilings(B) == (
        Ceiling("the ceiling of namespace team", 1000.0, 400.0),
        Ceiling("the operator's ceiling", 2000.0, 700.0),
    )
    assert spending.ceilings(A)[1].used == 300.0
    assert spending.ceilings(OTHER) == (Ceiling("the operator's ceiling", 2000.0, 400.0),)


def test_a_ceiling_for_every_namespace_gives_way_to_one_of_its_own() -> None:
    limits = Limits(None, {"team": 1000.0}, 500.0)

    assert Spending(limits).ceilings(A) == (Ceiling("the ceiling of namespace team", 1000.0, 0.0),)
    assert Spending(limits).ceilings(OTHER)[0].limit == 500.0
    assert Spending().ceilings(A) == ()


def test_what_statuses_say_counts_from_the_start() -> None:
    spending = Spending(Limits(1000.0))
    bodies = [o.model_dump(by_alias=True, mode="json") for o in (_object("a", reserved="7.00"), B)]

    spending.seed(bodies)

    assert spending.ceilings(B)[0].used == 700.0


def test_a_status_that_cannot_be_read_holds_up_nobody_at_the_start() -> None:
    spending = Spending(Limits(1000.0))
    a = _object("a", reserved="7.00").model_dump(by_alias=True, mode="json")
    a["status"]["phase"] = "OfANewerVersion"

    spending.seed([a])

    assert spending.ceilings(B)[0].used == 700.0


@pytest.mark.parametrize("frees", ["less", "gone"])
def test_money_that_becomes_free_wakes_who_waits_for_it(frees: str) -> None:
    spending, woken = Spending(Limits(1000.0)), list[Key]()
    spending.on_freed = woken.append
    spending.reserve(A, 800.0, waits=False)
    spending.reserve(B, 0.0, waits=True)
    assert woken == []

    if frees == "less":
        spending.reserve(A, 400.0, waits=False)
    else:
        spending.forget(KEY_A)

    assert woken == [KEY_B]


def test_who_has_what_it_wants_is_not_woken() -> None:
    spending, woken = Spending(), list[Key]()
    spending.on_freed = woken.append
    spending.reserve(B, 0.0, waits=True)
    spending.reserve(B, 100.0, waits=False)

    spending.reserve(A, 800.0, waits=False)
    spending.reserve(A, 0.0, waits=False)

    assert woken == []


def test_a_bill_is_rate_times_time() -> None:
    spending = Spending()
    spending.bill(A, 400.0, NOW)
    spending.bill(A, 800.0, NOW + timedelta(hours=1))

    first = spending.take_bills(NOW + timedelta(hours=1, minutes=30))
    second = spending.take_bills(NOW + timedelta(hours=2))

    assert first == {KEY_A: (800.0, 800.0)}
    assert second == {KEY_A: (800.0, 400.0)}


def test_a_stopped_object_costs_nothing_and_one_that_is_gone_is_not_told() -> None:
    spending = Spending()
    spending.bill(A, 400.0, NOW)
    spending.bill(A, 0.0, NOW + timedelta(hours=1))

    assert spending.take_bills(NOW + timedelta(hours=5)) == {KEY_A: (0.0, 400.0)}
    spending.forget(KEY_A)
    assert spending.take_bills(NOW + timedelta(hours=6)) == {}


@pytest.mark.parametrize(
    ("status", "cents"),
    [
        ({"cost": {"perHour": "4.00"}}, 400.0),
        ({"cost": {"perHour": "a lot"}}, 0.0),
        ({"cost": {"perReplicaHour": "4.00"}}, 0.0),
        ({"cost": None}, 0.0),
        (None, 0.0),
    ],
)
def test_until_it_is_looked_at_an_object_costs_what_its_status_says(
    status: dict[str, object] | None, cents: float
) -> None:
    spending = Spending()
    body = {"metadata": {"namespace": KEY_A.namespace, "name": KEY_A.name}, "status": status}
    spending.assume(body, NOW)

    assert spending.take_bills(NOW + timedelta(hours=1)) == {KEY_A: (cents, cents)}
