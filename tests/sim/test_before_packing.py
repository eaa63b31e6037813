"""What can be told of an object before hours are spent on packing its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sim.manifests import PREFIX, archive, custom_model, s3
from tests.sim.scenarios import furnish
from tests.sim.simulation import MODEL, Simulation
from tests.support.conditions import reason
from tests.support.fakes.catalog import BASES, EMBEDDING
from tests.support.fakes.network import Fault
from together_operator.domain.together import NewModel

if TYPE_CHECKING:
    from tests.support.fakes.network import Call

PACKED: dict[str, Any] = {"archive": archive(), "baseModel": EMBEDDING}


def reason_of(sim: Simulation) -> str:
    """Why the object is or is not ready."""
    return reason({"status": sim.status(MODEL, "m")})


def test_a_key_that_is_refused_is_told_first() -> None:
    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        keys = set(sim.platform.keys)
        sim.platform.keys.clear()
        sim.apply(custom_model("m", s3(PREFIX), **PACKED))
        await sim.until(lambda: reason_of(sim) == "Unauthorized", "the refusal")
        await sim.sleep(30)
        assert not sim.jobs.jobs
        sim.platform.keys |= keys
        await sim.ready(MODEL, "m")

    assert Simulation("1").run(scenario).violations == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"baseModel": "no/such-model"}, "BaseModelUnknown", id="base model"),
        pytest.param({"modelName": "taken"}, "NameTaken", id="name"),
    ],
)
def test_what_together_would_refuse_is_told_first(change: dict[str, Any], told: str) -> None:
    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        base = next(iter(BASES))
        theirs = sim.platform.create_model(NewModel("taken", base, "model"))
        sim.apply(custom_model("m", s3(PREFIX), **{**PACKED, **change}))
        await sim.until(lambda: reason_of(sim) == told, "the refusal")
        await sim.sleep(30)
        assert not sim.jobs.jobs
        sim.platform.delete_model(theirs.id)

    assert Simulation("1").run(scenario).violations == ()


def test_packing_begins_although_together_does_not_answer() -> None:
    def choose(call: Call) -> Fault | None:
        return Fault.UNAVAILABLE if "list_models" in call.name and call.time < 60 else None

    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        sim.apply(custom_model("m", s3(PREFIX), **PACKED))
        await sim.until(lambda: bool(sim.jobs.jobs), "a Job")
        assert sim.loop.time() < 30
        await sim.ready(MODEL, "m")

    assert Simulation("1", choose).run(scenario).violations == ()
