"""What a deletion asks of an object of which nothing was ever made."""

from __future__ import annotations

from tests.sim.manifests import model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, Simulation


async def _with_a_key_that_is_nowhere(sim: Simulation) -> None:
    furnish(sim)
    sim.apply(
        model_deployment("d", "m", apiKeySecretRef={"name": "nowhere", "key": "TOGETHER_API_KEY"})
    )
    await sim.until(lambda: bool(sim.status(DEPLOYMENT, "d").get("conditions")), "a condition")
    sim.delete(DEPLOYMENT, "d")
    await sim.gone(DEPLOYMENT, "d")


def test_a_key_that_never_worked_does_not_hold_it() -> None:
    assert Simulation("1").run(_with_a_key_that_is_nowhere).violations == ()
