"""The Lease that lets only one operator act, with a fence in time.

The protocol is client-go's: a Lease may be taken over when its record has not changed for its
duration, by the candidate's own monotonic clock, so that clocks need not agree. The election in
`kubernetes.aio` 37 can't be used: it sends a parameter that the same library's validation refuses,
and it compares wall clocks. docs/design/2026-11-23-lease.md has the measurement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import structlog
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

log = structlog.get_logger(__name__)

_OUTAGES = (aiohttp.ClientError, TimeoutError, OSError)


class LeaseGate:
    """`Gate` of the ports: held while the Lease was renewed recently enough.

    A process that is stopped or starved and wakes up after its Lease ended sees that by its own
    clock, before it acts and before it could notice that another process took the Lease.

    Args:
        seconds: how long the Lease holds without being renewed.
        clock: monotonic seconds.
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
        self._leases = client.CoordinationV1Api(api)
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed = float("-inf")
        self._seen: tuple[str | None, float] = (None, 0.0)
        self._over = False

    @property
    def reference(self) -> dict[str, Any]:
        """The Lease as the subject of an event."""
        metadata = {"namespace": self._namespace, "name": self._name}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
        }

    def is_held(self) -> bool:
        """False from before the moment on at which another process may take over."""
        # A fifth of the time is the margin for a request that is under way already.
        return not self._over and self._clock() - self._renewed < self._seconds * 0.8

    async def run(self, on_acquired: Callable[[], None]) -> None:
        """Acquire, call `on_acquired`, and renew; returns when the Lease is lost."""
        period = self._seconds / 6
        while not await self._try():  # noqa: ASYNC110 - nobody tells when a Lease ends
            await asyncio.sleep(period)
        on_acquired()
        while self.is_held():
            await asyncio.sleep(period)
            await self._try()
        self._over = True
        log.error("the Lease was lost", lease=self._name)

    async def release(self) -> None:
        """Give the Lease up, so that the next process need not wait for its end."""
        held, self._over = self.is_held(), True
        if not held:
            return
        try:
            # An API server that hangs must not keep the process from ending.
            async with asyncio.timeout(self._seconds / 3):
                lease = await self._leases.read_namespaced_lease(self._name, self._namespace)
                if lease.spec is not None and lease.spec.holder_identity == self._identity:
                    lease.spec.holder_identity = ""
                    await self._leases.replace_namespaced_lease(self._name, self._namespace, lease)
        except (ApiException, *_OUTAGES):
            log.info("the Lease could not be released; it ends by itself")

    async def _try(self) -> bool:
        """Acquire or renew once; False when it is not to be had now."""
        # Counted from before the request, because the others count from after it.
        began = self._clock()
        try:
            async with asyncio.timeout(self._seconds / 3):
                held = await self._acquire_or_renew()
        except ApiException as error:
            if error.status != 409:  # 409: another candidate was faster, which is normal
                log.warning("the Lease can't be had", status=error.status)
            return False
        except _OUTAGES as error:
            log.warning("the Lease can't be had", error=type(error).__name__)
            return False
        if held:
            self._renewed = began
        return held

    async def _acquire_or_renew(self) -> bool:
        try:
            lease = await self._leases.read_namespaced_lease(self._name, self._namespace)
        except ApiException as error:
            if error.status != 404:
                raise
            metadata = client.V1ObjectMeta(name=self._name, namespace=self._namespace)
            new = client.V1Lease(metadata=metadata, spec=self._spec(transitions=0))
            await self._leases.create_namespaced_lease(self._namespace, new)
            return True
        spec = lease.spec or client.V1LeaseSpec()
        holder = spec.holder_identity
        if holder and holder != self._identity and not self._has_ended(lease):
            return False
        transitions = spec.lease_transitions or 0
        if holder == self._identity:
            spec.renew_time = datetime.now(UTC)
            spec.lease_duration_seconds = round(self._seconds)
        else:
            spec = self._spec(transitions=transitions + 1)
        lease.spec = spec
        # The resourceVersion that was read is the precondition: one candidate wins.
        await self._leases.replace_namespaced_lease(self._name, self._namespace, lease)
        return True

    def _has_ended(self, lease: client.V1Lease) -> bool:
        """True when another's record has not changed for as long as it holds."""
        version = lease.metadata.resource_version if lease.metadata is not None else None
        now = self._clock()
        if version != self._seen[0]:
            self._seen = (version, now)
        duration = lease.spec.lease_duration_seconds if lease.spec is not None else None
        return now - self._seen[1] >= (duration or self._seconds)

    def _spec(self, *, transitions: int) -> client.V1LeaseSpec:
        now = datetime.now(UTC)
        return client.V1LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=round(self._seconds),
            acquire_time=now,
            renew_time=now,
            lease_transitions=transitions,
        )
