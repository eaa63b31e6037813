"""Rollouts of the faked platform: the simulator's rules, driven by the same list of what is due."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.fakes.versions import Table, Versions
from together_operator.domain import errors
from together_operator.domain.together import Deployment, DeploymentState, TrafficShare
from together_operator.domain.together_rollouts import (
    NewRollout,
    Rollout,
    RolloutState,
    RolloutStep,
    RolloutVerb,
)

if TYPE_CHECKING:
    from tests.support.fakes.platform import Platform

REACTION_SECONDS = 1.0
"""From a request to pause or cancel until it has happened, and between looks at a target."""

_STATES = {
    RolloutVerb.START: {RolloutState.PENDING},
    RolloutVerb.PAUSE: {RolloutState.RUNNING, RolloutState.STABILIZING},
    RolloutVerb.RESUME: {RolloutState.PAUSING, RolloutState.PAUSED, RolloutState.SYSTEM_PAUSED},
    RolloutVerb.PROMOTE: {RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.SYSTEM_PAUSED},
    RolloutVerb.CANCEL: set(RolloutState)
    - {RolloutState.PENDING, RolloutState.CANCELLING, RolloutState.CANCELED}
    - {RolloutState.COMPLETED},
}


class Rollouts:
    """The rollouts of one project. `bad_gates` says what the next gates of canaries trip over."""

    def __init__(self, platform: Platform) -> None:
        self.rows: Table[Rollout] = Table()
        self.bad_gates: list[str] = []
        self._platform = platform
        self._asked: dict[str, NewRollout] = {}
        self._course: dict[str, int] = {}
        self._promoted: set[str] = set()

    def at(self, endpoint_id: str, moment: float) -> list[Rollout]:
        """Rollouts of an endpoint."""
        return [r for r in self.rows.at(moment) if r.endpoint_id == endpoint_id]

    def create(self, endpoint_id: str, new: NewRollout, actor: str | None) -> Rollout:
        """Prepare one."""
        platform = self._platform
        endpoint = platform.endpoint_at(endpoint_id, platform.clock())
        source, target = (
            platform.deployment(endpoint_id, id_) for id_ in (new.source_id, new.target_id)
        )
        if self.open_on(endpoint_id) is not None:
            raise errors.Conflict("a rollout is active on this endpoint", status=409)
        routed = {share.deployment_id for share in endpoint.traffic}
        if source.state is not DeploymentState.READY or source.id not in routed:
            raise errors.Rejected("the source must be READY and in the traffic split")
        if target.state not in {DeploymentState.READY, DeploymentState.STOPPED}:
            raise errors.Rejected("the target must be READY or STOPPED")
        rollout = Rollout(
            id=platform.new_id("rol_"),
            endpoint_id=endpoint_id,
            source_id=source.id,
            target_id=target.id,
            state=RolloutState.PENDING,
            steps=len(_steps(new)),
            created_at=platform.moment(),
        )
        self._asked[rollout.id] = new
        self.rows.add(rollout.id, Versions(platform.clock(), rollout, actor))
        return rollout

    def act(self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str) -> Rollout:
        """Do one of the verbs."""
        row, rollout = self._found(endpoint_id, rollout_id)
        if rollout.state not in _STATES[verb]:
            raise errors.Rejected(f"can't {verb} a rollout that is {rollout.state}")
        now = self._platform.clock()
        match verb:
            case RolloutVerb.START:
                row.put(now, replace(rollout, state=RolloutState.RUNNING, step=0))
                self._later(rollout_id, 0.0, self._step)
            case RolloutVerb.RESUME:
                row.put(now, replace(rollout, state=RolloutState.RUNNING, failure="", message=""))
                self._later(rollout_id, 0.0, self._step)
            case RolloutVerb.PROMOTE:
                last = rollout.steps - 1
                self._promoted.add(rollout_id)
                row.put(now, replace(rollout, state=RolloutState.RUNNING, step=last))
                self._later(rollout_id, 0.0, self._step)
            case RolloutVerb.PAUSE:
                row.put(now, replace(rollout, state=RolloutState.PAUSING, message=reason))
                self._later(rollout_id, REACTION_SECONDS, self._park)
            case RolloutVerb.CANCEL:
                row.put(now, replace(rollout, state=RolloutState.CANCELLING, message=reason))
                self._later(rollout_id, REACTION_SECONDS, self._freeze)
        return self._found(endpoint_id, rollout_id)[1]

    def delete(self, endpoint_id: str, rollout_id: str) -> None:
        """Forget one that never ran or is over."""
        row, rollout = self._found(endpoint_id, rollout_id)
        if rollout.is_open and rollout.state is not RolloutState.PENDING:
            raise errors.Rejected(f"can't delete a rollout that is {rollout.state}")
        row.put(self._platform.clock(), None)

    def open_on(self, endpoint_id: str) -> Rollout | None:
        """The one that binds an endpoint."""
        now = self._platform.clock()
        return next((r for r in self.at(endpoint_id, now) if r.is_open), None)

    def binds(self, deployment: Deployment) -> bool:
        """Whether a deployment takes part in one that is open."""
        rollout = self.open_on(deployment.endpoint_id)
        return rollout is not None and deployment.id in {rollout.source_id, rollout.target_id}

    def _found(self, endpoint_id: str, rollout_id: str) -> tuple[Versions[Rollout], Rollout]:
        self._platform.advance()
        row = self.rows.row(rollout_id)
        rollout = row.current if row is not None else None
        if row is None or rollout is None or rollout.endpoint_id != endpoint_id:
            raise errors.NotFound(f"rollout {rollout_id} not found", status=404)
        return row, rollout

    def _later(self, rollout_id: str, seconds: float, do: object) -> None:
        """Have the next thing done for a rollout, unless something else is asked for before."""
        course = self._course[rollout_id] = self._course.get(rollout_id, 0) + 1

        def run(due: float) -> None:
            row = self.rows.row(rollout_id)
            if row is not None and row.current is not None and self._course[rollout_id] == course:
                assert callable(do)
                do(row, row.current, due)

        self._platform.later(self._platform.clock() + seconds, run)

    def _step(self, row: Versions[Rollout], rollout: Rollout, due: float) -> None:
        """Have the target ready for the step, then shift traffic, then hold it."""
        new, platform = self._asked[rollout.id], self._platform
        step = _steps(new)[rollout.step or 0]
        replicas = step.replicas or math.ceil(new.final_target_replicas * step.traffic / 100)
        target = platform.deployments.row(rollout.target_id)
        found = target.current if target is not None else None
        if found is None or found.state in {DeploymentState.FAILED, DeploymentState.DEGRADED}:
            words = f"target is {found.state}: {found.message}" if found else "target is gone"
            self._halt(row, rollout, due, "TARGET_NOT_READY", words)
            return
        if found.max_replicas < replicas:
            platform.set_replicas(found.id, replicas, replicas)
        if found.ready_replicas < replicas:
            self._later(rollout.id, REACTION_SECONDS, self._step)
            return
        self._shift(rollout, step.traffic, due)
        row.put(due, replace(rollout, traffic_percent=step.traffic))
        interval = 0.0 if rollout.id in self._promoted else float(new.interval)
        self._later(rollout.id, interval, self._hold)

    def _hold(self, row: Versions[Rollout], rollout: Rollout, due: float) -> None:
        """The step is over: look at its gates, and take the next one."""
        gates = self._asked[rollout.id].gates if rollout.id not in self._promoted else ()
        if gates and self.bad_gates:
            words = self.bad_gates.pop(0)
            if words:
                self._halt(row, rollout, due, "METRIC_REGRESSION", words)
                return
        following = (rollout.step or 0) + 1
        if following < rollout.steps:
            row.put(due, replace(rollout, step=following))
            self._later(rollout.id, 0.0, self._step)
            return
        row.put(due, replace(rollout, state=RolloutState.STABILIZING))
        self._platform.set_replicas(rollout.source_id, 0, 0)
        self._later(rollout.id, REACTION_SECONDS, self._drain)

    def _drain(self, row: Versions[Rollout], rollout: Rollout, due: float) -> None:
        source = self._platform.deployments.row(rollout.source_id)
        found = source.current if source is not None else None
        if found is not None and found.state is not DeploymentState.STOPPED:
            self._later(rollout.id, REACTION_SECONDS, self._drain)
            return
        row.put(due, replace(rollout, state=RolloutState.COMPLETED))

    def _park(self, row: Versions[Rollout], rollout: Rollout, due: float) -> None:
        paused_at = self._platform.moment()
        row.put(due, replace(rollout, state=RolloutState.PAUSED, paused_at=paused_at))

    def _freeze(self, row: Versions[Rollout], rollout: Rollout, due: float) -> None:
        row.put(due, replace(rollout, state=RolloutState.CANCELED))

    def _halt(
        self, row: Versions[Rollout], rollout: Rollout, due: float, failure: str, words: str
    ) -> None:
        halted = replace(
            rollout,
            state=RolloutState.SYSTEM_PAUSED,
            failure=failure,
            message=words,
            paused_at=self._platform.moment(),
        )
        row.put(due, halted)

    def _shift(self, rollout: Rollout, percent: int, due: float) -> None:
        """Give the target its share; others keep theirs."""
        row = self._platform.endpoints.row(rollout.endpoint_id)
        endpoint = row.current if row is not None else None
        if row is None or endpoint is None:
            return
        pair = {rollout.source_id: 100 - percent, rollout.target_id: percent}
        others = tuple(s for s in endpoint.traffic if s.deployment_id not in pair)
        shares = tuple(TrafficShare(id_, float(share)) for id_, share in pair.items() if share)
        etag = self._platform.new_id("etag-")
        row.put(due, replace(endpoint, traffic=(*others, *shares), etag=etag))


def _steps(new: NewRollout) -> tuple[RolloutStep, ...]:
    if new.strategy == "canary":
        return new.steps
    if new.strategy == "blueGreen":
        return (RolloutStep(100, new.final_target_replicas),)
    count = new.final_target_replicas
    return tuple(RolloutStep(round(100 * n / count), n) for n in range(1, count + 1))
