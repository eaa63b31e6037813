"""The steps that every kind's reconcile has: gather, decide, record, act, record the result."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import structlog

from together_operator.api.v1alpha1 import (
    Condition,
    CustomModel,
    CustomModelStatus,
    ModelDeployment,
    ModelDeploymentStatus,
)
from together_operator.domain.errors import Conflict, NotFound, OperatorError
from together_operator.domain.failures import StageError, retry_delay
from together_operator.domain.outcome import After, Done, Failed, Gone, Outcome
from together_operator.domain.plan import (
    FINALIZER,
    AddFinalizer,
    Plan,
    Process,
    RemoveFinalizer,
    with_own_status,
)
from together_operator.engine.store import Body, Key, Store, key_of
from together_operator.ports import Events, Gate, Objects
from together_operator.reconcilers.attendance import NotAllKnown
from together_operator.reconcilers.calm import Calm, Still
from together_operator.reconcilers.ledger import Ledger
from together_operator.tracing import span

log = structlog.get_logger(__name__)

R = TypeVar("R", CustomModel, ModelDeployment)
S = TypeVar("S", CustomModelStatus, ModelDeploymentStatus)
Seen = TypeVar("Seen")
A = TypeVar("A")

Fold = Callable[[S], S]
"""How an action's result goes into a status, whatever that says by now."""

RECORD_TRIES = 3
SOON_REFUSED = 5
"""Writes in a row that are refused before the next one waits: each may be somebody's change."""

FRESH_SECONDS = 1.0
"""How long a write's answer counts as a look at the live object."""

SETTLED_FAILURES = 4
"""Backoff step at which begins what status does not count: it is in no hurry."""


@dataclass(frozen=True, slots=True)
class Result(Generic[S, A]):
    """What an action led to.

    Args:
        fold: puts it into a status, whatever that says by now.
        plan: what follows for the object as it was acted upon, its status stored in the same write
            as the result. Its action, if it has one, is the next reconcile's to decide on anew.
    """

    fold: Fold[S]
    plan: Plan[S, A] | None = None


@dataclass
class World:
    """What reconciles of every kind use.

    Args:
        now: the wall clock, in UTC.
        rng: jitter of backoffs.
    """

    process: Process
    gate: Gate
    events: Events
    ledger: Ledger
    now: Callable[[], datetime]
    rng: random.Random


class Reconciler(ABC, Generic[R, S, Seen, A]):
    """One kind's reconcile. A subclass says how to look, decide and act.

    Args:
        calm: remembers what decisions rested on, so that they need not be made again.
    """

    def __init__(self, world: World, objects: Objects, store: Store, calm: Calm[Any]) -> None:
        self.world = world
        self.objects = objects
        self.store = store
        self._count = 0
        self._calm = calm
        self._written: dict[Key, tuple[str, datetime]] = {}
        self._conflicts: dict[Key, int] = {}
        self._unseen: dict[Key, int] = {}
        self._begun: dict[Key, str] = {}

    # What a kind has to say.

    @abstractmethod
    def parse(self, body: Body) -> R:
        """The typed object."""

    @abstractmethod
    def with_status(self, resource: R, status: S) -> R:
        """The object with another status."""

    @abstractmethod
    def status_of(self, resource: R) -> S:
        """The object's status."""

    @abstractmethod
    def is_settled(self, resource: R) -> bool:
        """True when status says that nothing is to do."""

    @abstractmethod
    def seconds_to_wait(self, resource: R, now: datetime) -> float:
        """Rest of the backoff that status holds."""

    @abstractmethod
    async def gather(self, resource: R) -> Seen:
        """Look at what a decision needs; raises StageError."""

    @abstractmethod
    def unseen(self, resource: R) -> Seen:
        """What is observed when looking failed: the object alone."""

    @abstractmethod
    def decide(self, observed: Seen, now: datetime) -> Plan[S, A]:
        """The pure decision."""

    @abstractmethod
    def failure(self, observed: Seen, now: datetime, error: StageError) -> Plan[S, A]:
        """The pure decision about an error."""

    @abstractmethod
    async def act(self, resource: R, action: A) -> Result[S, A] | None:
        """Do one thing outside; None: it has no result to store."""

    def still(self, observed: Seen) -> Still[Any] | None:
        """How to see that a settled object needs no other decision; None: by deciding again."""
        del observed
        return None

    # What is the same for all.

    async def __call__(self, key: Key) -> Outcome:
        """Bring one object a step further; one that is gone is forgotten."""
        if await self._calm.compare(key):
            return Done()
        outcome = await self._reconcile_and_tell(key)
        if isinstance(outcome, Gone):
            self.forget(key)
        return outcome

    def is_calm(self, key: Key) -> bool:
        """Whether it is known already that a look at the object would change nothing."""
        return self._calm.is_known(key)

    def forget(self, key: Key) -> None:
        """The object is gone, whoever let it go: nothing is kept of it."""
        self._calm.drop(key)
        self._written.pop(key, None)
        self._conflicts.pop(key, None)
        self._unseen.pop(key, None)
        uid = self._begun.pop(key, None)
        if uid is not None:
            self.world.ledger.gone(uid)

    async def _reconcile_and_tell(self, key: Key) -> Outcome:
        self._count += 1
        run = f"{self.world.process.holder.rpartition('-')[2]}-{self._count}"
        with (
            structlog.contextvars.bound_contextvars(reconcile=run),
            span("reconcile", object=str(key), reconcile=run),
        ):
            return await self._reconcile_at_all(key)

    async def _reconcile_at_all(self, key: Key) -> Outcome:
        try:
            return await self._reconcile_or_look_again(key)
        except StageError as error:
            return Failed("KubernetesUnavailable", self._delay(error))
        except OperatorError as error:
            log.warning("kubernetes unavailable", object=str(key), error=str(error))
            return Failed("KubernetesUnavailable", self._delay(StageError("", error)))

    async def _reconcile_or_look_again(self, key: Key) -> Outcome:
        try:
            outcome = await self._reconcile(key)
        except (Conflict, NotFound):
            # Somebody changed the object since we saw it: see what it is now.
            return Gone() if await self._live(key) is None else After(self._pause(key))
        except NotAllKnown as unknown:
            if unknown.error is not None:
                raise unknown.error from None
            return After(self.world.process.soon)
        self._conflicts.pop(key, None)
        return outcome

    def _pause(self, key: Key) -> float:
        """Seconds until another try: none after the first refusals, each somebody's change."""
        refused = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        if refused < SOON_REFUSED:
            return 0.0
        return self.world.process.backoff.delay(refused - SOON_REFUSED + 1, self.world.rng.random())

    async def _reconcile(self, key: Key) -> Outcome:
        body = self.store.get(key) or await self._live(key)
        if body is None:
            return Gone()
        resource = with_own_status(self.parse(body))
        # What is about to be seen is as old as the beginning of the look.
        now = self.world.now()
        wait = self.seconds_to_wait(resource, now)
        if wait > 0:
            return After(wait)
        try:
            observed = await self.gather(resource)
        except StageError as error:
            if self.is_settled(resource):
                log.warning("cannot look", object=str(key), stage=error.stage, error=str(error))
                # In an outage all settled objects are such: each comes back more and more seldom.
                failures = self._unseen[key] = self._unseen.get(key, 0) + 1
                return Failed("CannotLook", self._delay(error, failures))
            return await self._failed(key, body, resource, error)
        self._unseen.pop(key, None)
        plan = self.decide(observed, now)
        outcome = await self._carry_out(key, body, resource, plan)
        if plan.action is None and self.is_settled(resource) and isinstance(outcome, Done):
            still = self.still(observed)
            if still is not None:
                self._calm.keep(key, still)
        return outcome

    async def _carry_out(self, key: Key, body: Body, resource: R, plan: Plan[S, A]) -> Outcome:
        changed = plan.status != self.status_of(resource)
        if plan.action is None:
            if changed:
                await self._record(body, resource, plan.status)
            return plan.outcome
        if not self.world.gate.is_held():
            return After(1.0)
        if changed:
            # The write's precondition makes its answer a read of the live object.
            body = await self._record(body, resource, plan.status)
            resource = self.with_status(resource, plan.status)
        elif not isinstance(plan.action, AddFinalizer | RemoveFinalizer) and not self._is_live(
            key, body
        ):
            live = await self._live(key)
            if live is None:
                return Gone()
            if _version(live) != _version(body):
                return After(0)
        return await self._act(key, body, resource, plan.action, plan.outcome)

    async def _act(self, key: Key, body: Body, resource: R, action: A, outcome: Outcome) -> Outcome:
        if not self.world.gate.is_held():
            return After(1.0)
        self._begin(key, resource.metadata.uid)
        started = time.monotonic()
        say = log.bind(
            kind=resource.kind,
            object=str(key),
            generation=resource.metadata.generation,
            action=type(action).__name__,
        )
        if isinstance(action, AddFinalizer):
            finalizers = (*resource.metadata.finalizers, FINALIZER)
            if await self._set_finalizers(body, finalizers) is None:
                return Gone()
            self.world.ledger.begun(resource.metadata.uid)
            say.info("action", outcome="done", seconds=_since(started))
            return outcome
        if isinstance(action, RemoveFinalizer):
            after = await self._release(body, resource, action)
            left = {"left_behind": action.left_behind} if action.left_behind else {}
            say.info("action", outcome="done", seconds=_since(started), **left)
            return after
        try:
            with span(type(action).__name__, kind=resource.kind, object=str(key)):
                result = await self.act(resource, action)
        except StageError as error:
            failed = type(error.error).__name__
            say.warning("action", outcome=failed, error=str(error), seconds=_since(started))
            return await self._failed(key, body, resource, error)
        say.info("action", outcome="done", seconds=_since(started))
        if result is None:
            return outcome
        return await self._record_result(key, body, resource, result) or outcome

    def _begin(self, key: Key, uid: str) -> None:
        """The ledger will hold something of object `uid`; what was of its name before is gone."""
        before = self._begun.get(key, uid)
        if before != uid:
            self.world.ledger.gone(before)
        self._begun[key] = uid

    async def _release(self, body: Body, resource: R, action: RemoveFinalizer) -> Outcome:
        if action.left_behind:
            message = f"Released on request; left behind: {action.left_behind}."
            self.world.events.publish(body, warning=True, reason="Released", message=message)
        rest = [name for name in resource.metadata.finalizers if name != FINALIZER]
        after = await self._set_finalizers(body, rest)
        if after is not None and after["metadata"].get("finalizers"):
            return After(0)
        return Gone()

    async def _failed(self, key: Key, body: Body, resource: R, error: StageError) -> Outcome:
        plan = self.failure(self.unseen(resource), self.world.now(), error)
        try:
            await self._record(body, resource, plan.status, seen=False)
        except Conflict:
            # The failure belongs to what the object is now as much as to what it was.
            live = await self._live(key)
            if live is None:
                return Gone()
            return After(self._delay(error))
        return plan.outcome

    async def _record(self, body: Body, resource: R, status: S, *, seen: bool = True) -> Body:
        """Store a status, and tell of a new reason. The UID stands for a look that succeeded."""
        if status == self.status_of(resource):
            return body
        uid = resource.metadata.uid
        if seen or self.world.ledger.has_nothing(uid):
            status = status.model_copy(update={"object_uid": uid})
        after = await self.objects.write_status(body, status.to_body())
        self._written[key_of(after)] = _version(after), self.world.now()
        self.store.observe(after)
        self._tell(after, self.status_of(resource).conditions, status.conditions)
        return after

    async def _record_result(
        self, key: Key, body: Body, resource: R, result: Result[S, A]
    ) -> Outcome | None:
        """Store what an action led to, whatever happened to the object meanwhile.

        The answer is what the result's plan says, if that could be stored with it.
        """
        plan = result.plan
        for last in (*[False] * (RECORD_TRIES - 1), True):
            status = plan.status if plan is not None else result.fold(self.status_of(resource))
            try:
                await self._record(body, resource, status)
            except Conflict:
                live = await self._live(key)
                if live is None or last or live["metadata"]["uid"] != body["metadata"]["uid"]:
                    raise
                # What would have followed was decided for what the object was.
                body, resource, plan = live, with_own_status(self.parse(live)), None
            else:
                if status.intent is None or plan is not None:  # else it was another's result
                    self.world.ledger.forget(resource.metadata.uid)
                return plan.outcome if plan is not None else None
        raise AssertionError("the last try ends the loop")

    async def _set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        after = await self.objects.set_finalizers(body, finalizers)
        if after is not None:
            self.store.observe(after)
        return after

    def _is_live(self, key: Key, body: Body) -> bool:
        """True when `body` is the answer of a write of ours that was made a moment ago."""
        version, written = self._written.pop(key, ("", self.world.now()))
        age = (self.world.now() - written).total_seconds()
        return version == _version(body) and 0 <= age < FRESH_SECONDS

    async def _live(self, key: Key) -> Body | None:
        before = self.store.version(key)
        body = await self.objects.get(key)
        if body is None:
            self.store.forget(key)
            self._written.pop(key, None)
        else:
            self.store.observe_live(body, before)
        return body

    def _tell(self, body: Body, before: Sequence[Condition], after: Sequence[Condition]) -> None:
        old = next((c for c in before if c.type == "Ready"), None)
        new = next((c for c in after if c.type == "Ready"), None)
        if new is None or (old is not None and old.reason == new.reason):
            return
        stalled = any(c.type == "Stalled" and c.status == "True" for c in after)
        # The same words as the event's, so that one leads to the other.
        log.info(
            "told",
            kind=body["kind"],
            object=f"{body['metadata']['namespace']}/{body['metadata']['name']}",
            generation=body["metadata"].get("generation"),
            reason=new.reason,
            message=new.message,
        )
        self.world.events.publish(body, warning=stalled, reason=new.reason, message=new.message)

    def _delay(self, error: StageError, failures: int = 1) -> float:
        step = SETTLED_FAILURES + failures - 1
        return retry_delay(error, step, self.world.process.backoff, self.world.rng.random())


def _version(body: Mapping[str, Any]) -> str:
    return str(body["metadata"].get("resourceVersion"))


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
