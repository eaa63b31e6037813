"""Two operators at once: whatever the Lease says, nothing is done twice."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.resilience.world import World

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
NAMES = [f"m{number}" for number in range(6)]
THINGS = ("model", "import", "endpoint", "deployment")


def assert_once(world: World) -> None:
    """Everything was created exactly once."""
    counts = world.created()
    assert {what: n for what, n in counts.items() if n != 1} == {}
    kinds = [what.split()[0] for what in counts]
    assert {kind: kinds.count(kind) for kind in THINGS} == dict.fromkeys(THINGS, len(NAMES))


def test_in_a_rolling_update_the_new_one_waits_and_takes_over_at_once(world: World) -> None:
    old = world.start("old")
    old.wait_ready()
    new = world.start("new")
    world.apply(*(m for name in NAMES for m in world.pair(name)))
    world.until(lambda: bool(world.created()), "the old one has begun")
    world.until(lambda: bool(world.logged(new, "started")), "the new one runs")
    assert world.logged(new, "action") == []

    old.stop()

    new.wait_ready()
    world.ready(NAMES)
    assert_once(world)


def test_a_paused_operator_that_wakes_up_after_its_lease_ends_does_nothing(world: World) -> None:
    paused = world.start("paused", lease_seconds="6")
    paused.wait_ready()
    world.apply(*(m for name in NAMES for m in world.pair(name)))
    world.until(lambda: len(world.created()) > 2, "the first one is in the middle of it")
    assert paused.process is not None
    paused.process.send_signal(signal.SIGSTOP)
    acted = len(world.logged(paused, "action"))

    heir = world.start("heir", lease_seconds="6")
    heir.wait_ready()
    world.ready(NAMES)
    paused.process.send_signal(signal.SIGCONT)

    world.until(paused.has_ended, "it sees that its Lease is over, and ends")
    # What it had sent before it was paused may be answered now; nothing else may be begun.
    assert len(world.logged(paused, "action")) - acted <= 2 * len(NAMES)
    assert_once(world)
    assert heir.process is not None
    assert not heir.has_ended()


def test_two_that_both_believe_to_be_alone_create_nothing_twice(world: World) -> None:
    """A Lease of another name for each, as by a wrong configuration: intents are the fence."""
    with world.more_leases("lease-one", "lease-other"):
        one = world.start("one", lease_name="lease-one")
        other = world.start("other", lease_name="lease-other")
        one.wait_ready()
        other.wait_ready()

        world.apply(*(m for name in NAMES for m in world.pair(name)))

        world.ready(NAMES)
        assert_once(world)
        assert world.logged(one, "action")
        assert world.logged(other, "action")
