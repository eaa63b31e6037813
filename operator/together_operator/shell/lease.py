"""The Lease that lets only one operator act, with a fence in time.

The protocol is client-go's: a Lease may be taken over when its record has not changed for its
duration, by the candidate's own clock, so that clocks need not agree. The election in
`kubernetes.aio` 37 can't be used: it sends a parameter that the same library's validation refuses,
and it compares wall clocks. docs/design/2026-11-23-lease.md has the measurement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import aiohttp
import structlog
from kubernetes.aio.client.exceptions import ApiException

from together_operator.domain.names import LEASE_LABELS

log = structlog.get_logger(__name__)

Json = dict[str, Any]

_NEVER = float("-inf")
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_OUTAGES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_since_boot() -> float:
    """Seconds that only rise, and go on while the machine sleeps, as the others' clocks do.

    Linux' CLOCK_MONOTONIC, which Python's is, stands still meanwhile.
    """
    return time.clock_gettime(_CLOCK)


class Rest(Protocol):
    """JSON requests to Kubernetes; raises the client library's `ApiException`."""

    async def ask(
        self,
        method: Literal["GET", "POST", "PUT"],
        path: str,
        names: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """The JSON of a successful answer; `names` fill the path."""


class LeaseGate:
    """`Gate` of the ports: held while the Lease was renewed recently enough.

    A process that is stopped, starved or suspended with its machine and wakes up after its Lease
    ended sees that by its own clock, before it acts and before it could notice that another process
    took the Lease. Where it does read that another has it, whatever the reason, its own is over.

    Args:
        seconds: how long the Lease holds without being renewed.
        clock: seconds that only rise, also while the machine sleeps.
    """

    def __init__(
        self,
        rest: Rest,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        self._rest = rest
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed = _NEVER
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
                lease = await self._ask("GET")
                spec = lease.get("spec") or {}
                if spec.get("holderIdentity") == self._identity:
                    await self._ask("PUT", {**lease, "spec": {**spec, "holderIdentity": ""}})
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
            lease = await self._ask("GET")
        except ApiException as error:
            if error.status != 404:
                raise
            new = _labelled({**self.reference, "spec": self._spec(transitions=0)})
            await self._rest.ask("POST", _LEASES, {"namespace": self._namespace}, body=new)
            return True
        spec: Json = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder and holder != self._identity:
            if self._renewed != _NEVER:
                # It was ours: another took it over, or it was deleted or edited by hand.
                self._over = True
                return False
            if not self._has_ended(lease):
                return False
        if holder == self._identity:
            spec = {**spec, "renewTime": _now(), "leaseDurationSeconds": round(self._seconds)}
        else:
            spec = self._spec(transitions=(spec.get("leaseTransitions") or 0) + 1)
        # The resourceVersion that was read is the precondition: one candidate wins.
        await self._ask("PUT", _labelled({**lease, "spec": spec}))
        return True

    async def _ask(self, method: Literal["GET", "PUT"], body: Json | None = None) -> Json:
        path, names = _LEASES + "/{name}", {"namespace": self._namespace, "name": self._name}
        lease: Json = await self._rest.ask(method, path, names, body=body)
        return lease

    def _has_ended(self, lease: Json) -> bool:
        """True when another's record has not changed for as long as it holds."""
        version = lease["metadata"]["resourceVersion"]
        now = self._clock()
        if version != self._seen[0]:
            self._seen = (version, now)
        duration = (lease.get("spec") or {}).get("leaseDurationSeconds")
        return now - self._seen[1] >= (duration or self._seconds)

    def _spec(self, *, transitions: int) -> Json:
        now = _now()
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._seconds),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }


def _labelled(lease: Json) -> Json:
    metadata: Json = lease["metadata"]
    labels = {**(metadata.get("labels") or {}), **LEASE_LABELS}
    return {**lease, "metadata": {**metadata, "labels": labels}}


def _now() -> str:
    """As Kubernetes' MicroTime is written."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
