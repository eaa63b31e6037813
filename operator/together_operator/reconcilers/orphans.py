"""Compares what is at Together in this cluster's name with what objects ask for, and removes it.

The order of the looks is what makes the answer sound. What is found at Together was created for
an object that existed before, so objects are listed after it; and what has gone meanwhile, with
its object, is seen to be gone by one more look at the thing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from together_operator.api.v1alpha1 import SecretKeyRef
from together_operator.domain.deployment.actions import ActOnRollout, DeleteRollout
from together_operator.domain.deployment.removal import ending
from together_operator.domain.errors import Conflict, NotFound, OperatorError, Rejected
from together_operator.domain.orphans import Claims, Orphan, OrphanKind, find_orphans
from together_operator.domain.together import DOWN, Deployment, TrafficShare
from together_operator.domain.together_rollouts import Rollout
from together_operator.engine.store import Body
from together_operator.ports import Events, Gate, ModelProvider
from together_operator.reconcilers.account import Accounts

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
"""Between looks at a deployment that is being stopped."""


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
    """See the module.

    Args:
        namespaces: whose keys are used; empty: all. Objects of all namespaces count in any case,
            since what carries the cluster's mark may be that of any of them.
    """

    def __init__(
        self,
        accounts: Accounts,
        models: Inventory,
        deployments: Inventory,
        cluster_id: str,
        namespaces: Collection[str] = (),
    ) -> None:
        self._accounts = accounts
        self._models = models
        self._deployments = deployments
        self._cluster_id = cluster_id
        self._namespaces = namespaces

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
        found: dict[str, Found] = {}  # by id: several keys may be of one project
        for provider, models, endpoints in seen:
            for orphan in find_orphans(models, endpoints, claims, self._cluster_id):
                found.setdefault(orphan.id, Found(orphan, provider))
        still = []
        for one in found.values():
            try:
                if await self._is_still_there(one):
                    still.append(one)
            except OperatorError as error:  # of one key: what others see is told all the same
                skipped.append(f"{one.orphan.kind.value} {one.orphan.name}: {error}")
        return Report(tuple(still), tuple(skipped))

    async def _ask(self, claims: Claims, references: set[tuple[str, str, str]]) -> None:
        async for body in self._models.bodies():
            claims.add_model(body)
            references.update(self._reference(body))
        async for body in self._deployments.bodies():
            claims.add_deployment(body)
            references.update(self._reference(body))

    def _reference(self, body: Body) -> list[tuple[str, str, str]]:
        reference = body.get("spec", {}).get("apiKeySecretRef")
        namespace = body["metadata"]["namespace"]
        if not reference or (self._namespaces and namespace not in self._namespaces):
            return []
        return [(namespace, reference["name"], reference["key"])]

    async def _providers(
        self, references: set[tuple[str, str, str]]
    ) -> tuple[list[ModelProvider], list[str]]:
        """One for each key: the operator's own, and those that objects refer to."""
        found: dict[int, ModelProvider] = {}
        skipped = []
        own = {("", "", "")} if self._accounts.has_own_key else set()
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


async def _deployment(one: Found) -> Deployment | None:
    try:
        found = await one.provider.list_deployments(one.orphan.endpoint_id)
    except NotFound:
        return None
    return next((d for d in found if d.id == one.orphan.id), None)


async def remove(one: Found, seconds: float) -> None:
    """Remove one orphan; a deployment is stopped first, which ends its bill, and a rollout that
    it takes part in is ended before that.

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
        rollout = await _rollout_of(one)
        if rollout is not None:
            await _end(one.provider, rollout)
        elif (deployment.min_replicas, deployment.max_replicas) != (0, 0):
            await one.provider.scale_deployment(endpoint_id, deployment_id, 0, 0)
        elif deployment.state in DOWN:
            endpoint = await one.provider.get_endpoint(endpoint_id)
            rest: Sequence[TrafficShare] = [
                share for share in endpoint.traffic if share.deployment_id != deployment_id
            ]
            if len(rest) < len(endpoint.traffic):
                await one.provider.set_traffic(endpoint_id, rest, endpoint.etag)
            await one.provider.delete_deployment(endpoint_id, deployment_id)
            return
        # Also what was just changed needs a moment until a look shows it.
        await asyncio.sleep(POLL_SECONDS)


async def _rollout_of(one: Found) -> Rollout | None:
    """The open rollout that the deployment takes part in: it could not be stopped until the end."""
    rollouts = await one.provider.list_rollouts(one.orphan.endpoint_id)
    mine = (r for r in rollouts if r.is_open and one.orphan.id in {r.source_id, r.target_id})
    return next(mine, None)


async def _end(provider: ModelProvider, rollout: Rollout) -> None:
    """The next step to a rollout's end; one that comes too late is no matter."""
    action = ending(rollout, "No object asks for the deployment any more").action
    with contextlib.suppress(Conflict, NotFound, Rejected):
        match action:
            case ActOnRollout(endpoint_id, rollout_id, verb, why):
                await provider.act_on_rollout(endpoint_id, rollout_id, verb, why)
            case DeleteRollout(endpoint_id, rollout_id):
                await provider.delete_rollout(endpoint_id, rollout_id)


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
        self._left: dict[str, int] = {}

    async def run(self, seconds: float) -> None:
        """Compare every `seconds`, the first time after a minute at the latest."""
        await asyncio.sleep(min(seconds, 60.0))
        while True:
            try:
                if self._gate.is_held():
                    await self.compare()
            except Exception:  # a bug in one thing's way must not end it for the process's life
                log.exception("comparison with Together crashed")
            await asyncio.sleep(seconds)

    async def compare(self) -> None:
        """Compare once. Where that is not possible the metric keeps its last value.

        Where only some keys could be used, what was found is the least there is: the metric may
        rise by it, and does not fall.
        """
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
        now = frozenset(one.orphan.id for one in report.found)
        if now - self._told:
            self._tell([one.orphan for one in report.found], left)
        if report.skipped:
            now |= self._told
            left = {kind: max(number, self._left.get(kind, 0)) for kind, number in left.items()}
        self._meter.compared(left)
        self._told, self._left = now, left

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
