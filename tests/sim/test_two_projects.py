"""An object's API key becomes one of another project: what the first one has is not gone."""

from __future__ import annotations

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Script, Simulation
from tests.support.fakes.platform import Platform
from together_operator.engine.store import Key

FIRST, SECOND = "key-of-acme", "key-of-other"
REFERENCE = {"name": "together"}


def use(sim: Simulation, key: str) -> None:
    """Somebody puts a key into the Secret."""
    sim.secrets.put(NAMESPACE, "together", {"TOGETHER_API_KEY": key})


async def serving(sim: Simulation) -> Platform:
    """A deployment by a key of its own, of a model by the operator's; and another project."""
    furnish(sim)
    sim.platform.keys.add(FIRST)
    other = sim.add_project("other", SECOND)
    use(sim, FIRST)
    sim.apply(
        custom_model("m", hugging_face()), model_deployment("d", "m", apiKeySecretRef=REFERENCE)
    )
    await sim.ready(DEPLOYMENT, "d")
    await sim.sleep(120)
    return other


async def exchanged_under_a_deployment(sim: Simulation) -> None:
    """Nothing is bought in the other project; with the right key again, all is well."""
    other = await serving(sim)
    use(sim, SECOND)
    await sim.shows(DEPLOYMENT, "d", "KeyOfAnotherProject")
    reserved = sim.status(DEPLOYMENT, "d")["cost"]["reservedPerHour"]
    await sim.sleep(900)
    assert sim.reason(DEPLOYMENT, Key(NAMESPACE, "d")) == "KeyOfAnotherProject"
    assert not other.endpoints.live()
    assert sim.status(DEPLOYMENT, "d")["cost"]["reservedPerHour"] == reserved != "0.00"
    use(sim, FIRST)
    await sim.ready(DEPLOYMENT, "d")


async def deleted_with_the_other_key(sim: Simulation) -> None:
    """Its absence there is no proof: the object stays until what it has is seen to be gone."""
    await serving(sim)
    use(sim, SECOND)
    sim.delete(DEPLOYMENT, "d")
    await sim.shows(DEPLOYMENT, "d", "KeyOfAnotherProject")
    await sim.sleep(300)
    assert len(sim.platform.deployments.live()) == 1
    use(sim, FIRST)
    await sim.gone(DEPLOYMENT, "d")


async def exchanged_under_a_model(sim: Simulation) -> None:
    """Nothing is imported into the other project, and nothing is left in the first."""
    furnish(sim)
    sim.platform.keys.add(FIRST)
    other = sim.add_project("other", SECOND)
    use(sim, FIRST)
    sim.apply(custom_model("m", hugging_face(), apiKeySecretRef=REFERENCE))
    await sim.ready(MODEL, "m")
    await sim.sleep(120)
    use(sim, SECOND)
    await sim.shows(MODEL, "m", "KeyOfAnotherProject")
    await sim.sleep(300)
    assert not other.models.live()
    use(sim, FIRST)
    await sim.ready(MODEL, "m")
    use(sim, SECOND)
    sim.delete(MODEL, "m")
    await sim.shows(MODEL, "m", "KeyOfAnotherProject")
    assert len(sim.platform.models.live()) == 1
    use(sim, FIRST)
    await sim.gone(MODEL, "m")


@pytest.mark.parametrize(
    "script",
    [exchanged_under_a_deployment, deleted_with_the_other_key, exchanged_under_a_model],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_another_project_has_is_neither_bought_again_nor_left(
    script: Script, seed: int
) -> None:
    assert Simulation(str(seed)).run(script).violations == ()
