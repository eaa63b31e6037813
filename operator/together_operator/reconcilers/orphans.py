"""Compares what is at Together in this cluster's name with what objects ask for, and removes it.

The order of the looks is what makes the answer sound. What is found at Together was created for
an object that existed before, so objects are listed after it; and what has gone meanwhile, with
its object, is seen to be gone by one more look at the thing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from together_operator.api.v1alpha1 import SecretKeyRef
from together_operator.domain.errors import NotFound, OperatorError
from together_operator.domain.orphans import Claims, Orphan, OrphanKind, find_orphans
from together_operator.domain.together import Deployment, DeploymentState, TrafficShare
from together_operator.engine.store import Body
from together_operator.ports import Events, Gate, ModelProvider
from together_operator.reconcilers.account import Accounts

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
"""Between looks at a deployment that is being stopped."""

_ENDED = frozenset((DeploymentState.STOPPED, DeploymentState.FAILED))


class Inventory(Protocol):
    """All objects of one kind, in all namespaces, read from the API server itself."""

    def bodies(self) -> AsyncIterator[Body]:
        """Each live object."""
        ...


class Meter(Protocol):
    """Where a comparison reports what it found."""

    def compared(self, left: dict[str, int]) -> None:
        """A comparison ended; numbers of orphans by kind."""


@dataclass(frozen=True, slots=True)
class Found:
    """An orphan, and through which account it was seen."""

    orphan: Orphan
    provider: ModelProvider


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found. `skipped` says which keys it could not look with, and why."""

    found: tuple[Found, ...]
    skipped: tuple[str, ...] = ()


class Comparison:
    """See the module."""

    def __init__(
        self, accounts: Accounts, models: Inventory, deployments: Inventory, cluster_id: str
    ) -> None:
        self._accounts = accounts
        self._models = models
        self._deployments = deployments
        self._cluster_id = cluster_id

    async def look(self) -> Report:
        """Compare once.

        Raises:
            OperatorError: the objects can't be listed; nothing can be said without them.
        """
        claims, references = Claims(), set[tuple[str, str, str]]()
        await self._ask(claims, references)
        providers, skipped = await self._providers(references)
        seen = []
        for provider in providers:
            try:
                seen.append(
                    (provider, await provider.list_models(), await provider.list_endpoints())
                )
            except OperatorError as error:
                skipped.append(str(error))
        await self._ask(claims, references)
        found = [
            Found(orphan, provider)
            for provider, models, endpoints in seen
            for orphan in find_orphans(models, endpoints, claims, self._cluster_id)
        ]
        still = [one for one in found if await self._is_still_there(one)]
        return Report(tuple(still), tuple(skipped))

    async def _ask(self, claims: Claims, references: set[tuple[str, str, str]]) -> None:
        async for body in self._models.bodies():
            claims.add_model(body)
            references.update(_reference(body))
        async for body in self._deployments.bodies():
            claims.add_deployment(body)
            references.update(_reference(body))

    async def _providers(
        self, references: set[tuple[str, str, str]]
    ) -> tuple[list[ModelProvider], list[str]]:
        """One for each key: the operator's own, and those that objects refer to."""
        found: dict[int, ModelProvider] = {}
        skipped = []
        own = {("", "", "")} if self._accounts.has_default else set()
        for namespace, name, key in sorted(references | own):
            reference = SecretKeyRef(name=name, key=key) if name else None
            try:
                account = await self._accounts.of(namespace, reference)
            except OperatorError as error:
                where = f"Secret {namespace}/{name}" if name else "The operator's own key"
                skipped.append(f"{where}: {error}")
            else:
                found[id(account)] = account.provider
        return list(found.values()), skipped

    @staticmethod
    async def _is_still_there(one: Found) -> bool:
        orphan = one.orphan
        try:
            if orphan.kind is OrphanKind.MODEL:
                await one.provider.get_model(orphan.id)
            elif orphan.kind is OrphanKind.ENDPOINT:
                await one.provider.get_endpoint(orphan.id)
            else:
                return await _deployment(one) is not None
        except NotFound:
            return False
        return True


def _reference(body: Body) -> list[tuple[str, str, str]]:
    reference = body.get("spec", {}).get("apiKeySecretRef")
    if not reference:
        return []
    return [(body["metadata"]["namespace"], reference["name"], reference["key"])]


async def _deployment(one: Found) -> Deployment | None:
    try:
        found = await one.provider.list_deployments(one.orphan.endpoint_id)
    except NotFound:
        return None
    return next((d for d in found if d.id == one.orphan.id), None)


async def remove(one: Found, seconds: float) -> None:
    """Remove one orphan; a deployment is stopped first, which ends its bill.

    Args:
        seconds: how long a deployment may take to stop.

    Raises:
        TimeoutError: it did not stop in time; it was told to, though.
        OperatorError: Together refused, or can't be reached.
    """
    orphan = one.orphan
    with contextlib.suppress(NotFound):
        if orphan.kind is OrphanKind.MODEL:
            await one.provider.delete_model(orphan.id)
        elif orphan.kind is OrphanKind.ENDPOINT:
            await one.provider.delete_endpoint(orphan.id)
        else:
            async with asyncio.timeout(seconds):
                await _remove_deployment(one)


async def _remove_deployment(one: Found) -> None:
    endpoint_id, deployment_id = one.orphan.endpoint_id, one.orphan.id
    while (deployment := await _deployment(one)) is not None:
        if (deployment.min_replicas, deployment.max_replicas) != (0, 0):
            await one.provider.scale_deployment(endpoint_id, deployment_id, 0, 0)
        elif deployment.state in _ENDED:
            endpoint = await one.provider.get_endpoint(endpoint_id)
            rest: Sequence[TrafficShare] = [
                share for share in endpoint.traffic if share.deployment_id != deployment_id
            ]
            if len(rest) < len(endpoint.traffic):
                await one.provider.set_traffic(endpoint_id, rest, endpoint.etag)
            await one.provider.delete_deployment(endpoint_id, deployment_id)
            return
        else:
            await asyncio.sleep(POLL_SECONDS)


class OrphanWatch:
    """Compares once a period, and tells of what is new in the log, as a metric and as an event.

    Args:
        subject: what the event is about: the operator's Lease, since an orphan has no object.
    """

    def __init__(
        self,
        comparison: Comparison,
        gate: Gate,
        events: Events,
        meter: Meter,
        subject: Body,
    ) -> None:
        self._comparison = comparison
        self._gate = gate
        self._events = events
        self._meter = meter
        self._subject = subject
        self._told: frozenset[str] = frozenset()

    async def run(self, seconds: float) -> None:
        """Compare every `seconds`, the first time after a minute at the latest."""
        await asyncio.sleep(min(seconds, 60.0))
        while True:
            if self._gate.is_held():
                await self.compare()
            await asyncio.sleep(seconds)

    async def compare(self) -> None:
        """Compare once. Where that is not possible the metric keeps its last value."""
        try:
            report = await self._comparison.look()
        except OperatorError as error:
            log.warning("cannot compare with Together", error=str(error))
            return
        for problem in report.skipped:
            log.warning("cannot compare with Together", error=problem)
        if report.skipped and not report.found:
            return
        left = {kind.value: 0 for kind in OrphanKind}
        for one in report.found:
            left[one.orphan.kind] += 1
        self._meter.compared(left)
        now = frozenset(one.orphan.id for one in report.found)
        if now - self._told:
            self._tell([one.orphan for one in report.found], left)
        self._told = now

    def _tell(self, orphans: Sequence[Orphan], left: dict[str, int]) -> None:
        for orphan in orphans:
            if orphan.id not in self._told:
                log.warning(
                    "orphan", what=orphan.kind.value, name=orphan.name, state=orphan.state or None
                )
        counts = ", ".join(f"{number} {kind}s" for kind, number in left.items() if number)
        first = ", ".join(orphan.name for orphan in orphans[:5])
        message = (
            f"No object asks for {counts} at Together that are this cluster's: {first}"
            f"{' and more' if len(orphans) > 5 else ''}. `together-operator orphans` lists them."
        )
        self._events.publish(self._subject, warning=True, reason="OrphansFound", message=message)
