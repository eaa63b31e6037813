"""What changes about what is served: rollouts, schedules, lifetimes, connections, adoption."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Script, Simulation
from tests.support.fakes.catalog import EMBEDDING
from tests.support.fakes.stores import Repository

SCENARIOS: dict[str, Script] = {}

CANARY = {
    "strategy": "Canary",
    "canary": {"steps": [{"traffic": 20}, {"traffic": 100}], "intervalSeconds": 60},
}
GATED = {
    "strategy": "Canary",
    "canary": {
        "steps": [{"traffic": 20}, {"traffic": 100}],
        "intervalSeconds": 60,
        "gates": [{"metric": "ErrorRate", "max": "0.05"}],
    },
}


def scenario(script: Script) -> Script:
    """Keep a scenario under its name."""
    SCENARIOS[script.__name__] = script
    return script


async def _serving(sim: Simulation, *, at_once: int = 1, **spec: Any) -> Mapping[str, Any]:
    """Two models, and a deployment of the first one."""
    furnish(sim)
    sim.judge.at_once = at_once
    sim.stores.repositories["acme/b"] = Repository("commit-b", EMBEDDING)
    sim.apply(
        custom_model("a", hugging_face()),
        custom_model("b", hugging_face("acme/b")),
        model_deployment("d", "a", **spec),
    )
    await sim.ready(MODEL, "b")
    await sim.ready(DEPLOYMENT, "d")
    sim.set_up()
    return sim.status(DEPLOYMENT, "d")


async def _serves_again(sim: Simulation, before: Mapping[str, Any]) -> None:
    """Wait until the deployment that served before is ready, and nothing is beside it."""
    await sim.ready(DEPLOYMENT, "d")
    after = sim.status(DEPLOYMENT, "d")
    if after["deployment"]["id"] != before["deployment"]["id"]:
        sim.judge.violations.append("another deployment serves than before")
    _alone(sim, after)


async def _moved(sim: Simulation, before: Mapping[str, Any], model: str = "b") -> None:
    """Another deployment serves another model alone."""
    await sim.ready(DEPLOYMENT, "d")
    after = sim.status(DEPLOYMENT, "d")
    known = sim.status(MODEL, model)["model"]["id"]
    if after["model"]["id"] != known:
        sim.judge.violations.append(f"it serves {after['model']} instead of {known}")
    if after["deployment"]["id"] == before["deployment"]["id"]:
        sim.judge.violations.append("the old deployment serves")
    _alone(sim, after)


def _alone(sim: Simulation, status: Mapping[str, Any]) -> None:
    """What the status names is all there is, and has all the traffic."""
    now = sim.loop.time()
    endpoint = status["endpoint"]["id"]
    left = [d.id for d in sim.platform.deployments_at(endpoint, now)]
    split = [share.deployment_id for share in sim.platform.endpoint_at(endpoint, now).traffic]
    known = [status["deployment"]["id"]]
    if left != known or split != known:
        sim.judge.violations.append(f"{known} is said to serve, there are {left}, routed {split}")


async def _under_way(sim: Simulation) -> None:
    """The new one has its first share of the traffic."""

    def holds() -> bool:
        return bool(sim.status(DEPLOYMENT, "d").get("rollout", {}).get("trafficPercent"))

    await sim.until(holds, "a rollout that has begun")


async def begun_canary(sim: Simulation) -> None:
    """The canary that leads to another model has its first share of the traffic."""
    await _serving(sim, at_once=2, rollout=CANARY)
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _under_way(sim)


# Rollouts.


@scenario
async def rolled_out_blue_green(sim: Simulation) -> None:
    """The new one takes over all at once."""
    before = await _serving(sim, at_once=2, rollout={"strategy": "BlueGreen"})
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _moved(sim, before)


@scenario
async def rolled_out_as_a_canary(sim: Simulation) -> None:
    """The new one takes over by steps."""
    before = await _serving(sim, at_once=2, rollout=CANARY)
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _moved(sim, before)


@scenario
async def rolled_out_replica_by_replica(sim: Simulation) -> None:
    """Two replicas, one after the other."""
    before = await _serving(sim, at_once=2, replicas=2, rollout={"strategy": "Rolling"})
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _moved(sim, before)


@scenario
async def recreated(sim: Simulation) -> None:
    """The old one goes before the new one comes: never both."""
    before = await _serving(sim, rollout={"strategy": "Recreate"})
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _moved(sim, before)


@scenario
async def recreated_in_vain(sim: Simulation) -> None:
    """The new one fails, and the old one is made again: never both."""
    before = await _serving(sim, rollout={"strategy": "Recreate"})
    sim.platform.start_failures.append("CUDA out of memory")
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await sim.shows(DEPLOYMENT, "d", "RolloutFailed")
    await sim.until(lambda: _replicas(sim) == 1, "the old one runs again")
    after = sim.status(DEPLOYMENT, "d")
    if after["model"]["id"] != before["model"]["id"]:
        sim.judge.violations.append(f"it serves {after['model']} instead of {before['model']}")
    _alone(sim, after)
    # Asked for again, it starts this time.
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "a"})
    await sim.ready(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _moved(sim, before)


@scenario
async def taken_back(sim: Simulation) -> None:
    """Somebody changes their mind in the middle of a canary."""
    before = await _serving(sim, at_once=2, rollout=CANARY)
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _under_way(sim)
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "a"})
    await _serves_again(sim, before)


@scenario
async def tripped_by_a_gate(sim: Simulation) -> None:
    """The new one answers with errors; somebody takes it back."""
    before = await _serving(sim, at_once=2, rollout=GATED)
    sim.platform.rollouts.bad_gates.append("error rate 0.3 is above 0.05")
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await sim.shows(DEPLOYMENT, "d", "RolloutFailed")
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "a"})
    await _serves_again(sim, before)


@scenario
async def paused_and_resumed(sim: Simulation) -> None:
    """A canary waits for a person."""
    before = await _serving(sim, at_once=2, rollout=CANARY)
    sim.set_spec(DEPLOYMENT, "d", modelRef={"name": "b"})
    await _under_way(sim)
    sim.set_spec(DEPLOYMENT, "d", rollout={**CANARY, "paused": True})
    await sim.sleep(90)
    sim.set_spec(DEPLOYMENT, "d", rollout=CANARY)
    await _moved(sim, before)


@scenario
async def deleted_during_a_rollout(sim: Simulation) -> None:
    """Everything goes in the middle of a canary."""
    await begun_canary(sim)
    sim.delete(DEPLOYMENT, "d")
    await sim.gone(DEPLOYMENT, "d")


# By the clock.


@scenario
async def stopped_and_started_by_schedule(sim: Simulation) -> None:
    """A window closes and opens again."""
    window = {"start": "*/10 * * * *", "stop": "5-59/10 * * * *"}
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", schedule={"windows": [window]}),
    )
    for _ in range(2):
        await sim.until(lambda: _replicas(sim) == 1, "a window that is open")
        await sim.until(lambda: _replicas(sim) == 0, "a window that is closed")


def _replicas(sim: Simulation) -> int:
    """That run and are told to, of the only deployment; -1 while that changes."""
    sim.platform.advance()
    found = sim.status(DEPLOYMENT, "d").get("deployment") or {}
    row = sim.platform.deployments.row(found.get("id", ""))
    if row is None or row.current is None:
        return -1
    ready, most = row.current.ready_replicas, row.current.max_replicas
    return ready if ready == most and row.current.scheduled_replicas == most else -1


@scenario
async def stopped_after_its_lifetime(sim: Simulation) -> None:
    """All replicas stop, and the object stays."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", ttl={"seconds": 120, "action": "Stop"}),
    )
    await sim.until(lambda: _replicas(sim) == 1, "it runs")
    sim.set_up()
    await sim.until(lambda: _replicas(sim) == 0, "it is stopped")
    await sim.sleep(70)
    if _replicas(sim) != 0:
        sim.judge.violations.append("it runs again after its lifetime")


@scenario
async def deleted_after_its_lifetime(sim: Simulation) -> None:
    """The object deletes itself, and leaves nothing."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", ttl={"seconds": 60, "action": "Delete"}),
    )
    await sim.until(lambda: _replicas(sim) == 1, "it runs")
    sim.set_up()
    await sim.gone(DEPLOYMENT, "d")


# What is published, and what was there before.


@scenario
async def published_and_renamed(sim: Simulation) -> None:
    """Where the endpoint is, in one ConfigMap and then in another one."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", connection={"configMapName": "first"}),
    )
    await sim.ready(DEPLOYMENT, "d")
    await sim.until(lambda: _published(sim) == {"first"}, "a ConfigMap")
    sim.set_spec(DEPLOYMENT, "d", connection={"configMapName": "second"})
    await sim.until(lambda: _published(sim) == {"second"}, "another ConfigMap instead")
    await sim.ready(DEPLOYMENT, "d")


def _published(sim: Simulation) -> set[str]:
    return {name for namespace, name in sim.config_maps if namespace == NAMESPACE}


@scenario
async def not_published_over_somebody_elses(sim: Simulation) -> None:
    """A ConfigMap of that name is there: it stays as it is until its owner lets it go."""
    furnish(sim)
    theirs = {"metadata": {"name": "taken", "ownerReferences": []}, "data": {"key": "theirs"}}
    sim.config_maps[NAMESPACE, "taken"] = theirs
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("d", "m", connection={"configMapName": "taken"}),
    )
    await sim.until(lambda: _replicas(sim) == 1, "it runs")
    sim.set_up()
    await sim.sleep(30)
    if sim.config_maps.get((NAMESPACE, "taken")) is not theirs:
        sim.judge.violations.append("somebody else's ConfigMap was written")
    del sim.config_maps[NAMESPACE, "taken"]
    await sim.until(lambda: _published(sim) == {"taken"}, "a ConfigMap")
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def adopted_endpoint(sim: Simulation) -> None:
    """An endpoint is there already, and is taken over only once that is allowed."""
    furnish(sim)
    sim.platform.create_endpoint("taken")
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m", endpointName="taken"))
    await sim.shows(DEPLOYMENT, "d", "NameTaken")
    sim.set_up()
    sim.judge.adopted.add("taken")
    sim.set_spec(DEPLOYMENT, "d", adoptionPolicy="Adopt")
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def traffic_taken_away(sim: Simulation) -> None:
    """Somebody clears the split at Together: it is set again."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    status = sim.status(DEPLOYMENT, "d")
    endpoint, deployment = status["endpoint"]["id"], status["deployment"]["id"]
    sim.platform.set_traffic(endpoint, [], "")

    def routed() -> bool:
        split = sim.platform.endpoint_at(endpoint, sim.loop.time()).traffic
        return [share.deployment_id for share in split] == [deployment]

    await sim.until(routed, "traffic again")
    await sim.ready(DEPLOYMENT, "d")
