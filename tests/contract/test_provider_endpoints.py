"""Endpoints, deployments, prices: what a `ModelProvider` may rely on."""

import dataclasses

import pytest

from tests.contract.situations import (
    base_model_id,
    create_model,
    deployed,
    imported_model,
    in_state,
    new_deployment,
    routed,
    until,
)
from tests.support.simulators.together import TogetherSimulator
from together_operator.domain import errors
from together_operator.domain.together import TrafficShare
from together_operator.ports import ModelProvider


async def test_configs_of_a_custom_model_are_those_of_its_base(provider: ModelProvider) -> None:
    model = await create_model(provider)
    configs = await provider.list_configs(model.id)
    assert configs
    assert configs == await provider.list_configs(await base_model_id(provider))
    assert {config.optimization for config in configs} == {"balanced", "throughput"}


async def test_every_config_has_a_price(provider: ModelProvider) -> None:
    prices = {t.name: t for t in await provider.list_instance_types()}
    for config in await provider.list_configs(await base_model_id(provider)):
        found = prices[config.instance_type]
        assert found.cents_per_hour > 0
        assert found.count == config.count
        assert found.gpu_memory_gib


async def test_headroom_is_given_where_the_api_tells(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(capacity={"1xnvidia-h100-80gb": 3})
    prices = {t.name: t for t in await provider.list_instance_types()}
    assert prices["1xnvidia-h100-80gb"].headroom == {"us-central-4": 3, "eu-west-1": None}
    assert prices["1xnvidia-l40s-48gb"].headroom["us-central-4"] == 10


async def test_an_endpoint_is_created_unrouted(provider: ModelProvider) -> None:
    endpoint = await provider.create_endpoint("e")
    assert endpoint.id.startswith("ep_")
    assert (endpoint.name, endpoint.bare_name) == ("acme/e", "e")
    assert endpoint.traffic == ()
    assert endpoint.deployments == ()
    assert await provider.get_endpoint(endpoint.id) == endpoint
    assert await provider.list_endpoints() == [endpoint]


async def test_a_taken_endpoint_name_is_a_conflict(provider: ModelProvider) -> None:
    endpoint = await provider.create_endpoint("e")
    with pytest.raises(errors.Conflict, match="acme/e"):
        await provider.create_endpoint("e")
    await provider.delete_endpoint(endpoint.id)
    assert (await provider.create_endpoint("e")).id != endpoint.id


async def test_endpoints_are_listed_over_pages(provider: ModelProvider) -> None:
    for number in range(60):
        await provider.create_endpoint(f"e{number:02}")
    found = await provider.list_endpoints()
    assert sorted(e.bare_name for e in found) == [f"e{n:02}" for n in range(60)]


async def test_a_missing_endpoint_is_not_found(provider: ModelProvider) -> None:
    for call in (
        provider.get_endpoint("ep_unknown"),
        provider.delete_endpoint("ep_unknown"),
        provider.list_deployments("ep_unknown"),
        provider.set_traffic("ep_unknown", [], ""),
        provider.delete_deployment("ep_unknown", "dep_unknown"),
    ):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_deployment_pins_the_revision_of_its_model(provider: ModelProvider) -> None:
    served = await deployed(provider)
    [revision] = await provider.list_revisions(served.model.id)
    assert served.deployment.id.startswith("dep_")
    assert served.deployment.name == "acme/e/d"
    assert served.deployment.endpoint_id == served.endpoint.id
    assert served.deployment.model.endswith(f"/models/{served.model.id}/revisions/{revision.id}")


async def test_a_deployment_comes_up_and_then_says_so(provider: ModelProvider) -> None:
    served = await deployed(provider, replicas=2)
    assert served.deployment.state == "PROVISIONING"
    assert served.deployment.ready_replicas == 0
    ready = await in_state(provider, served, "READY")
    assert (ready.ready_replicas, ready.scheduled_replicas) == (2, 2)
    assert (ready.min_replicas, ready.max_replicas) == (2, 2)
    [summary] = (await provider.get_endpoint(served.endpoint.id)).deployments
    assert (summary.id, summary.state, summary.ready_replicas) == (ready.id, "READY", 2)


async def test_a_model_without_files_is_not_deployed(provider: ModelProvider) -> None:
    model = await create_model(provider)
    endpoint = await provider.create_endpoint("e")
    with pytest.raises(errors.Rejected, match="no validated revision"):
        await provider.create_deployment(endpoint.id, await new_deployment(provider, model))


async def test_a_config_of_another_model_is_rejected(provider: ModelProvider) -> None:
    model = await imported_model(provider)
    endpoint = await provider.create_endpoint("e")
    other = await provider.list_configs(await base_model_id(provider, "Qwen/Qwen3-8B"))
    new = await new_deployment(provider, model)
    with pytest.raises(errors.Rejected, match="not compatible"):
        await provider.create_deployment(
            endpoint.id, dataclasses.replace(new, config=other[0].resource)
        )
    assert await provider.list_deployments(endpoint.id) == []


async def test_a_taken_deployment_name_is_a_conflict(provider: ModelProvider) -> None:
    served = await deployed(provider)
    with pytest.raises(errors.Conflict, match="acme/e/d"):
        await provider.create_deployment(
            served.endpoint.id, await new_deployment(provider, served.model)
        )


async def test_all_deployments_are_listed_and_ten_are_embedded(provider: ModelProvider) -> None:
    model = await imported_model(provider)
    endpoint = await provider.create_endpoint("e")
    for number in range(12):
        new = await new_deployment(provider, model, f"d{number:02}", replicas=0)
        await provider.create_deployment(endpoint.id, new)
    names = [d.name.rpartition("/")[2] for d in await provider.list_deployments(endpoint.id)]
    assert sorted(names) == [f"d{number:02}" for number in range(12)]
    embedded = (await provider.get_endpoint(endpoint.id)).deployments
    assert {d.name.rpartition("/")[2] for d in embedded} == {f"d{n:02}" for n in range(2, 12)}


async def test_scaling_changes_replicas(provider: ModelProvider) -> None:
    served = await deployed(provider)
    await in_state(provider, served, "READY")
    scaled = await provider.scale_deployment(served.endpoint.id, served.deployment.id, 3, 5)
    assert scaled.state == "SCALING"
    assert scaled.ready_replicas == 1, "the old replica goes on serving"
    grown = await in_state(provider, served, "READY")
    assert (grown.ready_replicas, grown.min_replicas, grown.max_replicas) == (3, 3, 5)
    await provider.scale_deployment(served.endpoint.id, served.deployment.id, 1, 1)
    shrunk = await in_state(provider, served, "READY")
    assert (shrunk.ready_replicas, shrunk.scheduled_replicas) == (1, 1)


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (-1, 1)])
async def test_impossible_bounds_are_rejected(
    provider: ModelProvider, bounds: tuple[int, int]
) -> None:
    served = await deployed(provider)
    with pytest.raises(errors.Rejected, match="Replicas"):
        await provider.scale_deployment(served.endpoint.id, served.deployment.id, *bounds)


async def test_zero_replicas_stop_the_bill(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    served = await deployed(provider)
    await in_state(provider, served, "READY")
    assert together_sim.state()["dollarsPerHour"] > 0
    stopping = await provider.scale_deployment(served.endpoint.id, served.deployment.id, 0, 0)
    assert stopping.state == "STOPPING"
    stopped = await in_state(provider, served, "STOPPED")
    assert (stopped.ready_replicas, stopped.scheduled_replicas) == (0, 0)
    assert together_sim.state()["dollarsPerHour"] == 0
    assert together_sim.state()["dollarsBilled"] > 0


async def test_a_stopped_deployment_starts_again(provider: ModelProvider) -> None:
    served = await deployed(provider, replicas=0)
    assert served.deployment.state == "STOPPED"
    again = await provider.scale_deployment(served.endpoint.id, served.deployment.id, 1, 1)
    assert again.state == "PROVISIONING"
    await in_state(provider, served, "READY")


async def test_traffic_is_replaced_and_cleared(provider: ModelProvider) -> None:
    served = await routed(provider)
    assert served.endpoint.traffic == (TrafficShare(served.deployment.id, 1.0),)
    cleared = await provider.set_traffic(served.endpoint.id, [], served.endpoint.etag)
    assert cleared.traffic == ()
    assert (await provider.get_endpoint(served.endpoint.id)).traffic == ()


async def test_a_weight_of_zero_is_no_entry(provider: ModelProvider) -> None:
    served = await routed(provider)
    share = TrafficShare(served.deployment.id, 0.0)
    seen = await provider.set_traffic(served.endpoint.id, [share], served.endpoint.etag)
    assert seen.traffic == ()


async def test_a_stale_etag_is_a_conflict_and_changes_nothing(provider: ModelProvider) -> None:
    served = await deployed(provider)
    share = TrafficShare(served.deployment.id, 1.0)
    fresh = await provider.set_traffic(served.endpoint.id, [share], served.endpoint.etag)
    with pytest.raises(errors.Conflict, match="etag"):
        await provider.set_traffic(served.endpoint.id, [], served.endpoint.etag)
    assert (await provider.get_endpoint(served.endpoint.id)).traffic == fresh.traffic


async def test_traffic_goes_only_to_deployments_of_the_endpoint(provider: ModelProvider) -> None:
    endpoint = await provider.create_endpoint("e")
    with pytest.raises(errors.Rejected, match="dep_unknown"):
        await provider.set_traffic(endpoint.id, [TrafficShare("dep_unknown", 1.0)], endpoint.etag)


async def test_things_are_deleted_in_their_order_only(provider: ModelProvider) -> None:
    served = await routed(provider)
    endpoint_id, deployment_id = served.endpoint.id, served.deployment.id
    with pytest.raises(errors.Conflict, match="still has 1 deployment"):
        await provider.delete_endpoint(endpoint_id)
    with pytest.raises(errors.Conflict, match="is READY"):
        await provider.delete_deployment(endpoint_id, deployment_id)
    await provider.scale_deployment(endpoint_id, deployment_id, 0, 0)
    await in_state(provider, served, "STOPPED")
    with pytest.raises(errors.Conflict, match="traffic split"):
        await provider.delete_deployment(endpoint_id, deployment_id)
    etag = (await provider.get_endpoint(endpoint_id)).etag
    await provider.set_traffic(endpoint_id, [], etag)
    await provider.delete_deployment(endpoint_id, deployment_id)
    await provider.delete_endpoint(endpoint_id)
    await provider.delete_model(served.model.id)
    assert await provider.list_endpoints() == []
    assert await provider.list_models() == []


@pytest.mark.parametrize("state", ["PROVISIONING", "DEGRADED"])
async def test_missing_capacity_shows_as_a_message_until_there_is_some(
    provider: ModelProvider, together_sim: TogetherSimulator, state: str
) -> None:
    none = {"1xnvidia-l40s-48gb": 0, "1xnvidia-h100-80gb": 0}
    together_sim.behave(capacity=none, no_capacity_state=state)
    served = await deployed(provider)

    async def read() -> tuple[str, str]:
        [found] = await provider.list_deployments(served.endpoint.id)
        return found.state, found.message

    _, message = await until(read, lambda found: "Cannot place replicas" in found[1])
    assert (await read())[0] == state
    assert "1xnvidia-l40s-48gb" in message
    assert together_sim.state()["dollarsBilled"] == 0
    together_sim.behave(capacity={})
    await in_state(provider, served, "READY")


async def test_a_deployment_that_fails_says_why_and_can_be_deleted(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(deployments=[{"outcome": "failed", "message": "out of GPU memory"}])
    served = await deployed(provider)
    failed = await in_state(provider, served, "FAILED")
    assert failed.message == "out of GPU memory"
    assert failed.ready_replicas == 0
    await provider.delete_deployment(served.endpoint.id, failed.id)
    assert await provider.list_deployments(served.endpoint.id) == []


async def test_a_degraded_deployment_says_so(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(deployments=[{"outcome": "degraded", "message": "replica is crashing"}])
    served = await deployed(provider, replicas=2)
    degraded = await in_state(provider, served, "DEGRADED")
    assert (degraded.message, degraded.ready_replicas) == ("replica is crashing", 1)
