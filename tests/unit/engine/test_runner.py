"""In which order a runner's workers get what the watch delivers."""

from __future__ import annotations

import random
from typing import Any

from tests.unit.engine.queues import drain
from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import Done, Outcome
from together_operator.domain.plan import FINALIZER
from together_operator.engine.runner import Runner, Settings
from together_operator.engine.store import Key, Store


class Ignored:
    """A meter that nobody reads."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None: ...

    def glanced(self, kind: str) -> None: ...


async def nothing(key: Key) -> Outcome:
    return Done()


def body(name: str, *finalizers: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "team", "name": name, "resourceVersion": "1"}
    if finalizers:
        metadata["finalizers"] = list(finalizers)
    return {"metadata": metadata}


async def test_the_first_step_of_an_object_comes_before_all_that_was_begun() -> None:
    settings = Settings(workers=1, resync=600.0, backoff=Backoff(base=1.0, cap=60.0))
    runner = Runner("CustomModel", nothing, Store(), settings, Ignored(), random.Random(0))

    for found in (body("begun", FINALIZER), body("theirs", "example.com/other"), body("new")):
        runner.observed(found)

    assert [key.name for key in await drain(runner.queue)] == ["theirs", "new", "begun"]
