"""Before a deployment is created, and while it starts: what stands in status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.component.serving import serve
from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import HubSimulator
from tests.support.simulators.together import TogetherSimulator

L40S, H100 = "1xnvidia-l40s-48gb", "1xnvidia-h100-80gb"
HERE = {"placement": {"regions": ["us-central-4"]}}


def _created(sim: TogetherSimulator) -> int:
    return sum(
        e.resource == "deployment" and e.method == "POST" and e.committed and not e.validate_only
        for e in sim.audit()
    )


async def test_without_room_nothing_is_created_and_what_there_is_is_named(
    together_sim: TogetherSimulator,
) -> None:
    together_sim.behave(capacity={L40S: 0})
    served = await serve(together_sim, HERE)

    await served.shows("NoCapacity", "room for 0 of 1", f"{H100} (10)")
    for _ in range(5):
        await served.reconcile()

    assert _created(together_sim) == 0
    assert served.condition("Scheduled")["reason"] == "NoCapacity"
    assert served.condition("Reconciling")["status"] == "True"
    together_sim.behave(capacity={})
    await served.ready()
    assert served.condition("Scheduled")["status"] == "True"


@pytest.mark.parametrize("state", ["PROVISIONING", "DEGRADED"])
async def test_room_that_is_gone_when_it_is_created_is_waited_for(
    together_sim: TogetherSimulator, state: str
) -> None:
    together_sim.behave(capacity={L40S: 0}, no_capacity_state=state)
    served = await serve(together_sim)

    await served.shows("NoCapacity", "Cannot place replicas", f"{H100} (10)")

    assert served.condition("Scheduled")["status"] == "False"
    assert _created(together_sim) == 1
    together_sim.behave(capacity={})
    await served.ready()
    assert _created(together_sim) == 1


async def test_a_change_without_room_waits_and_what_runs_goes_on(
    together_sim: TogetherSimulator,
) -> None:
    served = await serve(together_sim, {"rollout": {"strategy": "BlueGreen"}})
    before = await served.ready()
    together_sim.behave(capacity={H100: 0})

    served.spec(hardware={"gpu": "nvidia-h100-80gb"}, **HERE)
    await served.shows("NoCapacity")

    assert served.condition("Routed")["status"] == "True"
    assert list(served.deployments()) == [before["deployment"]["id"]]
    served.spec(replicas=2)
    await served.until(lambda s: s.get("readyReplicas") == 2, "scaled all the same")
    together_sim.behave(capacity={})
    after = await served.ready()
    assert after["deployment"]["hardware"] == H100


async def test_a_region_without_the_hardware_is_told(together_sim: TogetherSimulator) -> None:
    served = await serve(together_sim, {"placement": {"regions": ["mars-1"]}})

    await served.shows("Rejected", "mars-1", "us-central-4")

    assert _created(together_sim) == 0


@pytest.mark.parametrize(
    "spec", [{"hardware": {"gpu": "nvidia-b200"}}, {"config": "cr_unknown"}], ids=str
)
async def test_a_config_that_does_not_exist_names_those_that_do(
    together_sim: TogetherSimulator, spec: dict[str, Any]
) -> None:
    served = await serve(together_sim, spec)

    await served.shows("NoConfig", f"{L40S} balanced", f"{H100} throughput")

    assert served.condition("Scheduled")["reason"] == "NoConfig"


async def test_a_config_that_does_not_exist_leaves_what_runs(
    together_sim: TogetherSimulator,
) -> None:
    served = await serve(together_sim)
    before = await served.ready()

    served.spec(hardware={"gpu": "nvidia-b200"})
    await served.shows("NoConfig")

    assert list(served.deployments()) == [before["deployment"]["id"]]
    served.spec(replicas=0)
    await served.shows("Stopped")
    assert together_sim.state()["dollarsPerHour"] == 0


async def test_a_quota_is_told_before_anything_is_created(
    together_sim: TogetherSimulator,
) -> None:
    together_sim.behave(quota=1)
    served = await serve(together_sim, {"replicas": 2})

    await served.shows("QuotaExceeded", "quota", "1")

    assert _created(together_sim) == 0
    served.spec(replicas=1)
    await served.ready()


async def test_phases_of_the_start_are_told_with_their_times(hub_sim: HubSimulator) -> None:
    slow = TogetherSimulator(hub_url=hub_sim.url, time_scale=30.0)
    with InThread(slow):
        served = await serve(slow)

        await served.shows("Provisioning", "LoadingWeights since", "PullingImage ", "Starting ")
        status = await served.ready()

    phases = [phase["phase"] for phase in status["startup"]]
    assert phases == ["PullingImage", "Starting", "LoadingWeights", "StartupComplete"]
    assert [p["time"] for p in status["startup"]] == sorted(p["time"] for p in status["startup"])


async def test_a_start_that_takes_six_hours_has_failed(together_sim: TogetherSimulator) -> None:
    together_sim.behave(capacity={L40S: 0})
    served = await serve(together_sim)

    await served.shows("DeploymentFailed", "Not ready within 6 hours")
