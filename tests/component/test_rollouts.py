"""Changes of what is served, against the simulator: what becomes of status, traffic and bills."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.component.serving import Served, serve
from tests.component.traffic import stream
from tests.contract.situations import import_url
from tests.support.simulators.together import TogetherSimulator
from together_operator.domain.together_rollouts import RolloutVerb

BLUE_GREEN = {"strategy": "BlueGreen"}
CANARY = {"strategy": "Canary", "canary": {"intervalSeconds": 60}}
GATED = {
    "strategy": "Canary",
    "canary": {"intervalSeconds": 60, "gates": [{"metric": "ErrorRate", "max": "0.05"}]},
}
SLOW = {
    "strategy": "Canary",
    "canary": {"steps": [{"traffic": 10}, {"traffic": 100}], "intervalSeconds": 86400},
}
ROLLING = {"strategy": "Rolling"}
RECREATE = {"strategy": "Recreate"}


async def serving(
    sim: TogetherSimulator, rollout: dict[str, Any], **spec: Any
) -> tuple[Served, dict[str, Any]]:
    """An object that serves model a, and its status."""
    served = await serve(sim, {"rollout": rollout, **spec}, ("a", "b"))
    return served, await served.ready()


def created(sim: TogetherSimulator) -> int:
    """How many deployments were created so far."""
    posts = [e for e in sim.audit() if (e.resource, e.method) == ("deployment", "POST")]
    return sum(entry.committed for entry in posts)


async def has_moved(served: Served, before: dict[str, Any], *, model: str = "b") -> None:
    """Wait until another deployment serves `model` alone."""
    after = await served.ready()
    assert after["model"]["name"] == f"acme/{model}"
    assert after["deployment"]["id"] != before["deployment"]["id"]
    assert after.keys().isdisjoint({"previous", "rollout", "intent"})
    await has_all_traffic(served, after)


async def is_back(served: Served, before: dict[str, Any]) -> None:
    """What served before serves alone again."""
    assert served.status["deployment"]["id"] == before["deployment"]["id"]
    assert served.status["model"] == before["model"]
    await has_all_traffic(served, served.status)


async def has_all_traffic(served: Served, status: dict[str, Any]) -> None:
    """The deployment in status is the only one, and runs."""
    [left] = served.deployments().values()
    assert left["id"] == status["deployment"]["id"]
    assert (left["state"], left["readyReplicas"]) == ("READY", status["replicas"])
    endpoint = await served.provider.get_endpoint(status["endpoint"]["id"])
    assert [share.deployment_id for share in endpoint.traffic] == [left["id"]]


async def under_way(served: Served, percent: int = 10) -> dict[str, Any]:
    """Wait until a slow canary has its first share of the traffic."""

    def holds(status: dict[str, Any]) -> bool:
        return bool(status.get("rollout", {}).get("trafficPercent") == percent)

    return await served.until(holds, f"a canary at {percent}%")


@pytest.mark.parametrize("rollout", [BLUE_GREEN, CANARY, ROLLING], ids=lambda r: r["strategy"])
@pytest.mark.parametrize("replicas", [1, 2])
async def test_no_request_is_lost_while_another_model_takes_over(
    together_sim: TogetherSimulator, rollout: dict[str, Any], replicas: int
) -> None:
    served, before = await serving(together_sim, rollout, replicas=replicas)

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        await traffic.answered_by(before["deployment"]["id"])
        served.spec(modelRef={"name": "b"})
        await has_moved(served, before)
        await traffic.answered_by(served.status["deployment"]["id"])

    assert traffic.failed == 0
    assert set(traffic.answered) == {before["deployment"]["id"], served.status["deployment"]["id"]}


async def test_recreate_never_has_two_deployments(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, RECREATE)

    served.spec(modelRef={"name": "b"})
    await has_moved(served, before)

    assert most_at_once(together_sim) == 1
    assert not [entry for entry in together_sim.audit() if entry.resource == "rollout"]


def most_at_once(sim: TogetherSimulator) -> int:
    """The most deployments that there ever were."""
    there: set[str] = set()
    most = 0
    for entry in sim.audit():
        if entry.resource == "deployment" and entry.committed:
            there = there | {entry.id} if entry.method == "POST" else there
            there = there - {entry.id} if entry.method == "DELETE" else there
            most = max(most, len(there))
    return most


@pytest.mark.parametrize("outcome", ["failed", "degraded"])
async def test_recreate_makes_the_old_one_again_when_the_new_one_fails(
    together_sim: TogetherSimulator, outcome: str
) -> None:
    served, before = await serving(together_sim, RECREATE)
    # The first start after the change is that of the new one.
    rule = {"outcome": outcome, "message": "weights do not fit", "count": 1}
    together_sim.behave(deployments=[rule])

    served.spec(modelRef={"name": "b"})
    await served.shows("RolloutFailed", "weights do not fit", "CUDA out of memory", "serves again")
    for _ in range(5):
        await served.reconcile()

    assert created(together_sim) == 3
    assert most_at_once(together_sim) == 1
    after = served.status
    assert after["model"] == before["model"]
    assert after["deployment"]["name"] == before["deployment"]["name"]
    assert (after["rollout"]["phase"], after["rollout"]["source"]["modelName"]) == (
        "Failed",
        "acme/a",
    )
    await has_all_traffic(served, after)
    assert served.condition("Routed")["status"] == "True"

    served.spec(replicas=2)
    await served.shows("RolloutFailed")
    assert served.status["readyReplicas"] == 2
    served.spec(modelRef={"name": "a"})
    assert "rollout" not in await served.ready()
    assert created(together_sim) == 3, "the old manifest changes nothing any more"
    served.spec(modelRef={"name": "b"})
    await has_moved(served, before)


async def test_recreate_with_two_bad_models_in_turn_comes_back_to_the_good_one(
    together_sim: TogetherSimulator,
) -> None:
    served, before = await serving(together_sim, RECREATE)
    together_sim.behave(deployments=[{"outcome": "failed", "count": 2}])
    served.spec(modelRef={"name": "b"})
    await served.until(lambda s: s.get("deployment", {}).get("state") == "PROVISIONING", "begun")

    # Changed while the first one starts, which would have failed.
    served.spec(hardware={"gpu": "nvidia-h100-80gb"})
    await served.shows("RolloutFailed", "serves again")

    assert served.status["model"] == before["model"]
    assert served.status["deployment"]["hardware"] == before["deployment"]["hardware"]
    await has_all_traffic(served, served.status)


async def test_two_are_billed_during_a_change_and_status_says_so(
    together_sim: TogetherSimulator,
) -> None:
    served, before = await serving(together_sim, SLOW)

    served.spec(modelRef={"name": "b"})
    status = await under_way(served)

    price = float(before["cost"]["perReplicaHour"])
    assert float(status["cost"]["perHour"]) == pytest.approx(2 * price)
    assert together_sim.state()["dollarsPerHour"] == pytest.approx(2 * price)
    assert "10%" in served.condition("Ready")["message"]
    assert served.condition("Routed")["status"] == "True"
    assert served.condition("RolledOut")["reason"] == "RollingOut"


@pytest.mark.parametrize(
    "change",
    [
        {"hardware": {"gpu": "nvidia-h100-80gb"}},
        {"optimization": "throughput"},
        {"placement": {"regions": ["us-central-4"]}},
    ],
    ids=str,
)
async def test_hardware_config_and_placement_are_changed_the_same_way(
    together_sim: TogetherSimulator, change: dict[str, Any]
) -> None:
    served, before = await serving(together_sim, BLUE_GREEN)

    served.spec(**change)

    await has_moved(served, before, model="a")


async def test_a_spec_that_asks_for_what_runs_changes_nothing(
    together_sim: TogetherSimulator,
) -> None:
    served, before = await serving(together_sim, BLUE_GREEN)

    served.spec(hardware={"gpu": "nvidia-l40s-48gb", "count": 1}, optimization="balanced")
    after = await served.ready()

    assert after["deployment"]["id"] == before["deployment"]["id"]
    assert created(together_sim) == 1


@pytest.mark.parametrize("rollout", [BLUE_GREEN, CANARY, ROLLING], ids=lambda r: r["strategy"])
async def test_a_model_that_does_not_start_returns_to_the_old_one_and_is_not_tried_again(
    together_sim: TogetherSimulator, rollout: dict[str, Any]
) -> None:
    served, before = await serving(together_sim, rollout)
    together_sim.behave(
        deployments=[{"outcome": "failed", "message": "weights do not fit", "count": None}]
    )

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        served.spec(modelRef={"name": "b"})
        await served.shows("RolloutFailed", "weights do not fit", "CUDA out of memory")
        for _ in range(5):
            await served.reconcile()

    assert traffic.failed == 0
    await is_back(served, before)
    assert served.condition("Routed")["status"] == "True"
    assert served.condition("Stalled")["status"] == "True"
    assert created(together_sim) == 2

    together_sim.behave_well()
    served.spec(replicas=2)
    await served.shows("RolloutFailed")
    assert served.status["readyReplicas"] == 2
    served.spec(modelRef={"name": "a"})
    assert "rollout" not in await served.ready()
    served.spec(modelRef={"name": "b"})
    await has_moved(served, before)


async def test_a_gate_that_trips_returns_to_the_old_one(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, GATED)
    together_sim.behave(rollouts=[{"step": 1, "message": "router_error_rate 0.31 is too high"}])

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        served.spec(modelRef={"name": "b"})
        await served.shows("RolloutFailed", "METRIC_REGRESSION", "0.31")

    assert traffic.failed == 0
    await is_back(served, before)


async def test_other_gates_are_another_try(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, GATED)
    together_sim.behave(rollouts=[{"step": 1}])
    served.spec(modelRef={"name": "b"})
    await served.shows("RolloutFailed")

    served.spec(rollout=CANARY)

    await has_moved(served, before)


async def test_the_old_manifest_in_mid_rollout_goes_back(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    await under_way(served)

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        served.spec(modelRef={"name": "a"})
        await served.ready()

    assert traffic.failed == 0
    await is_back(served, before)
    assert "rollout" not in served.status


async def test_another_change_in_mid_rollout_wins(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    await under_way(served)

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        served.spec(hardware={"gpu": "nvidia-h100-80gb"}, rollout=BLUE_GREEN)
        await has_moved(served, before)

    assert traffic.failed == 0
    assert served.status["deployment"]["hardware"] == "1xnvidia-h100-80gb"


async def test_paused_resumed_and_promoted(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    await under_way(served)

    served.spec(rollout={**SLOW, "paused": True})
    await served.shows("RolloutPaused", "10%", "together.ai/promote=")
    assert served.status["rollout"]["state"] == "PAUSED"
    served.spec(rollout=SLOW)
    await served.shows("RollingOut", "step 1 of 2")
    served.spec(rollout={**SLOW, "paused": True})
    status = await served.shows("RolloutPaused")
    served.annotate("together.ai/promote", status["rollout"]["target"]["name"])

    await has_moved(served, before)


async def test_paused_from_the_start_nothing_is_created(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, {**BLUE_GREEN, "paused": True})

    served.spec(modelRef={"name": "b"})
    await served.shows("RolloutPaused", "does not begin")

    await is_back(served, before)
    served.spec(rollout=BLUE_GREEN)
    await has_moved(served, before)


async def test_zero_replicas_in_mid_rollout_stop_everything(
    together_sim: TogetherSimulator,
) -> None:
    served, _ = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    await under_way(served)

    served.spec(replicas=0)
    await served.shows("Stopped")

    assert together_sim.state()["dollarsPerHour"] == 0
    served.spec(replicas=1)
    await served.ready()
    assert served.status["model"]["name"] == "acme/b"
    assert len(served.deployments()) == 1


async def test_deleted_in_mid_rollout_nothing_is_left(together_sim: TogetherSimulator) -> None:
    served, _ = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    await under_way(served)

    served.delete()
    await served.gone()

    state = together_sim.state()
    assert (state["endpoints"], state["deployments"], state["dollarsPerHour"]) == ([], [], 0)


@pytest.mark.parametrize("moment", ["begun", "under way", "after"])
async def test_a_status_that_is_lost_is_found_again(
    together_sim: TogetherSimulator, moment: str
) -> None:
    rollout = SLOW if moment == "under way" else BLUE_GREEN
    served, before = await serving(together_sim, rollout, adoptionPolicy="Adopt")
    served.spec(modelRef={"name": "b"})
    if moment == "begun":
        await served.until(lambda s: "id" in s.get("rollout", {}).get("target", {}), "a target")
    elif moment == "under way":
        await under_way(served)
    else:
        await served.until(lambda s: "previous" in s, "moved")

    served.forget_status()
    if moment == "under way":
        await under_way(served)
        served.spec(rollout=BLUE_GREEN)
        served.annotate("together.ai/promote", served.status["rollout"]["target"]["name"])

    await has_moved(served, before)


async def test_a_new_revision_rolls_out_or_stays_by_policy(
    together_sim: TogetherSimulator,
) -> None:
    served, before = await serving(together_sim, BLUE_GREEN, revisionPolicy="Pinned")
    model = await served.provider.get_model(before["model"]["id"])
    await import_url(served.provider, model, "https://huggingface.co/tiny/embedding")
    newest = (await served.provider.list_revisions(model.id))[0].id
    assert newest != before["model"]["revision"]
    served.new_revision("a", newest)

    await served.reconcile()
    assert (await served.ready())["model"] == before["model"]

    served.spec(revisionPolicy="Latest")
    await has_moved(served, before, model="a")
    assert served.status["model"]["revision"] == newest
    served.spec(revisionPolicy="Pinned", revision=before["model"]["revision"])
    await served.ready()
    assert served.status["model"]["revision"] == before["model"]["revision"]


async def test_a_deployment_that_failed_is_replaced_when_the_spec_changes(
    together_sim: TogetherSimulator,
) -> None:
    together_sim.behave(deployments=[{"outcome": "failed"}])
    served = await serve(together_sim, {}, ("a", "b"))
    failed = await served.shows("DeploymentFailed", "CUDA out of memory")

    served.spec(modelRef={"name": "b"})

    await has_moved(served, failed)


async def test_a_degraded_deployment_is_replaced_without_a_gap(
    together_sim: TogetherSimulator,
) -> None:
    together_sim.behave(deployments=[{"outcome": "degraded", "message": "a replica crashes"}])
    served = await serve(together_sim, {"replicas": 2}, ("a", "b"))
    before = await served.shows("CrashLoop", "a replica crashes", "CUDA out of memory")

    async with stream(together_sim, before["endpoint"]["name"]) as traffic:
        await asyncio.sleep(0.05)
        served.spec(modelRef={"name": "b"})
        await has_moved(served, before)

    assert traffic.failed == 0


async def test_a_rollout_that_somebody_canceled_returns(together_sim: TogetherSimulator) -> None:
    served, before = await serving(together_sim, SLOW)
    served.spec(modelRef={"name": "b"})
    status = await under_way(served)
    await served.provider.act_on_rollout(
        before["endpoint"]["id"], status["rollout"]["id"], RolloutVerb.CANCEL, "not today"
    )

    await served.shows("RolloutFailed", "canceled at Together")
    await is_back(served, before)
