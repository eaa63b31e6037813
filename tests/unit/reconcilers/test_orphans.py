"""What the operator tells of orphans when it could not look everywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.fakes.kubernetes import FakeGate
from together_operator.domain.custom_model.observed import marker
from together_operator.domain.errors import Unavailable
from together_operator.domain.orphans import Orphan, OrphanKind
from together_operator.domain.together import Model
from together_operator.ports import Events, Gate, ModelProvider
from together_operator.reconcilers.orphans import Comparison, Found, OrphanWatch, Report

if TYPE_CHECKING:
    from together_operator.reconcilers.account import Accounts

NOWHERE = cast("ModelProvider", None)
SKIPPED = ("Secret team/key: Together does not know the API key",)


class Told:
    """Reports to come; and what became metrics and events."""

    def __init__(self, *reports: Report) -> None:
        self.reports = list(reports)
        self.metrics: list[dict[str, int]] = []
        self.events: list[str] = []

    async def look(self) -> Report:
        """The next report."""
        return self.reports.pop(0)

    def compared(self, left: dict[str, int]) -> None:
        """A metric."""
        self.metrics.append(left)

    def publish(self, body: Any, *, warning: bool, reason: str, message: str) -> None:
        """An event."""
        del body, warning, reason
        self.events.append(message)


def report(*ids: str, skipped: tuple[str, ...] = ()) -> Report:
    """Orphaned models."""
    found = (Orphan(OrphanKind.MODEL, id_, f"acme/{id_}") for id_ in ids)
    return Report(tuple(Found(one, NOWHERE) for one in found), skipped)


async def numbers(*reports: Report) -> tuple[list[int], int]:
    """Metrics of models, and how many events there were."""
    told = Told(*reports)
    comparison, events = cast("Comparison", told), cast("Events", told)
    watch = OrphanWatch(comparison, cast("Gate", None), events, told, {})
    for _ in reports:
        await watch.compare()
    return [left["model"] for left in told.metrics], len(told.events)


@pytest.mark.parametrize(
    ("reports", "metrics", "events"),
    [
        pytest.param([report("a", "b"), report("a")], [2, 1], 1, id="one was removed"),
        pytest.param([report("a", "b"), report("a", skipped=SKIPPED)], [2, 2], 1, id="a key fails"),
        pytest.param([report("a"), report(skipped=SKIPPED)], [1], 1, id="nothing was seen"),
        pytest.param(
            [report("a"), report("a", "b", skipped=SKIPPED)], [1, 2], 2, id="more all the same"
        ),
        pytest.param(
            [report("a", "b"), report("a", skipped=SKIPPED), report("a", "b")],
            [2, 2, 2],
            1,
            id="told once",
        ),
        pytest.param(
            [report("a", "b"), report("a", skipped=SKIPPED), report("a")],
            [2, 2, 1],
            1,
            id="it falls once all was seen",
        ),
    ],
)
async def test_the_metric_falls_only_where_all_was_seen(
    reports: list[Report], metrics: list[int], events: int
) -> None:
    assert await numbers(*reports) == (metrics, events)


@pytest.mark.looptime
async def test_a_bug_does_not_end_the_comparisons_for_good() -> None:
    told = Told()  # to look for a report that is not there is an IndexError
    comparison, events = cast("Comparison", told), cast("Events", told)
    watch = OrphanWatch(comparison, FakeGate(), events, told, {})
    running = asyncio.create_task(watch.run(10.0))
    await asyncio.sleep(15)
    told.reports.append(report("a"))
    await asyncio.sleep(10)

    assert not running.done()
    assert [left["model"] for left in told.metrics] == [1]
    running.cancel()


class _Project:
    """A provider with one model of this cluster, which can't be looked at again in some."""

    def __init__(self, id_: str, error: Exception | None) -> None:
        self._model = Model(id_, f"acme/{id_}", "project", description=marker("cluster"))
        self._error = error

    async def list_models(self) -> list[Model]:
        return [self._model]

    async def list_endpoints(self) -> list[Any]:
        return []

    async def get_model(self, id_: str) -> Model:
        assert id_ == self._model.id
        if self._error is not None:
            raise self._error
        return self._model


class _Objects:
    """Objects with a key each, that ask for nothing."""

    def __init__(self, *names: str) -> None:
        self._names = names

    async def bodies(self) -> AsyncIterator[Any]:
        for name in self._names:
            spec = {"apiKeySecretRef": {"name": name, "key": "key"}}
            yield {"metadata": {"namespace": "team", "name": name}, "spec": spec, "status": {}}


class _Accounts:
    has_own_key = False

    def __init__(self, **providers: _Project) -> None:
        self._accounts = {name: SimpleNamespace(provider=p) for name, p in providers.items()}

    async def of(self, namespace: str, reference: Any) -> Any:
        del namespace
        return self._accounts[reference.name]


async def test_one_key_that_fails_at_the_last_look_leaves_the_others_report() -> None:
    accounts = _Accounts(one=_Project("a", Unavailable("away")), two=_Project("b", None))
    comparison = Comparison(
        cast("Accounts", accounts), _Objects("one", "two"), _Objects(), "cluster"
    )

    seen = await comparison.look()

    assert [one.orphan.id for one in seen.found] == ["b"]
    assert seen.skipped == ("model acme/a: away",)
