"""What an object leaves behind that went without its finalizer, is found once and can be swept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from tests.sim import serving
from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.process import OPERATOR_KEY
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, NAMESPACE, Simulation
from tests.support.fakes.kubernetes import FakeSecrets
from tests.support.fakes.together import FakeTogether
from together_operator.domain.orphans import OrphanKind
from together_operator.engine.store import Body
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.orphans import Comparison, Report, remove

SECOND_KEY = "second-key"


class Objects:
    """The live objects of one kind."""

    def __init__(self, sim: Simulation, kind: str) -> None:
        self._sim, self._kind = sim, kind

    async def bodies(self) -> AsyncIterator[Body]:
        """Each of them."""
        for body in self._sim.server.all():
            if body["kind"] == self._kind:
                yield body


async def look(sim: Simulation) -> Report:
    """Compare as the operator and its command do."""
    wire = sim.runs["cluster-a"].wire

    def connect(key: SecretStr) -> FakeTogether:
        return FakeTogether(sim.platform_of(key), wire, key)

    accounts = Accounts(
        lambda: SecretStr(OPERATOR_KEY), connect, FakeSecrets(sim.secrets, wire), sim.loop.time
    )
    models, deployments = Objects(sim, "CustomModel"), Objects(sim, DEPLOYMENT)
    return await Comparison(accounts, models, deployments, "cluster-a").look()


def abandon(sim: Simulation, name: str) -> None:
    """Somebody takes an object's finalizer off and deletes it."""
    body = sim.get(DEPLOYMENT, name)
    assert body is not None
    sim.judge.lose(body["metadata"]["uid"])
    sim.edit(DEPLOYMENT, name, lambda lost: lost["metadata"].update(finalizers=[]))
    sim.delete(DEPLOYMENT, name)


async def in_mid_rollout(sim: Simulation) -> None:
    """Two deployments are bound by a rollout: it is ended first, then they are stopped."""
    await serving.begun_canary(sim)
    abandon(sim, "d")
    found = (await look(sim)).found
    assert [one.orphan.kind for one in found] == [
        OrphanKind.DEPLOYMENT,
        OrphanKind.DEPLOYMENT,
        OrphanKind.ENDPOINT,
    ]
    calls = len(sim.network.calls)
    for one in found:
        await remove(one, 600)
    patches = [c for c in sim.network.calls[calls:] if c.name == "together.scale_deployment"]
    assert len(patches) == 2, "one for each: what was just changed is not changed again"
    assert not sim.platform.deployments.live()
    assert not sim.platform.endpoints.live()


async def seen_with_two_keys(sim: Simulation) -> None:
    """Two keys of one project show the same orphan, which counts once."""
    furnish(sim)
    sim.platform.keys.add(SECOND_KEY)
    sim.secrets.put(NAMESPACE, "together", {"TOGETHER_API_KEY": SECOND_KEY})
    own_key: dict[str, Any] = {"apiKeySecretRef": {"name": "together", "key": "TOGETHER_API_KEY"}}
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m"),
        model_deployment("e", "m", **own_key),
    )
    await sim.ready(DEPLOYMENT, "d")
    await sim.ready(DEPLOYMENT, "e")
    abandon(sim, "d")
    found = (await look(sim)).found
    assert [one.orphan.kind for one in found] == [OrphanKind.DEPLOYMENT, OrphanKind.ENDPOINT]
    for one in found:
        await remove(one, 600)


@pytest.mark.parametrize("script", [in_mid_rollout, seen_with_two_keys])
def test_orphans(script: Any) -> None:
    assert Simulation("1").run(script).violations == ()
