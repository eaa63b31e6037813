"""Rollouts, placement, events and checks beforehand: what a `ModelProvider` may rely on."""

from __future__ import annotations

import dataclasses

import pytest

from tests.contract.situations import (
    Served,
    deployed,
    imported_model,
    in_state,
    new_deployment,
    routed,
    until,
)
from tests.support.simulators.together import TogetherSimulator
from together_operator.domain import errors
from together_operator.domain.together import Deployment, Placement, TrafficShare
from together_operator.domain.together_rollouts import (
    MetricGate,
    NewRollout,
    Rollout,
    RolloutStep,
    RolloutVerb,
)
from together_operator.ports import ModelProvider

SLOW = (RolloutStep(10), RolloutStep(100))


async def pair(provider: ModelProvider) -> tuple[Served, Deployment]:
    """A source that has the traffic, and a stopped target."""
    served = await routed(provider)
    new = await new_deployment(provider, served.model, "target", replicas=0)
    return served, await provider.create_deployment(served.endpoint.id, new)


async def at(provider: ModelProvider, rollout: Rollout, state: str) -> Rollout:
    """The rollout when it has come to a state."""

    async def read() -> Rollout:
        found = await provider.list_rollouts(rollout.endpoint_id)
        return next(r for r in found if r.id == rollout.id)

    return await until(read, lambda found: found.state == state)


def slow_canary(served: Served, target: Deployment) -> NewRollout:
    """A canary that stays at its first step."""
    return NewRollout(served.deployment.id, target.id, "canary", 1, SLOW, 86400)


@pytest.mark.parametrize("strategy", ["blueGreen", "canary", "rolling"])
async def test_a_rollout_waits_to_be_started_and_moves_everything(
    provider: ModelProvider, strategy: str
) -> None:
    served, target = await pair(provider)
    canary = (SLOW, 1) if strategy == "canary" else ((), 0)
    new = NewRollout(served.deployment.id, target.id, strategy, 1, *canary)  # type: ignore[arg-type]

    rollout = await provider.create_rollout(served.endpoint.id, new)

    assert (rollout.state, rollout.step, rollout.is_open) == ("PENDING", None, True)
    assert (rollout.source_id, rollout.target_id) == (served.deployment.id, target.id)
    started = await provider.act_on_rollout(served.endpoint.id, rollout.id, RolloutVerb.START)
    assert started.step == 0
    done = await at(provider, rollout, "COMPLETED")
    assert (done.traffic_percent, done.is_open) == (100, False)
    endpoint = await provider.get_endpoint(served.endpoint.id)
    assert [share.deployment_id for share in endpoint.traffic] == [target.id]
    assert (await in_state(provider, served, "STOPPED")).max_replicas == 0


async def test_an_open_rollout_binds_the_endpoint(provider: ModelProvider) -> None:
    served, target = await pair(provider)
    endpoint_id, new = served.endpoint.id, slow_canary(served, target)
    rollout = await provider.create_rollout(endpoint_id, new)
    with pytest.raises(errors.Conflict):
        await provider.create_rollout(endpoint_id, new)
    with pytest.raises(errors.Conflict):
        await provider.set_traffic(endpoint_id, [TrafficShare(target.id, 1.0)], "")
    with pytest.raises(errors.Conflict):
        await provider.delete_deployment(endpoint_id, target.id)
    with pytest.raises(errors.Rejected):
        await provider.scale_deployment(endpoint_id, served.deployment.id, 0, 0)
    await provider.delete_rollout(endpoint_id, rollout.id)
    assert await provider.list_rollouts(endpoint_id) == []


async def test_pause_resume_promote(provider: ModelProvider) -> None:
    served, target = await pair(provider)
    endpoint_id = served.endpoint.id
    rollout = await provider.create_rollout(endpoint_id, slow_canary(served, target))
    with pytest.raises(errors.Rejected):
        await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.PAUSE, "early")
    await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.START)
    assert (await provider.get_endpoint(endpoint_id)).active_rollout_id == rollout.id
    await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.PAUSE, "lunch")
    paused = await at(provider, rollout, "PAUSED")
    assert paused.message == "lunch"
    assert paused.paused_at is not None
    resumed = await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.RESUME)
    assert resumed.state == "RUNNING"
    await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.PROMOTE)
    assert (await at(provider, rollout, "COMPLETED")).steps == 2


async def test_cancel_keeps_the_split_and_needs_a_reason(provider: ModelProvider) -> None:
    served, target = await pair(provider)
    endpoint_id = served.endpoint.id
    rollout = await provider.create_rollout(endpoint_id, slow_canary(served, target))
    await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.START)

    async def shares() -> set[str]:
        return {s.deployment_id for s in (await provider.get_endpoint(endpoint_id)).traffic}

    both = await until(shares, lambda found: target.id in found)
    await provider.act_on_rollout(endpoint_id, rollout.id, RolloutVerb.CANCEL, "not today")
    assert (await at(provider, rollout, "CANCELED")).message == "not today"
    assert await shares() == both


@pytest.mark.parametrize(
    "gate",
    [
        MetricGate("router_error_rate", maximum=0.05),
        MetricGate("router_latency", max_regression_percent=20.0, percentile=99),
        MetricGate("router_latency", maximum=1500.0),
    ],
    ids=str,
)
async def test_a_gate_that_trips_says_why(
    provider: ModelProvider, together_sim: TogetherSimulator, gate: MetricGate
) -> None:
    together_sim.behave(rollouts=[{"metric": gate.name, "message": "it is too much"}])
    served, target = await pair(provider)
    new = dataclasses.replace(slow_canary(served, target), interval=30, gates=(gate,))
    rollout = await provider.create_rollout(served.endpoint.id, new)
    await provider.act_on_rollout(served.endpoint.id, rollout.id, RolloutVerb.START)
    halted = await at(provider, rollout, "SYSTEM_PAUSED")
    assert (halted.failure, halted.message) == ("METRIC_REGRESSION", "it is too much")
    assert halted.paused_at is not None


async def test_a_source_without_traffic_is_rejected(provider: ModelProvider) -> None:
    served, target = await pair(provider)
    new = NewRollout(target.id, served.deployment.id, "blueGreen", 1)
    with pytest.raises(errors.Rejected, match="READY"):
        await provider.create_rollout(served.endpoint.id, new)


async def test_validating_creates_nothing(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    model = await imported_model(provider)
    endpoint = await provider.create_endpoint("e")
    new = await new_deployment(provider, model)
    await provider.validate_deployment(endpoint.id, new)
    wrong = dataclasses.replace(new, config="projects/proj_platform/configs/cr_x")
    with pytest.raises(errors.NotFound, match="cr_x"):
        await provider.validate_deployment(endpoint.id, wrong)
    together_sim.behave(quota=0)
    with pytest.raises(errors.Rejected, match="quota"):
        await provider.validate_deployment(endpoint.id, new)
    assert await provider.list_deployments(endpoint.id) == []


@pytest.mark.parametrize(
    "placement",
    [
        Placement(regions=("us-central-4",)),
        Placement(regions=("us-central-4", "eu-west-1"), required=False),
        Placement(hipaa=True),
    ],
    ids=str,
)
async def test_placement_is_kept(provider: ModelProvider, placement: Placement) -> None:
    model = await imported_model(provider)
    endpoint = await provider.create_endpoint("e")
    new = dataclasses.replace(await new_deployment(provider, model), placement=placement)
    made = await provider.create_deployment(endpoint.id, new)
    assert made.placement == placement


async def test_events_tell_the_phases_of_a_start_newest_first(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    assert together_sim.url, "only the simulator keeps a feed of events"
    served = await deployed(provider)
    ready = await in_state(provider, served, "READY")
    events = await provider.list_events(
        served.endpoint.id, ready.id, ("pod.startup_phase_changed",)
    )
    phases = ["StartupComplete", "LoadingWeights", "Starting", "PullingImage"]
    assert [event.reason for event in events] == phases
    assert {event.deployment_id for event in events} == {ready.id}
    times = [event.created_at for event in events]
    assert times == sorted(times, reverse=True)


async def test_a_crash_comes_with_its_log(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(deployments=[{"outcome": "failed", "logExcerpt": "CUDA out of memory"}])
    served = await deployed(provider)
    failed = await in_state(provider, served, "FAILED")
    [crash] = await provider.list_events(served.endpoint.id, failed.id, ("pod.crashed",))
    assert (crash.level, crash.log_excerpt) == ("ERROR", "CUDA out of memory")
