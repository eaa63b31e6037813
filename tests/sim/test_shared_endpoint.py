"""An endpoint that was taken over has somebody else's deployment, too, when its object goes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, Simulation
from tests.support.conditions import condition
from tests.support.fakes import catalog
from tests.support.simulators.together.catalog import REGIONS
from together_operator.domain.together import NewDeployment


async def shared(sim: Simulation) -> str:
    """Both serve, and the object was deleted; the answer is the other deployment's id."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")
    platform, model_id = sim.platform, sim.status(MODEL, "m")["model"]["id"]
    [base] = [row.current.base_model_id for _, row in platform.models.live() if row.current]
    endpoint = platform.create_endpoint("chat")
    model = f"projects/{platform.project_id}/models/{model_id}"
    config = catalog.configs(base)[0].resource
    theirs = platform.create_deployment(endpoint.id, NewDeployment("by-hand", model, config, 1, 1))
    sim.judge.adopted.add("chat")
    await sim.sleep(60)
    placement = {"regions": [REGIONS[0]]}
    about: Any = {"endpointName": "chat", "adoptionPolicy": "Adopt", "placement": placement}
    sim.apply(model_deployment("d", "m", **about))
    await sim.ready(DEPLOYMENT, "d")
    assert len(platform.deployments.live()) == 2
    sim.delete(DEPLOYMENT, "d")
    await sim.shows(DEPLOYMENT, "d", "InUse")
    body = sim.get(DEPLOYMENT, "d")
    assert body is not None
    assert condition(body, "Stalled")["status"] == "True"
    assert "by-hand" in condition(body, "Ready")["message"]
    assert [id_ for id_, _ in platform.deployments.live()] == [theirs.id]
    return theirs.id


async def theirs_goes(sim: Simulation) -> None:
    """The last one out switches off the light."""
    sim.vanish(sim.platform.deployments, await shared(sim))
    await sim.gone(DEPLOYMENT, "d")
    assert not sim.platform.endpoints.live()


async def theirs_stays(sim: Simulation) -> None:
    """The endpoint is kept for it."""
    theirs = await shared(sim)
    sim.judge.forgiven.add("chat")
    sim.set_spec(DEPLOYMENT, "d", deletionPolicy="Retain")
    await sim.gone(DEPLOYMENT, "d")
    assert len(sim.platform.endpoints.live()) == 1
    sim.vanish(sim.platform.deployments, theirs)  # else the model could not go


@pytest.mark.parametrize("script", [theirs_goes, theirs_stays])
def test_what_others_have_on_an_endpoint_is_named_and_left_alone(script: Any) -> None:
    assert Simulation("1").run(script).violations == ()
