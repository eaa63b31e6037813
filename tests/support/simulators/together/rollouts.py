"""Rollouts: verbs, and the executor that shifts traffic. One task a running rollout."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.simulators.together import rollout_spec
from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.clock import Timing
from tests.support.simulators.together.errors import (
    in_use,
    invalid,
    not_found,
    precondition,
    stale_etag,
)
from tests.support.simulators.together.lifecycle import Lifecycle
from tests.support.simulators.together.records import (
    Deployment,
    Endpoint,
    Rollout,
    RolloutState,
    RolloutStep,
    Split,
)
from tests.support.simulators.together.store import Store

_CANCELLABLE = ("RUNNING", "PAUSING", "PAUSED", "SYSTEM_PAUSED", "STABILIZING")


class Rollouts:
    """The rules of rollouts, and those that run."""

    def __init__(
        self, store: Store, lifecycle: Lifecycle, timing: Timing, behaviour: Behaviour
    ) -> None:
        self.behaviour = behaviour
        self._store = store
        self._lifecycle = lifecycle
        self._timing = timing
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def resume_all(self) -> None:
        """Take up what an earlier process left running."""
        for rollout in self._store.rollouts:
            if rollout.state in ("RUNNING", "STABILIZING"):
                self._execute(rollout, self._walk)
            elif rollout.state == "PAUSING":
                self._execute(rollout, self._park)
            elif rollout.state == "CANCELLING":
                self._execute(rollout, self._freeze)

    async def stop(self) -> None:
        """End all tasks; the rollouts stay as they are."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def create(self, endpoint: Endpoint, body: dict[str, Any]) -> Rollout:
        """Prepare a rollout, which has to be started; ApiError 400, 404, 409."""
        source, target = self._pair(endpoint, body)
        fields = rollout_spec.read(body, source, target)
        current = self._store.open_rollout(endpoint.id)
        if current is not None:
            raise in_use(f"rollout {current.id} is active on this endpoint")
        rollout = Rollout(
            **self._store.stamp("rol_", endpoint.project_id),
            endpoint_id=endpoint.id,
            source_id=source.id,
            target_id=target.id,
            **fields,
        )
        self._store.rollouts.add(rollout)
        self._store.changed()
        return rollout

    def get(self, endpoint: Endpoint, rollout_id: str) -> Rollout:
        """One rollout; ApiError 404."""
        rollout = self._store.rollouts.get(rollout_id)
        if rollout is None or rollout.endpoint_id != endpoint.id:
            raise not_found("rollout", rollout_id)
        return rollout

    def start(self, endpoint: Endpoint, rollout: Rollout) -> None:
        """PENDING → RUNNING."""
        self._require(rollout, "start", ("PENDING",))
        source = self._deployment(rollout.source_id)
        weight = next((s.weight for s in endpoint.split if s.deployment_id == source.id), 0.0)
        rollout.capacity = weight * max(1, source.ready)
        rollout.started_at = self._store.clock.now()
        rollout.step = 0
        endpoint.active_rollout_id = rollout.id
        endpoint.touch(self._store.clock.now())
        self._become(rollout, "RUNNING")
        self._execute(rollout, self._walk)

    def pause(self, rollout: Rollout, reason: str) -> None:
        """RUNNING or STABILIZING → PAUSING, and PAUSED a little later."""
        self._require(rollout, "pause", ("RUNNING", "STABILIZING"))
        rollout.paused_because = reason
        self._become(rollout, "PAUSING")
        self._execute(rollout, self._park)

    def resume(self, rollout: Rollout) -> None:
        """Go on from the current step."""
        self._require(rollout, "resume", ("PAUSING", "PAUSED", "SYSTEM_PAUSED"))
        rollout.category, rollout.message, rollout.paused_at = "", "", None
        self._become(rollout, "RUNNING")
        self._execute(rollout, self._walk)

    def promote(self, rollout: Rollout) -> None:
        """Send all traffic to the target at once."""
        self._require(rollout, "promote", ("RUNNING", "PAUSED", "SYSTEM_PAUSED"))
        last = len(rollout.steps) - 1
        for step in rollout.steps[rollout.step or 0 : last]:
            step.state = "SKIPPED"
        rollout.step = last
        rollout.metrics = []
        rollout.interval = 0.0
        self._become(rollout, "RUNNING")
        self._execute(rollout, self._walk)

    def cancel(self, rollout: Rollout, body: dict[str, Any]) -> None:
        """Freeze the split as it is: CANCELLING, and CANCELED a little later."""
        if not body.get("reason"):
            raise invalid("reason: is required")
        if body.get("disposition") == "CANCEL_DISPOSITION_REVERT":
            raise precondition("disposition REVERT was removed; cancel, then roll back")
        self._require(rollout, "cancel", _CANCELLABLE)
        rollout.message = body["reason"]
        self._become(rollout, "CANCELLING")
        self._execute(rollout, self._freeze)

    def delete(self, rollout: Rollout) -> None:
        """Forget a rollout that never ran or is over."""
        self._require(rollout, "delete", ("PENDING", "CANCELED", "COMPLETED"))
        self._store.rollouts.remove(rollout, self._store.clock.now())
        self._store.changed()

    @staticmethod
    def check_etag(rollout: Rollout, etag: object) -> None:
        """ApiError 409 for a stale etag."""
        if etag and etag != rollout.etag:
            raise stale_etag()

    def _pair(self, endpoint: Endpoint, body: dict[str, Any]) -> tuple[Deployment, Deployment]:
        found = []
        for name in ("sourceDeploymentId", "targetDeploymentId"):
            deployment = self._store.deployments.get(body.get(name) or "")
            if deployment is None or deployment.endpoint_id != endpoint.id:
                raise invalid(f"{name}: {body.get(name)!r} is no deployment of this endpoint")
            self._lifecycle.advance(deployment)
            found.append(deployment)
        source, target = found
        routed = {entry.deployment_id for entry in endpoint.split}
        if source is target:
            raise invalid("source and target are the same deployment")
        if source.status != "READY" or source.id not in routed:
            raise precondition("the source must be READY and in the traffic split")
        if target.status not in ("READY", "STOPPED"):
            raise precondition(f"the target must be READY or STOPPED, not {target.status}")
        return source, target

    def _require(self, rollout: Rollout, verb: str, states: tuple[str, ...]) -> None:
        if rollout.state not in states:
            raise precondition(f"can't {verb} a rollout that is {rollout.state}")

    def _execute(self, rollout: Rollout, work: Callable[[Rollout], Awaitable[None]]) -> None:
        """Replace what is being done for a rollout by something else."""
        running = self._tasks.get(rollout.id)
        if running is not None:
            running.cancel()

        async def run() -> None:
            await work(rollout)

        self._tasks[rollout.id] = asyncio.create_task(run(), name=f"rollout {rollout.id}")

    async def _walk(self, rollout: Rollout) -> None:
        """Take the steps from the current one on, then let the source go."""
        for number in range(rollout.step or 0, len(rollout.steps)):
            rollout.step = number
            if rollout.state == "RUNNING" and not await self._take(rollout, rollout.steps[number]):
                return
        await self._finish(rollout)

    async def _take(self, rollout: Rollout, step: RolloutStep) -> bool:
        """One step; False when the rollout has stopped at it."""
        step.state = "RUNNING"
        step.started_at = step.started_at or self._store.clock.now()
        target = self._deployment(rollout.target_id)
        if not await self._wake(target, step.replicas):
            reason = f"target is {target.status}: {target.message}"
            return self._halt(rollout, step, "TARGET_NOT_READY", reason)
        self._shift(rollout, step.traffic)
        await self._store.clock.sleep(self._timing.real(rollout.interval))
        names = [metric["name"] for metric in rollout.metrics]
        for rule in self.behaviour.rollouts:
            if rule.matches(target.name, rollout.step or 0, names):
                rule.use()
                return self._halt(rollout, step, "METRIC_REGRESSION", rule.message)
        if step.source_replicas:
            self._scale(self._deployment(rollout.source_id), step.source_replicas)
        step.state = "PASSED"
        step.completed_at = self._store.clock.now()
        self._store.changed()
        return True

    async def _wake(self, target: Deployment, replicas: int) -> bool:
        """Bring the target to a number of replicas; False when it fails on the way."""
        self._lifecycle.advance(target)
        if target.desired < replicas:
            self._scale(target, replicas)
        while target.ready < replicas:
            if target.status in ("FAILED", "DEGRADED") and not target.waiting_for_capacity:
                return False
            # Capacity may come back at any time, so not only the next step is waited for.
            longest = self._timing.real(self._timing.rollout_reaction)
            due = target.steps[0].at - self._store.clock.now() if target.steps else longest
            await self._store.clock.sleep(min(max(due, 0.001), longest))
            self._lifecycle.advance(target)
        return True

    def _scale(self, deployment: Deployment, replicas: int) -> None:
        highest = max(replicas, deployment.autoscaling["maxReplicas"]) if replicas else 0
        deployment.autoscaling |= {"minReplicas": replicas, "maxReplicas": highest}
        self._lifecycle.set_replicas(deployment, replicas)

    def _shift(self, rollout: Rollout, percent: int) -> None:
        """Give the target its share of the pair's capacity; others keep their weights."""
        endpoint = self._store.endpoints.get(rollout.endpoint_id)
        assert endpoint is not None
        pair = {rollout.source_id: 100 - percent, rollout.target_id: percent}
        split = [entry for entry in endpoint.split if entry.deployment_id not in pair]
        for deployment_id, share in pair.items():
            ready = max(1, self._deployment(deployment_id).ready)
            if share:
                weight = rollout.capacity * share / 100 / ready
                split.append(Split(deployment_id=deployment_id, weight=weight))
        endpoint.split = split
        endpoint.touch(self._store.clock.now())
        rollout.traffic = percent
        rollout.touch(self._store.clock.now())
        self._store.changed()

    async def _finish(self, rollout: Rollout) -> None:
        self._become(rollout, "STABILIZING")
        source, target = self._deployment(rollout.source_id), self._deployment(rollout.target_id)
        highest = max(rollout.final_target, rollout.source_max, target.autoscaling["maxReplicas"])
        target.autoscaling |= {"minReplicas": rollout.final_target, "maxReplicas": highest}
        self._scale(source, rollout.final_source)
        self._lifecycle.advance(source)
        while source.steps:
            now = self._store.clock.now()
            await self._store.clock.sleep(max(source.steps[0].at - now, 0.01))
            self._lifecycle.advance(source)
        self._end(rollout, "COMPLETED")

    async def _park(self, rollout: Rollout) -> None:
        await self._store.clock.sleep(self._timing.real(self._timing.rollout_reaction))
        self._step(rollout).state = "PAUSED"
        rollout.paused_at = self._store.clock.now()
        self._become(rollout, "PAUSED")

    async def _freeze(self, rollout: Rollout) -> None:
        await self._store.clock.sleep(self._timing.real(self._timing.rollout_reaction))
        self._step(rollout).state = "CANCELED"
        rollout.category = rollout.category or "ABORTED_BY_OPERATOR"
        self._end(rollout, "CANCELED")

    def _halt(self, rollout: Rollout, step: RolloutStep, category: str, message: str) -> bool:
        step.state, step.failure = "FAILED", message
        rollout.category, rollout.message = category, message
        rollout.paused_at = self._store.clock.now()
        rollout.paused_because = message
        self._become(rollout, "SYSTEM_PAUSED")
        return False

    def _end(self, rollout: Rollout, state: RolloutState) -> None:
        rollout.completed_at = self._store.clock.now()
        endpoint = self._store.endpoints.get(rollout.endpoint_id)
        if endpoint is not None:
            endpoint.active_rollout_id = None
            endpoint.touch(self._store.clock.now())
        self._become(rollout, state)

    def _become(self, rollout: Rollout, state: RolloutState) -> None:
        rollout.state = state
        rollout.touch(self._store.clock.now())
        self._store.changed()

    def _step(self, rollout: Rollout) -> RolloutStep:
        return rollout.steps[rollout.step or 0]

    def _deployment(self, deployment_id: str) -> Deployment:
        deployment = self._store.deployments.get(deployment_id)
        assert deployment is not None, "a rollout keeps its deployments"
        return deployment
