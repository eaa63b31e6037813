"""A deployment that has waited long for its model, at a Together whose every answer is old."""

from __future__ import annotations

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, Simulation
from tests.support.fakes.network import Call, Fault


def old_copies(call: Call) -> Fault | None:
    """Whatever can be answered from an old copy is."""
    return Fault.STALE if call.lags else None


async def model_that_comes_late(sim: Simulation) -> None:
    """The object waits for longer than a create takes until it shows."""
    furnish(sim)
    sim.apply(model_deployment("d", "m"))
    await sim.sleep(200)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(DEPLOYMENT, "d")


@pytest.mark.parametrize("seed", range(3))
def test_what_was_just_created_is_not_taken_for_deleted(seed: int) -> None:
    sim = Simulation(str(seed), old_copies)
    assert sim.run(model_that_comes_late).violations == ()
    assert [e.message for e in sim.events if "was deleted at Together" in e.message] == []
