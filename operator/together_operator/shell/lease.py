"""The Lease that lets only one operator act, with a fence in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp
import structlog
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

log = structlog.get_logger(__name__)


class LeaseGate:
    """`Gate` of the ports: held while the Lease was renewed recently enough.

    The process that is stopped or starved and wakes up after its Lease ended sees that by its own
    clock, before it acts and before it could notice that another process renewed the Lease.

    Args:
        seconds: how long the Lease holds without being renewed.
    """

    def __init__(
        self,
        api: client.ApiClient,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = LeaseLock(name, namespace, identity, api)
        self._api = api
        self._seconds = seconds
        self._clock = clock
        self._renewed = float("-inf")
        self._lost = False

    def is_held(self) -> bool:
        """False from before the moment on at which another process may take over."""
        # A fifth of the time is the margin for one request that is under way already.
        return not self._lost and self._clock() - self._renewed < self._seconds * 0.8

    async def run(self, on_acquired: Callable[[], None]) -> None:
        """Acquire, call `on_acquired`, and renew until the Lease is lost or this is cancelled."""

        async def started() -> None:
            on_acquired()

        async def stopped() -> None:
            self._lost = True

        config = Config(
            self._lock,
            lease_duration=round(self._seconds),
            renew_deadline=self._seconds * 2 / 3,
            retry_period=max(1.0, self._seconds / 7.5),
            onstarted_leading=started,
            onstopped_leading=stopped,
        )
        await _Election(config, self._mark).run()
        log.error("the Lease was lost", lease=self._lock.name)

    def _mark(self, began: float) -> None:
        self._renewed = began

    async def release(self) -> None:
        """Give the Lease up, so that the next process need not wait for its end."""
        if not self.is_held():
            return
        self._lost = True
        leases = client.CoordinationV1Api(self._api)
        try:
            lease = await leases.read_namespaced_lease(self._lock.name, self._lock.namespace)
            if lease.spec is None or lease.spec.holder_identity != self._lock.identity:
                return
            lease.spec.holder_identity = "released"
            lease.spec.lease_duration_seconds = 1
            await leases.replace_namespaced_lease(self._lock.name, self._lock.namespace, lease)
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError):
            log.info("the Lease could not be released; it ends by itself")


class _Election(LeaderElection):
    """The library's election, which survives an API server that can't be reached for a while."""

    def __init__(self, config: Config, mark: Callable[[float], None]) -> None:
        super().__init__(config)
        self._mark = mark

    async def try_acquire_or_renew(self) -> bool:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.election_config.renew_deadline / 2):
                held: bool = await super().try_acquire_or_renew()
        except (ApiException, aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("the Lease could not be renewed", error=type(error).__name__)
            return False
        if held:
            # Counted from before the request: the server's count can't have begun earlier.
            self._mark(began)
        return held
