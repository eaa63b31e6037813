"""Looks at sources whose caller does not wait for them any more."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from together_operator.adapters import inspector
from together_operator.adapters.inspector import SourceInspector
from together_operator.domain.addresses import AddressPolicy
from together_operator.ports import InRepository, Place

LONG = 30.0


async def test_a_look_that_nobody_waits_for_keeps_its_place_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end, begun = threading.Event(), list[str]()

    def look(_: SourceInspector, place: Place, largest_node: int | None) -> list[str]:
        del largest_node
        assert isinstance(place, InRepository)
        begun.append(place.repo)
        end.wait(LONG)
        return []

    monkeypatch.setattr(SourceInspector, "_inspect", look)
    with ThreadPoolExecutor(8) as threads:
        looks = SourceInspector("https://hub.example", threads, AddressPolicy())

        async def inspect(repo: str) -> None:
            async with asyncio.timeout(0.1):
                await looks.inspect(InRepository(repo, "main", None), "revision", None)

        slow = [f"acme/{n}" for n in range(inspector.AT_ONCE)]
        ended = await asyncio.gather(*map(inspect, slow), return_exceptions=True)
        assert {type(error) for error in ended} == {TimeoutError}

        with pytest.raises(TimeoutError):
            await inspect("acme/next")
        assert sorted(begun) == slow
        end.set()
        await asyncio.sleep(0.05)
        await inspect("acme/next")
    assert begun[-1] == "acme/next"
