"""When a holder's Lease is over."""

from __future__ import annotations

import sys
import time

import pytest

from tests.support.fakes.leases import Leases
from together_operator.shell.lease import LeaseGate, seconds_since_boot

SECONDS = 15.0


def candidate(leases: Leases, identity: str) -> LeaseGate:
    """One whose clock stands still."""
    return LeaseGate(leases, "system", "lease", identity, SECONDS, lambda: 100.0)


async def test_who_reads_that_the_lease_is_anothers_holds_it_no_longer() -> None:
    leases = Leases()
    first, second = candidate(leases, "first"), candidate(leases, "second")
    assert await first._try()
    leases.stored = None  # somebody deleted it
    assert await second._try()

    assert not await first._try()

    assert not first.is_held()
    assert second.is_held()


async def test_it_stays_over_when_the_other_is_gone() -> None:
    leases = Leases()
    first, second = candidate(leases, "first"), candidate(leases, "second")
    await first._try()
    leases.stored = None
    await second._try()
    await first._try()

    await second.release()
    await first._try()

    assert not first.is_held()


async def test_who_never_had_it_may_have_it_later() -> None:
    leases = Leases()
    first, second = candidate(leases, "first"), candidate(leases, "second")
    await first._try()
    assert not await second._try()

    await first.release()

    assert await second._try()
    assert second.is_held()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such clock")
def test_the_clock_goes_on_while_the_machine_sleeps() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    now = seconds_since_boot()

    assert before <= now <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert LeaseGate(Leases(), "n", "l", "me", SECONDS)._clock is seconds_since_boot
