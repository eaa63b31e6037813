"""Autoscaling and idling: what a `ModelProvider` may rely on."""

import dataclasses

import pytest

from tests.contract.situations import deployed, imported_model, in_state, new_deployment
from together_operator.domain import errors
from together_operator.domain.together import ScalingMetric, Tuning
from together_operator.ports import ModelProvider

TUNING = Tuning(
    metrics=(ScalingMetric("ttft", 500.0, "p95"), ScalingMetric("gpu_utilization", 80.0)),
    scale_up_window=60,
    scale_down_window=600,
    scale_to_zero_window=3600,
    inactive_timeout=60,
)


async def test_a_deployment_is_created_with_its_autoscaling(provider: ModelProvider) -> None:
    endpoint = await provider.create_endpoint("e")
    new = await new_deployment(provider, await imported_model(provider), "d", replicas=1)
    new = dataclasses.replace(new, max_replicas=4, tuning=TUNING)

    created = await provider.create_deployment(endpoint.id, new)

    assert (created.min_replicas, created.max_replicas) == (1, 4)
    assert created.tuning == TUNING
    assert created.desired_replicas == 1


async def test_what_a_change_does_not_set_stays(provider: ModelProvider) -> None:
    served = await deployed(provider)
    place = served.endpoint.id, served.deployment.id
    await provider.scale_deployment(*place, 1, 4, TUNING)

    changed = await provider.scale_deployment(*place, 1, 3, Tuning(scale_up_window=30))

    assert (changed.min_replicas, changed.max_replicas) == (1, 3)
    assert changed.tuning == dataclasses.replace(TUNING, scale_up_window=30)


async def test_idling_is_turned_off_with_zeros(provider: ModelProvider) -> None:
    served = await deployed(provider)
    place = served.endpoint.id, served.deployment.id
    await provider.scale_deployment(*place, 1, 4, TUNING)

    off = Tuning(scale_to_zero_window=0, inactive_timeout=0)
    changed = await provider.scale_deployment(*place, 1, 4, off)

    assert changed.tuning.scale_to_zero_window in {None, 0}
    assert changed.tuning.inactive_timeout in {None, 0}
    assert changed.tuning.metrics == TUNING.metrics


async def test_settings_do_not_move_replicas(provider: ModelProvider) -> None:
    served = await deployed(provider)
    await in_state(provider, served, "READY")

    changed = await provider.scale_deployment(
        served.endpoint.id, served.deployment.id, 1, 1, Tuning(inactive_timeout=30)
    )

    assert (changed.state, changed.ready_replicas) == ("READY", 1)


@pytest.mark.parametrize(
    "tuning",
    [
        Tuning(metrics=(ScalingMetric("gpu_utilization", 101.0),)),
        Tuning(metrics=(ScalingMetric("inflight_requests", 8.0, "p95"),)),
        Tuning(inactive_timeout=29),
    ],
)
async def test_impossible_settings_are_rejected(provider: ModelProvider, tuning: Tuning) -> None:
    served = await deployed(provider)
    with pytest.raises(errors.Rejected):
        await provider.scale_deployment(served.endpoint.id, served.deployment.id, 1, 2, tuning)
