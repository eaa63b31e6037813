"""How old a shared list may be depends on what its reading costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from together_operator.ports import Priority
from together_operator.reconcilers.listing import Listing


@dataclass(frozen=True)
class Item:
    id: str


class Remote:
    """A list whose reading takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 100.0
        self.readings = 0

    async def fetch(self, priority: Priority) -> Sequence[Item]:
        del priority
        self.readings += 1
        self.now += self.seconds
        return [Item("a")]

    def listing(self) -> Listing[Item]:
        return Listing(self.fetch, lambda item: item.id, lambda: self.now)


@pytest.mark.parametrize(
    ("took", "age"),
    [
        pytest.param(0.1, 2.0, id="a short list is as fresh as it is wanted"),
        pytest.param(2.0, 10.0, id="a long one rests five times as long as it takes"),
        pytest.param(60.0, 20.0, id="an outage is no long list"),
    ],
)
async def test_age(took: float, age: float) -> None:
    remote = Remote(took)
    listing = remote.listing()
    assert listing.age(2.0) == 2.0, "nothing is known before the first reading"

    await listing.read(remote.now)

    assert listing.age(2.0) == pytest.approx(age)
    assert listing.age(30.0) == 30.0


@pytest.mark.parametrize(
    ("took", "age"),
    [
        pytest.param(0.01, 60.0, id="a short list"),
        pytest.param(0.1, 100.0, id="a longer one rests a thousand times as long as it takes"),
        pytest.param(10.0, 180.0, id="but within a resync period all is looked at"),
    ],
)
async def test_age_where_all_is_settled(took: float, age: float) -> None:
    remote = Remote(took)
    listing = remote.listing()
    await listing.read(remote.now)

    assert listing.age(60.0, calm=180.0) == pytest.approx(age)
    assert listing.age(60.0, calm=1.0) == 1.0, "a short resync period"


async def test_a_list_that_is_young_enough_is_not_read_again() -> None:
    remote = Remote(2.0)
    listing = remote.listing()
    await listing.read(remote.now)
    for _ in range(7):
        remote.now += 1.0
        await listing.read(remote.now - listing.age(2.0))
    assert remote.readings == 1
    remote.now += 5.0
    await listing.read(remote.now - listing.age(2.0))
    assert remote.readings == 2


async def test_what_is_looked_for_now_is_read_now() -> None:
    remote = Remote(2.0)
    listing = remote.listing()
    await listing.read(remote.now)
    await listing.read(remote.now)
    assert remote.readings == 2
