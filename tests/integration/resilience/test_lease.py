"""The Lease on a real API server: client-go's protocol, and the fence in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio import client, config

from together_operator.adapters.rest import KubeRest
from together_operator.shell.lease import LeaseGate

if TYPE_CHECKING:
    from tests.support.cluster import ThrowawayCluster

pytestmark = pytest.mark.integration
SECONDS = 6.0
NAME = "one-of-us"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Leases:
    """Candidates for one Lease, each with its own clock."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def candidate(self, identity: str, clock: Clock) -> LeaseGate:
        """One of them."""
        return LeaseGate(KubeRest(self._api), self._namespace, NAME, identity, SECONDS, clock)

    async def record(self) -> client.V1LeaseSpec:
        """What everybody sees."""
        leases = client.CoordinationV1Api(self._api)
        spec = (await leases.read_namespaced_lease(NAME, self._namespace)).spec
        assert spec is not None
        return spec


@pytest.fixture
async def leases(cluster: ThrowawayCluster, namespace: str) -> AsyncIterator[Leases]:
    """As the administrator, in a namespace of its own."""
    configuration = client.Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(cluster.kubeconfig()), client_configuration=configuration
    )
    async with client.ApiClient(configuration) as api:
        yield Leases(api, namespace)


async def test_a_lease_that_does_not_exist_is_created(leases: Leases) -> None:
    gate = leases.candidate("a", Clock())

    assert not gate.is_held()
    assert await gate._try()

    assert gate.is_held()
    record = await leases.record()
    assert (record.holder_identity, record.lease_duration_seconds) == ("a", 6)
    assert record.lease_transitions == 0


async def test_of_candidates_at_the_same_time_one_wins(leases: Leases) -> None:
    gates = [leases.candidate(f"candidate-{n}", Clock()) for n in range(8)]

    won = await asyncio.gather(*(gate._try() for gate in gates))

    assert won.count(True) == 1
    assert [gate.is_held() for gate in gates] == won


async def test_a_lease_is_taken_over_once_it_has_not_changed_for_as_long_as_it_holds(
    leases: Leases,
) -> None:
    """The heir's clock counts from when it first saw the record, whatever the record says."""
    clock, other = Clock(), Clock()
    holder, heir = leases.candidate("holder", clock), leases.candidate("heir", other)
    assert await holder._try()
    assert not await heir._try()

    other.now += SECONDS - 0.1
    clock.now += SECONDS - 0.1
    assert not await heir._try()
    assert not holder.is_held(), "the holder is out before the heir is in"
    other.now += 0.1
    assert await heir._try()

    record = await leases.record()
    assert (record.holder_identity, record.lease_transitions) == ("heir", 1)
    assert not await holder._try(), "it is another's now"


async def test_a_holder_that_renews_keeps_it(leases: Leases) -> None:
    clock, other = Clock(), Clock()
    holder, heir = leases.candidate("holder", clock), leases.candidate("heir", other)
    assert await holder._try()
    for _ in range(5):
        clock.now += SECONDS / 2
        other.now += SECONDS / 2
        assert await holder._try()
        assert not await heir._try()
        assert holder.is_held()
    assert (await leases.record()).lease_transitions == 0


@pytest.mark.parametrize(("later", "held"), [(0.79, True), (0.81, False)])
async def test_the_fence_closes_before_anybody_else_can_take_over(
    leases: Leases, later: float, held: bool
) -> None:
    clock = Clock()
    gate = leases.candidate("a", clock)
    assert await gate._try()

    clock.now += later * SECONDS

    assert gate.is_held() is held


async def test_who_wakes_up_late_holds_nothing_until_it_has_renewed(leases: Leases) -> None:
    clock, acquired = Clock(), asyncio.Event()
    gate = leases.candidate("a", clock)
    running = asyncio.create_task(gate.run(acquired.set))
    await asyncio.wait_for(acquired.wait(), 30)

    clock.now += SECONDS  # it was stopped for so long, and nobody else was there
    assert not gate.is_held()

    async with asyncio.timeout(30):
        while not gate.is_held():  # noqa: ASYNC110 - the gate has no event for it
            await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()


async def test_who_wakes_up_after_another_took_over_gives_up_for_good(leases: Leases) -> None:
    clock, other, acquired = Clock(), Clock(), asyncio.Event()
    gate, heir = leases.candidate("a", clock), leases.candidate("heir", other)
    running = asyncio.create_task(gate.run(acquired.set))
    await asyncio.wait_for(acquired.wait(), 30)
    while not await heir._try():
        other.now += SECONDS
    clock.now += SECONDS  # it was stopped for so long

    await asyncio.wait_for(running, 30)

    clock.now -= SECONDS
    assert not gate.is_held(), "for good"
    assert (await leases.record()).holder_identity == "heir"


async def test_a_lease_that_was_released_is_taken_at_once(leases: Leases) -> None:
    holder, heir = leases.candidate("holder", Clock()), leases.candidate("heir", Clock())
    assert await holder._try()
    assert not await heir._try()

    await holder.release()

    assert not holder.is_held()
    assert await heir._try()
    assert (await leases.record()).holder_identity == "heir"


async def test_a_restarted_holder_of_the_same_name_goes_on(leases: Leases) -> None:
    assert await leases.candidate("pod-0", Clock())._try()

    assert await leases.candidate("pod-0", Clock())._try()

    assert (await leases.record()).lease_transitions == 0


async def test_what_was_released_by_another_is_not_released_again(leases: Leases) -> None:
    clock, other = Clock(), Clock()
    holder, heir = leases.candidate("holder", clock), leases.candidate("heir", other)
    assert await holder._try()
    assert not await heir._try()
    other.now += SECONDS
    assert await heir._try()

    await holder.release()

    assert (await leases.record()).holder_identity == "heir"
