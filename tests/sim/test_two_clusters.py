"""The same manifests in two clusters with one API key: one has the names, the other one says so."""

from __future__ import annotations

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Simulation
from tests.support.conditions import reason
from tests.support.fakes.api_server import ApiServer
from together_operator.engine.store import Key

MANIFESTS = (custom_model("m", hugging_face()), model_deployment("d", "m"))


def reason_of(server: ApiServer, kind: str, name: str) -> str:
    """Reason of an object's Ready condition."""
    return reason(server.get(kind, Key(NAMESPACE, name)))


async def the_same_in_both(sim: Simulation) -> None:
    """Applied in both at once; then the loser's objects are deleted."""
    furnish(sim)
    for server in sim.servers.values():
        for manifest in MANIFESTS:
            server.create(manifest)

    def told(kind: str, name: str) -> list[str]:
        return sorted(reason_of(server, kind, name) for server in sim.servers.values())

    await sim.until(lambda: told(MODEL, "m") == ["NameTaken", "Ready"], "one owner of the name")
    loser = next(s for s in sim.servers.values() if reason_of(s, MODEL, "m") == "NameTaken")
    winner = next(s for s in sim.servers.values() if s is not loser)
    await sim.until(lambda: reason_of(winner, DEPLOYMENT, "d") == "Ready", "the owner serves")
    loser.delete(DEPLOYMENT, Key(NAMESPACE, "d"))
    loser.delete(MODEL, Key(NAMESPACE, "m"))
    await sim.until(lambda: not loser.all(), "the loser's objects gone")
    await sim.sleep(70)
    assert reason_of(winner, DEPLOYMENT, "d") == "Ready"
    assert len(sim.platform.deployments.live()) == 1


@pytest.mark.parametrize("seed", range(8))
def test_nobody_touches_the_other_ones_things(seed: int) -> None:
    simulation = Simulation(str(seed), clusters=("cluster-a", "cluster-b"))
    assert simulation.run(the_same_in_both).violations == ()
