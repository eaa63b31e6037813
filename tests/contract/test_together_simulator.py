"""The simulator itself: its money, its clock, its memory, and the process that runs it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.contract.situations import (
    create_model,
    deployed,
    import_url,
    imported_model,
    in_state,
    new_deployment,
    until,
)
from tests.support.simulators.hub import HubSimulator
from tests.support.simulators.pytest_plugin import TINY_EMBEDDING
from tests.support.simulators.together import Fault, ManualClock, Timing, TogetherSimulator
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.domain import errors
from together_operator.domain.together import ImportState

TIMING = Timing(
    import_queue=0,
    import_fixed=0,
    import_per_megabyte=0,
    schedule=100,
    pull_image=100,
    start_container=100,
    load_weights=100,
    drain=100,
    stop=100,
)
HOUR = 3600.0


@pytest.fixture
async def clock(hub_sim: HubSimulator) -> ManualClock:
    return ManualClock()


@pytest.fixture
async def slow(clock: ManualClock, hub_sim: HubSimulator) -> AsyncIterator[TogetherSimulator]:
    """A simulator on this loop, whose clock moves only by hand, in real proportions."""
    made = TogetherSimulator(clock=clock, timing=TIMING, time_scale=1.0, hub_url=hub_sim.url)
    async with made:
        yield made


@pytest.fixture
async def provider(slow: TogetherSimulator) -> AsyncIterator[TogetherV2]:
    made = TogetherV2(slow.secret, slow.url)
    yield made
    await made.close()


async def test_hardware_is_billed_from_placement_to_release(
    slow: TogetherSimulator, provider: TogetherV2, clock: ManualClock
) -> None:
    served = await deployed(provider, replicas=2)
    price = {t.name: t.cents_per_hour for t in await provider.list_instance_types()}
    hourly = 2 * price["1xnvidia-l40s-48gb"] / 100
    await clock.advance(99)
    assert slow.state()["dollarsBilled"] == 0
    await clock.advance(1)
    assert slow.state()["dollarsPerHour"] == pytest.approx(hourly)
    await clock.advance(HOUR)
    assert slow.state()["dollarsBilled"] == pytest.approx(hourly)
    [deployment] = await provider.list_deployments(served.endpoint.id)
    assert deployment.state == "READY"
    await provider.scale_deployment(served.endpoint.id, deployment.id, 0, 0)
    await clock.advance(HOUR)
    until_stopped = hourly * (1 + 100 / HOUR)
    assert slow.state()["dollarsBilled"] == pytest.approx(until_stopped)
    await provider.delete_deployment(served.endpoint.id, deployment.id)
    assert slow.state()["dollarsBilled"] == pytest.approx(until_stopped)


async def test_states_follow_each_other_in_time(provider: TogetherV2, clock: ManualClock) -> None:
    served = await deployed(provider)
    seen = []
    for _ in range(5):
        [found] = await provider.list_deployments(served.endpoint.id)
        seen.append((found.state.value, found.message))
        await clock.advance(100)
    assert seen == [
        ("PROVISIONING", "Waiting for hardware"),
        ("SCALING", "Pulling the serving image"),
        ("SCALING", "Starting the serving engine"),
        ("SCALING", "Loading weights onto the GPUs"),
        ("READY", "All replicas are ready"),
    ]


async def test_a_start_that_is_called_off_costs_nothing(
    slow: TogetherSimulator, provider: TogetherV2, clock: ManualClock
) -> None:
    served = await deployed(provider)
    await provider.scale_deployment(served.endpoint.id, served.deployment.id, 0, 0)
    await clock.advance(HOUR)
    [found] = await provider.list_deployments(served.endpoint.id)
    assert found.state == "STOPPED"
    assert slow.state()["dollarsBilled"] == 0


async def test_six_hours_without_capacity_are_a_failure(
    slow: TogetherSimulator, provider: TogetherV2, clock: ManualClock
) -> None:
    slow.behave(capacity={"1xnvidia-l40s-48gb": 0})
    served = await deployed(provider)
    await clock.advance(5.9 * HOUR)
    assert (await provider.list_deployments(served.endpoint.id))[0].state == "PROVISIONING"
    await clock.advance(0.1 * HOUR)
    assert (await provider.list_deployments(served.endpoint.id))[0].state == "FAILED"


async def test_an_idle_deployment_stops_by_itself(
    slow: TogetherSimulator, provider: TogetherV2, clock: ManualClock
) -> None:
    served = await deployed(provider)
    path = f"/v2/projects/proj_sim/endpoints/{served.endpoint.id}/deployments"
    headers = {"Authorization": f"Bearer {slow.key}"}
    async with httpx.AsyncClient(base_url=slow.url, headers=headers) as http:
        answer = await http.patch(f"{path}/{served.deployment.id}", json={"inactiveTimeout": 30})
        assert answer.status_code == 200
        await clock.advance(400 + 29 * 60)
        question = {"model": served.deployment.name, "input": "king"}
        assert (await http.post("/v1/embeddings", json=question)).status_code == 200
    await clock.advance(29 * 60)
    assert (await provider.list_deployments(served.endpoint.id))[0].state == "READY"
    await clock.advance(60 + 100)
    [stopped] = await provider.list_deployments(served.endpoint.id)
    assert (stopped.state, stopped.max_replicas) == ("STOPPED", 0)


async def test_capacity_is_shared_by_all_deployments(
    slow: TogetherSimulator, provider: TogetherV2, clock: ManualClock
) -> None:
    slow.behave(capacity={"1xnvidia-l40s-48gb": 1})
    served = await deployed(provider)
    new = await new_deployment(provider, served.model, "second")
    await provider.create_deployment(served.endpoint.id, new)
    await clock.advance(1000)
    second, first = await provider.list_deployments(served.endpoint.id)
    assert (first.state, second.state) == ("READY", "PROVISIONING")


async def test_the_audit_tells_every_change_and_no_secret(together_sim: TogetherSimulator) -> None:
    provider = TogetherV2(together_sim.secret, together_sim.url)
    model = await create_model(provider)
    url = SecretStr("https://example.invalid/m.zip?X-Amz-Signature=feed")
    await provider.start_import(model.id, url, SecretStr("hf_secret"))
    together_sim.add_fault(Fault(effect="drop_before_commit", method="POST"))
    with pytest.raises(errors.Ambiguous):
        await provider.create_endpoint("e")
    with pytest.raises(errors.NotFound):
        await provider.delete_endpoint("ep_unknown")
    await provider.delete_model(model.id)
    await provider.close()
    told = [(e.method, e.resource, e.name, e.status, e.committed) for e in together_sim.audit()]
    assert told == [
        ("POST", "model", "m", 200, True),
        ("POST", "import", "m", 200, True),
        ("POST", "endpoint", "e", 0, False),
        ("DELETE", "endpoint", "", 404, False),
        ("DELETE", "model", "m", 200, True),
    ]
    shown = json.dumps([entry.model_dump() for entry in together_sim.audit()])
    for secret in ("feed", "hf_secret", together_sim.key):
        assert secret not in shown


async def test_control_by_http(together_sim: TogetherSimulator) -> None:
    async with httpx.AsyncClient(base_url=f"{together_sim.url}/_sim") as http:
        fault = {"effect": "status", "status": 418, "path": "whoami", "message": "teapot"}
        assert (await http.post("/faults", json=fault)).status_code == 200
        headers = {"Authorization": f"Bearer {together_sim.key}"}
        answer = await http.get(f"{together_sim.url}/v3/whoami", headers=headers)
        assert (answer.status_code, answer.json()["message"]) == (418, "teapot")
        assert (await http.get("/faults")).json()[0]["count"] == 0
        await http.delete("/faults")
        assert (await http.get("/faults")).json() == []
        changed = (await http.post("/behaviour", json={"listLagSeconds": 5})).json()
        assert changed["listLagSeconds"] == 5
        wrong = await http.post("/behaviour", json={"lag": 5})
        assert (wrong.status_code, wrong.json()["problems"][0]["at"]) == (400, "lag")
        assert (await http.delete("/behaviour")).json()["listLagSeconds"] == 0
        assert (await http.get("/state")).json()["models"] == []
        assert (await http.get("/audit")).json() == []


async def test_state_outlives_the_process(hub_sim: HubSimulator, tmp_path: Path) -> None:
    state_file = tmp_path / "state.json"

    async def run() -> AsyncIterator[tuple[TogetherSimulator, TogetherV2]]:
        async with TogetherSimulator(hub_url=hub_sim.url, state_file=state_file) as simulator:
            provider = TogetherV2(simulator.secret, simulator.url)
            yield simulator, provider
            await provider.close()

    async for first, provider in run():
        served = await deployed(provider)
        ready = await in_state(provider, served, "READY")
        before = first.state()
        audit = first.audit()
    async for second, provider in run():
        again = second.state()
        assert again["models"] == before["models"]
        assert again["dollarsBilled"] >= before["dollarsBilled"] > 0
        assert second.audit() == audit
        assert (await provider.list_deployments(served.endpoint.id))[0].id == ready.id
        with pytest.raises(errors.Conflict):
            await provider.create_endpoint("e")
        question = {"model": ready.name, "input": "king"}
        async with httpx.AsyncClient() as http:
            answer = await http.post(
                f"{second.url}/v1/embeddings",
                json=question,
                headers={"Authorization": f"Bearer {second.key}"},
            )
        assert answer.status_code == 200, "the weights were kept as well"


async def test_an_import_goes_on_after_a_restart(hub_sim: HubSimulator, tmp_path: Path) -> None:
    state_file = tmp_path / "state.json"
    async with TogetherSimulator(hub_url=hub_sim.url, state_file=state_file) as simulator:
        simulator.behave(imports=[{"outcome": "stuck"}])
        provider = TogetherV2(simulator.secret, simulator.url)
        model = await create_model(provider)
        url = SecretStr(f"https://huggingface.co/{TINY_EMBEDDING}")
        job = await provider.start_import(model.id, url)
        await until(lambda: provider.get_import(job.id), lambda j: j.state == "RUNNING")
        await provider.close()
    async with TogetherSimulator(hub_url=hub_sim.url, state_file=state_file) as simulator:
        provider = TogetherV2(simulator.secret, simulator.url)
        done = await until(lambda: provider.get_import(job.id), lambda j: j.state == "SUCCEEDED")
        assert done.restarts == 1
        assert len(await provider.list_revisions(model.id)) == 1
        await provider.close()


async def test_weights_are_stored_once_and_go_with_their_last_model(
    together_sim: TogetherSimulator,
) -> None:
    provider = TogetherV2(together_sim.secret, together_sim.url)
    first = await imported_model(provider, "one")
    stored = together_sim.platform.blobs.count()
    second = await imported_model(provider, "two")
    assert together_sim.platform.blobs.count() == stored > 0
    await provider.delete_model(first.id)
    assert together_sim.platform.blobs.count() == stored
    await provider.delete_model(second.id)
    assert together_sim.platform.blobs.count() == 0
    await provider.close()


async def test_all_simulators_run_as_one_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.simulators",
        "--time-scale=1000",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told: dict[str, Any] = json.loads(await process.stdout.readline())
    provider = TogetherV2(SecretStr(told["together"]["key"]), told["together"]["url"])
    model = await create_model(provider)
    repository = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2"
    assert (await import_url(provider, model, repository)).state == ImportState.SUCCEEDED
    await provider.close()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{told['s3']['url']}/models/x")).status_code == 403
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
