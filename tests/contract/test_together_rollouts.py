"""Rollouts, by the official SDK: what the simulator must get right."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import together
from together import AsyncTogether
from together.types.endpoints import Rollout

from tests.contract import situations
from tests.contract.sdk_driver import SdkDriver
from tests.support.simulators.together import TogetherSimulator
from together_operator.domain.together import DeploymentState

GATE: Any = {
    "name": "router_error_rate",
    "threshold_check": {"operator": "THRESHOLD_OPERATOR_LT", "value": 0.1},
}
FAST = {"step_interval": "30s"}


@dataclass
class Pair:
    """An endpoint with a source that has the traffic, and a stopped target."""

    client: AsyncTogether
    provider: SdkDriver
    endpoint_id: str
    endpoint_name: str
    source: str
    target: str

    async def create(self, **spec: Any) -> Rollout:
        """Create a rollout from source to target."""
        return await self.client.endpoints.rollouts.create(
            self.endpoint_id,
            source_deployment_id=self.source,
            target_deployment_id=self.target,
            **spec,
        )

    async def started(self, **spec: Any) -> Rollout:
        """Create and start a rollout."""
        rollout = await self.create(**spec)
        return await self.client.endpoints.rollouts.start(rollout.id, endpoint_id=self.endpoint_id)

    async def at(self, rollout: Rollout, state: str) -> Rollout:
        """The rollout when it has come to a state."""

        async def read() -> Rollout:
            return await self.client.endpoints.rollouts.retrieve(
                rollout.id, endpoint_id=self.endpoint_id
            )

        return await situations.until(read, lambda r: r.state == f"ROLLOUT_STATE_{state}")

    async def split(self) -> dict[str, float]:
        """Weights by deployment."""
        endpoint = await self.client.endpoints.retrieve(self.endpoint_id)
        return {s.deployment_id: s.weight for s in endpoint.traffic_split}

    async def states(self) -> dict[str, DeploymentState]:
        """States by deployment."""
        found = await self.provider.list_deployments(self.endpoint_id)
        return {d.id: d.state for d in found}


@pytest.fixture
async def pair(together_sim: TogetherSimulator) -> AsyncIterator[Pair]:
    driver = SdkDriver(together_sim.secret, together_sim.url)
    served = await situations.routed(driver)
    new = await situations.new_deployment(driver, served.model, "target", replicas=0)
    target = await driver.create_deployment(served.endpoint.id, new)
    async with AsyncTogether(
        api_key=together_sim.key,
        base_url=together_sim.url,
        project_id=together_sim.project.id,
        max_retries=0,
    ) as client:
        yield Pair(
            client,
            driver,
            served.endpoint.id,
            served.endpoint.name,
            served.deployment.id,
            target.id,
        )
    await driver.close()


async def test_a_rollout_waits_to_be_started(pair: Pair) -> None:
    rollout = await pair.create(blue_green={})
    assert rollout.state == "ROLLOUT_STATE_PENDING"
    assert rollout.strategy == "ROLLOUT_STRATEGY_TYPE_BLUE_GREEN"
    assert await pair.split() == {pair.source: 1.0}
    endpoint = await pair.client.endpoints.retrieve(pair.endpoint_id)
    assert endpoint.active_rollout_id is None


async def test_blue_green_wakes_the_target_moves_all_traffic_and_stops_the_source(
    pair: Pair, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(capacity={"1xnvidia-l40s-48gb": 1})
    rollout = await pair.started(blue_green={})
    endpoint = await pair.client.endpoints.retrieve(pair.endpoint_id)
    assert endpoint.active_rollout_id == rollout.id
    assert await pair.split() == {pair.source: 1.0}
    together_sim.behave(capacity={})
    done = await pair.at(rollout, "COMPLETED")
    assert done.current_traffic_percent == 100
    assert done.completed_at is not None
    assert [step.state for step in done.status.steps] == ["ROLLOUT_STEP_STATE_PASSED"]
    assert await pair.split() == {pair.target: 1.0}
    assert await pair.states() == {pair.source: "STOPPED", pair.target: "READY"}
    endpoint = await pair.client.endpoints.retrieve(pair.endpoint_id)
    assert endpoint.active_rollout_id is None


async def test_no_request_is_lost_meanwhile(pair: Pair) -> None:
    rollout = await pair.started(canary=FAST)
    answered = 0
    while (
        await pair.client.endpoints.rollouts.retrieve(rollout.id, endpoint_id=pair.endpoint_id)
    ).state != "ROLLOUT_STATE_COMPLETED":
        await pair.client.embeddings.create(model=pair.endpoint_name, input="king")
        answered += 1
    assert answered > 10


async def test_a_canary_climbs_its_ladder(pair: Pair, together_sim: TogetherSimulator) -> None:
    steps = [{"traffic": 10}, {"traffic": 100}]
    rollout = await pair.started(canary={"steps": steps, "step_interval": "500s"})

    async def shares() -> list[float]:
        found = await pair.client.endpoints.deployments.list(pair.endpoint_id)
        return [d.estimated_effective_traffic_share or 0 for d in found.data]

    target, source = await situations.until(shares, lambda s: 0 < s[0] < 1)
    assert target == pytest.approx(0.1)
    assert source == pytest.approx(0.9)
    done = await pair.at(rollout, "COMPLETED")
    assert [step.target_traffic_percent for step in done.status.steps] == [10, 100]


async def test_the_defaults_are_shown_before(pair: Pair) -> None:
    preview = await pair.client.endpoints.rollouts.preview_defaults(
        pair.endpoint_id,
        source_deployment_id=pair.source,
        target_deployment_id=pair.target,
        canary={},
    )
    steps = preview.estimated_effective_steps
    assert steps is not None
    assert [step.traffic for step in steps] == [5, 25, 50, 100]
    assert (preview.spec.final_source_replicas, preview.spec.final_target_replicas) == (0, 1)


async def test_rolling_swaps_replica_by_replica(pair: Pair) -> None:
    await pair.provider.scale_deployment(pair.endpoint_id, pair.source, 2, 2)

    async def ready() -> int:
        found = await pair.provider.list_deployments(pair.endpoint_id)
        return next(d.ready_replicas for d in found if d.id == pair.source)

    await situations.until(ready, lambda replicas: replicas == 2)
    done = await pair.at(await pair.started(rolling={}), "COMPLETED")
    assert [step.target_traffic_percent for step in done.status.steps] == [50, 100]
    found = {d.id: d for d in await pair.provider.list_deployments(pair.endpoint_id)}
    assert found[pair.target].ready_replicas == 2
    assert found[pair.source].state == "STOPPED"


async def test_a_breached_gate_stops_the_rollout(
    pair: Pair, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(rollouts=[{"target": "target", "step": 1, "message": "too many errors"}])
    rollout = await pair.started(canary=FAST, metrics=[GATE])
    halted = await pair.at(rollout, "SYSTEM_PAUSED")
    condition = halted.status.condition
    assert condition is not None
    assert condition.category == "ROLLOUT_FAILURE_CATEGORY_METRIC_REGRESSION"
    assert (condition.message, condition.at_step) == ("too many errors", 1)
    assert halted.current_traffic_percent == 25
    rollouts = pair.client.endpoints.rollouts
    await rollouts.cancel(rollout.id, endpoint_id=pair.endpoint_id, reason="go back")
    await pair.at(rollout, "CANCELED")
    assert set(await pair.split()) == {pair.source, pair.target}, "the split stays as it was"


async def test_a_target_that_fails_stops_the_rollout_before_any_traffic(
    pair: Pair, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(deployments=[{"name": "target", "outcome": "failed", "message": "OOM"}])
    halted = await pair.at(await pair.started(blue_green={}), "SYSTEM_PAUSED")
    assert halted.status.condition is not None
    assert halted.status.condition.category == "ROLLOUT_FAILURE_CATEGORY_TARGET_NOT_READY"
    assert await pair.split() == {pair.source: 1.0}


async def test_pause_resume_and_promote(pair: Pair) -> None:
    rollouts = pair.client.endpoints.rollouts
    rollout = await pair.started(canary={"step_interval": "3600s"})
    await situations.until(pair.split, lambda split: pair.target in split)
    pausing = await rollouts.pause(rollout.id, endpoint_id=pair.endpoint_id, reason="lunch")
    assert pausing.state == "ROLLOUT_STATE_PAUSING"
    paused = await pair.at(rollout, "PAUSED")
    assert paused.pause_info is not None
    assert paused.pause_info.reason == "lunch"
    resumed = await rollouts.resume(rollout.id, endpoint_id=pair.endpoint_id)
    assert resumed.state == "ROLLOUT_STATE_RUNNING"
    assert resumed.current_step == 0
    await rollouts.promote(rollout.id, endpoint_id=pair.endpoint_id)
    done = await pair.at(rollout, "COMPLETED")
    assert [step.state for step in done.status.steps] == [
        *["ROLLOUT_STEP_STATE_SKIPPED"] * 3,
        "ROLLOUT_STEP_STATE_PASSED",
    ]
    assert await pair.split() == {pair.target: 1.0}


async def test_an_open_rollout_binds_its_endpoint(pair: Pair) -> None:
    rollout = await pair.create(blue_green={})
    client = pair.client
    with pytest.raises(together.ConflictError, match="is active"):
        await client.endpoints.update(
            pair.endpoint_id, traffic_split=[], update_mask="trafficSplit"
        )
    with pytest.raises(together.ConflictError, match="is active"):
        await pair.create(rolling={})
    with pytest.raises(together.ConflictError, match="deleted"):
        await client.endpoints.deployments.delete(pair.target, endpoint_id=pair.endpoint_id)
    with pytest.raises(together.BadRequestError, match="stopped"):
        await client.endpoints.deployments.update(
            pair.source,
            endpoint_id=pair.endpoint_id,
            autoscaling={"min_replicas": 0, "max_replicas": 0},
        )
    await client.endpoints.rollouts.delete(rollout.id, endpoint_id=pair.endpoint_id)
    await client.endpoints.update(pair.endpoint_id, traffic_split=[], update_mask="trafficSplit")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "exactly one"),
        ({"blue_green": {}, "rolling": {}}, "exactly one"),
        ({"blue_green": {}, "metrics": [GATE]}, "only canary"),
        ({"canary": {"steps": [{"traffic": 50}, {"traffic": 20}]}}, "increase"),
        ({"canary": {"steps": [{"traffic": 50}]}}, "end at 100"),
        ({"canary": {"step_interval": "3m"}}, "seconds"),
        ({"canary": {}, "metrics": [{"name": "serving_latency"}]}, "use one of"),
        ({"canary": {}, "metrics": [{"name": "router_latency", "threshold_check": {}}]}, "stat"),
        ({"blue_green": {}, "final_target_replicas": 0}, "at least 1"),
    ],
)
async def test_a_bad_specification_is_refused(pair: Pair, spec: Any, problem: str) -> None:
    with pytest.raises(together.BadRequestError, match=problem):
        await pair.create(**spec)


async def test_the_source_must_serve(pair: Pair) -> None:
    with pytest.raises(together.BadRequestError, match="source must be READY"):
        await pair.client.endpoints.rollouts.create(
            pair.endpoint_id,
            source_deployment_id=pair.target,
            target_deployment_id=pair.source,
            blue_green={},
        )


async def test_verbs_have_their_states(pair: Pair) -> None:
    rollouts = pair.client.endpoints.rollouts
    rollout = await pair.create(canary={"step_interval": "3600s"})
    for verb in (rollouts.pause, rollouts.resume, rollouts.promote):
        with pytest.raises(together.BadRequestError, match="PENDING"):
            await verb(rollout.id, endpoint_id=pair.endpoint_id)
    await rollouts.start(rollout.id, endpoint_id=pair.endpoint_id)
    with pytest.raises(together.BadRequestError, match="REVERT"):
        await rollouts.cancel(
            rollout.id,
            endpoint_id=pair.endpoint_id,
            reason="x",
            disposition="CANCEL_DISPOSITION_REVERT",
        )
    with pytest.raises(together.BadRequestError, match="delete"):
        await rollouts.delete(rollout.id, endpoint_id=pair.endpoint_id)
    with pytest.raises(together.ConflictError, match="etag"):
        await rollouts.pause(rollout.id, endpoint_id=pair.endpoint_id, etag="stale")


async def test_rollouts_are_listed_by_whether_they_are_over(pair: Pair) -> None:
    rollout = await pair.started(canary={"step_interval": "3600s"})
    rollouts = pair.client.endpoints.rollouts

    async def listed(which: Any) -> list[str]:
        return [r.id async for r in rollouts.list(pair.endpoint_id, filter=which)]

    assert await listed("ROLLOUT_FILTER_ACTIVE") == [rollout.id]
    await rollouts.promote(rollout.id, endpoint_id=pair.endpoint_id)
    await pair.at(rollout, "COMPLETED")
    assert await listed("ROLLOUT_FILTER_ACTIVE") == []
    assert await listed("ROLLOUT_FILTER_TERMINAL") == [rollout.id]
