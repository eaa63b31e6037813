"""Somebody renames an endpoint at Together: it stays the object's, by what runs on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Script, Simulation
from tests.support.conditions import condition
from tests.support.fakes import catalog
from tests.support.fakes.catalog import EMBEDDING
from tests.support.fakes.stores import Repository
from together_operator.domain.together import NewDeployment
from together_operator.engine.store import Key


def rename(sim: Simulation, name: str) -> None:
    """Somebody renames the only endpoint."""
    sim.platform.advance()
    [(_, row)] = sim.platform.endpoints.live()
    assert row.current is not None
    row.put(sim.loop.time(), replace(row.current, name=name))


async def serving(sim: Simulation) -> None:
    """A deployment that serves and has come to rest."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    await sim.sleep(120)


async def renamed_and_renamed_back(sim: Simulation) -> None:
    """Nothing is bought again; the status has the name to call, and says what happened."""
    await serving(sim)
    rename(sim, "acme/by-hand")
    await sim.shows(DEPLOYMENT, "d", "Drifted")
    await sim.ready(DEPLOYMENT, "d")
    assert sim.status(DEPLOYMENT, "d")["endpoint"]["name"] == "acme/by-hand"
    body = sim.get(DEPLOYMENT, "d")
    assert body is not None
    assert "it was team-d" in condition(body, "Ready")["message"]
    await sim.sleep(600)
    assert len(sim.platform.deployments.live()) == 1
    rename(sim, "acme/team-d")
    await sim.shows(DEPLOYMENT, "d", "Ready")
    assert sim.status(DEPLOYMENT, "d")["endpoint"]["name"] == "acme/team-d"


async def renamed_and_deleted(sim: Simulation) -> None:
    """What costs goes, whatever it is called."""
    await serving(sim)
    rename(sim, "acme/by-hand")
    sim.delete(DEPLOYMENT, "d")
    await sim.gone(DEPLOYMENT, "d")
    assert not sim.platform.endpoints.live()


async def renamed_while_stopped(sim: Simulation) -> None:
    """Started again, it is the same deployment."""
    await serving(sim)
    sim.set_spec(DEPLOYMENT, "d", replicas=0)
    await sim.shows(DEPLOYMENT, "d", "Stopped")
    rename(sim, "acme/by-hand")
    sim.set_spec(DEPLOYMENT, "d", replicas=1)
    await sim.shows(DEPLOYMENT, "d", "Drifted")
    assert len(sim.platform.deployments.live()) == 1


async def renamed_after_it_was_taken_over(sim: Simulation) -> None:
    """What nobody here has made is kept by an object that may take it over, and by no other."""
    furnish(sim)
    sim.platform.create_endpoint("by-others")
    sim.judge.adopted |= {"by-others", "by-hand"}
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", endpointName="by-others", adoptionPolicy="Adopt", replicas=0),
    )
    await sim.ready(DEPLOYMENT, "d")
    rename(sim, "acme/by-hand")
    await sim.sleep(600)
    assert sim.reason(DEPLOYMENT, Key(NAMESPACE, "d")) == "Stopped"
    assert sim.status(DEPLOYMENT, "d")["endpoint"]["name"] == "acme/by-hand"


async def with_others(sim: Simulation, **spec: Any) -> str:
    """It serves beside somebody else's deployment, whose id is the answer; then it is renamed."""
    furnish(sim)
    sim.stores.repositories["acme/b"] = Repository("commit-b", EMBEDDING)
    sim.apply(
        custom_model("m", hugging_face()),
        custom_model("b", hugging_face("acme/b")),
        model_deployment("d", "m", **spec),
    )
    await sim.ready(MODEL, "b")
    await sim.ready(DEPLOYMENT, "d")
    platform, model_id = sim.platform, sim.status(MODEL, "m")["model"]["id"]
    [base, *_] = [row.current.base_model_id for _, row in platform.models.live() if row.current]
    theirs = NewDeployment(
        "theirs",
        f"projects/{platform.project_id}/models/{model_id}",
        catalog.configs(base)[-1].resource,
        1,
        1,
    )
    made = platform.create_deployment(sim.status(DEPLOYMENT, "d")["endpoint"]["id"], theirs)
    await sim.sleep(60)
    rename(sim, "acme/by-hand")
    return made.id


async def deleted_beside_others(sim: Simulation, *, told: bool = True) -> None:
    """The object stays until the endpoint has gone, by whatever name."""
    theirs = await with_others(sim)
    if told:
        await sim.shows(DEPLOYMENT, "d", "Drifted")
    sim.delete(DEPLOYMENT, "d")
    await sim.shows(DEPLOYMENT, "d", "InUse")
    await sim.sleep(300)
    assert [id_ for id_, _ in sim.platform.deployments.live()] == [theirs]
    sim.vanish(sim.platform.deployments, theirs)
    await sim.gone(DEPLOYMENT, "d")
    assert not sim.platform.endpoints.live()


async def deleted_right_after(sim: Simulation) -> None:
    """Nobody has looked since it was renamed."""
    await deleted_beside_others(sim, told=False)


async def replaced_beside_others(sim: Simulation, *, told: bool = True) -> None:
    """Between the old deployment and the new one only theirs is there: no endpoint is bought."""
    theirs = await with_others(sim, rollout={"strategy": "Recreate"})
    if told:
        await sim.shows(DEPLOYMENT, "d", "Drifted")
    before = sim.status(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await sim.sleep(120)
    await sim.shows(DEPLOYMENT, "d", "Drifted")
    after = sim.status(DEPLOYMENT, "d")
    assert after["endpoint"] == {"id": before["endpoint"]["id"], "name": "acme/by-hand"}
    assert after["deployment"]["id"] != before["deployment"]["id"]
    sim.vanish(sim.platform.deployments, theirs)  # else neither endpoint nor model could go


async def replaced_right_after(sim: Simulation) -> None:
    """Nobody has looked since it was renamed."""
    await replaced_beside_others(sim, told=False)


async def renamed_when_it_may_not_be_taken_over_any_more(sim: Simulation) -> None:
    """What was taken over with its endpoint is known by its id."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("first", "m"))
    await sim.ready(DEPLOYMENT, "first")
    sim.judge.adopted |= set(_bare_names(sim)) | {"by-hand"}
    sim.judge.forgiven |= {"team-first"}
    sim.set_spec(DEPLOYMENT, "first", deletionPolicy="Retain")
    sim.delete(DEPLOYMENT, "first")
    await sim.gone(DEPLOYMENT, "first")
    sim.apply(model_deployment("d", "m", endpointName="team-first", adoptionPolicy="Adopt"))
    await sim.ready(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", adoptionPolicy="Never")
    await sim.sleep(60)
    rename(sim, "acme/by-hand")
    await sim.shows(DEPLOYMENT, "d", "Drifted")
    await sim.sleep(600)
    assert sim.status(DEPLOYMENT, "d")["endpoint"]["name"] == "acme/by-hand"
    assert len(sim.platform.deployments.live()) == 1


def _bare_names(sim: Simulation) -> Iterator[str]:
    for table in (sim.platform.endpoints, sim.platform.deployments):
        for _, row in table.live():
            assert row.current is not None
            yield row.current.name.rpartition("/")[2]


@pytest.mark.parametrize(
    "script",
    [
        renamed_and_renamed_back,
        renamed_and_deleted,
        renamed_while_stopped,
        renamed_after_it_was_taken_over,
        renamed_when_it_may_not_be_taken_over_any_more,
        deleted_beside_others,
        deleted_right_after,
        replaced_beside_others,
        replaced_right_after,
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_renamed_endpoint_is_neither_bought_again_nor_left(script: Script, seed: int) -> None:
    assert Simulation(str(seed)).run(script).violations == ()
