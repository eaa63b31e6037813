"""A deployment's life: the steps it has before it, what each does, and what it costs.

Nothing runs in the background: the steps have times, and whoever looks at a deployment first has
`advance` apply those that are due, each at its own time, so that events and bills are exact.
"""

from typing import Literal

from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.clock import Timing
from tests.support.simulators.together.records import Deployment, Endpoint, Event, Step
from tests.support.simulators.together.store import Store

_MAX_EVENTS = 500
_PHASES: dict[str, tuple[str, str, str]] = {
    "pull": ("PullingImage", "Pulling the serving image", "model-download"),
    "start": ("Starting", "Starting the serving engine", "engine"),
    "load": ("LoadingWeights", "Loading weights onto the GPUs", "engine"),
    "serve": ("StartupComplete", "Replica is serving", "engine"),
}


class Lifecycle:
    """Moves deployments through their states."""

    def __init__(self, store: Store, timing: Timing, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._store = store
        self._timing = timing

    def set_replicas(self, deployment: Deployment, desired: int) -> None:
        """Begin to bring a deployment to a number of replicas."""
        now = self._store.clock.now()
        if desired != deployment.desired:
            self._event(
                deployment,
                "deployment.scaled",
                f"Scaling from {deployment.desired} to {desired} replicas",
                at=now,
                fields={"oldReplicas": deployment.desired, "newReplicas": desired},
            )
        deployment.desired = desired
        deployment.waiting_for_capacity = False
        if desired == 0:
            self._stop(deployment, now)
        elif desired < deployment.scheduled:
            deployment.steps = [Step(at=now + self._timing.real(self._timing.drain), kind="shrink")]
            self._become(deployment, "SCALING", "Removing replicas", now)
        elif desired > deployment.scheduled or deployment.ready < desired:
            self._grow(deployment, now)

    def advance(self, deployment: Deployment) -> None:
        """Apply every step whose time has come."""
        now = self._store.clock.now()
        while deployment.steps and deployment.steps[0].at <= now:
            self._apply(deployment, deployment.steps.pop(0))
            self._store.changed()
        idle_since = max(deployment.last_request_at, deployment.updated_at)
        limit = self._idle_limit(deployment)
        if limit and deployment.status == "READY" and now >= idle_since + self._timing.real(limit):
            deployment.autoscaling |= {"minReplicas": 0, "maxReplicas": 0}
            deployment.desired = 0
            self._stop(deployment, idle_since + self._timing.real(limit))
            self.advance(deployment)

    def bill(self, deployment: Deployment) -> float:
        """US cents that a deployment has cost until now."""
        self._accrue(deployment, self._store.clock.now())
        return deployment.billed_cents

    def settle(self, deployment: Deployment) -> None:
        """Keep the bill of a deployment that is about to be forgotten."""
        self._store.settled_cents += self.bill(deployment)

    def capacity_changed(self) -> None:
        """Try again to place what waits for hardware."""
        now = self._store.clock.now()
        for deployment in self._store.deployments:
            if deployment.waiting_for_capacity:
                deployment.waiting_for_capacity = False
                self._grow(deployment, now)

    def free(self, instance_type: str) -> int | None:
        """Replicas of an instance type that still fit; None when it is never short."""
        if instance_type not in self.behaviour.capacity:
            return None
        used = sum(d.scheduled for d in self._store.deployments if d.instance_type == instance_type)
        return max(0, self.behaviour.capacity[instance_type] - used)

    def _grow(self, deployment: Deployment, now: float) -> None:
        timing = self._timing
        self._decide_outcome(deployment)
        fresh = deployment.scheduled == 0
        self._become(
            deployment,
            "PROVISIONING" if fresh else "SCALING",
            "Waiting for hardware" if fresh else "Adding replicas",
            now,
        )
        deployment.steps = [Step(at=now + timing.real(timing.schedule), kind="schedule")]

    def _decide_outcome(self, deployment: Deployment) -> None:
        deployment.outcome = "ready"
        rule = next((r for r in self.behaviour.deployments if r.matches(deployment.name)), None)
        if rule is not None:
            rule.use()
            deployment.outcome = rule.outcome
            deployment.outcome_message = rule.message
            deployment.outcome_log = rule.log_excerpt

    def _stop(self, deployment: Deployment, at: float) -> None:
        if deployment.status == "STOPPED":
            return
        deployment.ready = 0
        wait = self._timing.real(self._timing.stop) if deployment.scheduled else 0.0
        deployment.steps = [Step(at=at + wait, kind="stopped")]
        self._become(deployment, "STOPPING", "Stopping all replicas", at)

    def _apply(self, deployment: Deployment, step: Step) -> None:
        if step.kind == "schedule":
            self._schedule(deployment, step.at)
        elif step.kind in _PHASES:
            self._phase(deployment, step)
        elif step.kind == "shrink":
            self._accrue(deployment, step.at)
            deployment.scheduled = deployment.desired
            deployment.ready = min(deployment.ready, deployment.desired)
            self._become(deployment, "READY", "All replicas are ready", step.at)
        elif step.kind == "stopped":
            self._release(deployment, step.at)
            self._become(deployment, "STOPPED", "Stopped", step.at)
        elif step.kind == "fail":
            self._fail(deployment, step.at)
        else:
            message = "Not ready within 6 hours"
            self._release(deployment, step.at)
            self._become(deployment, "FAILED", message, step.at)

    def _schedule(self, deployment: Deployment, at: float) -> None:
        timing = self._timing
        free = self.free(deployment.instance_type)
        wanted = deployment.desired - deployment.scheduled
        if free is not None and free < wanted:
            deployment.waiting_for_capacity = True
            deadline = deployment.created_at + timing.real(timing.give_up)
            deployment.steps = [Step(at=max(deadline, at), kind="give_up")]
            message = f"Cannot place replicas: no capacity for {deployment.instance_type}"
            self._become(deployment, self.behaviour.no_capacity_state, message, at)
            return
        self._accrue(deployment, at)
        deployment.scheduled = deployment.desired
        self._become(deployment, "SCALING", "Starting replicas", at)
        times = [
            ("pull", at),
            ("start", at + timing.real(timing.pull_image)),
            ("load", at + timing.real(timing.pull_image + timing.start_container)),
            (
                "serve" if deployment.outcome != "failed" else "fail",
                at + timing.real(timing.pull_image + timing.start_container + timing.load_weights),
            ),
        ]
        deployment.steps = [Step.model_validate({"kind": kind, "at": due}) for kind, due in times]

    def _phase(self, deployment: Deployment, step: Step) -> None:
        reason, message, container = _PHASES[step.kind]
        self._event(
            deployment,
            "pod.startup_phase_changed",
            message,
            at=step.at,
            reason=reason,
            fields={"containerName": container, "replicaId": f"{deployment.id[-6:]}-0"},
        )
        if step.kind != "serve":
            deployment.message = message
        elif deployment.outcome == "degraded":
            deployment.ready = max(0, deployment.desired - 1)
            self._crash(deployment, step.at)
            self._become(deployment, "DEGRADED", deployment.outcome_message, step.at)
        else:
            deployment.ready = deployment.desired
            self._become(deployment, "READY", "All replicas are ready", step.at)

    def _fail(self, deployment: Deployment, at: float) -> None:
        self._crash(deployment, at)
        self._release(deployment, at)
        self._become(deployment, "FAILED", deployment.outcome_message, at)

    def _crash(self, deployment: Deployment, at: float) -> None:
        self._event(
            deployment,
            "pod.crashed",
            deployment.outcome_message,
            at=at,
            reason="CrashLoopBackOff",
            level="ERROR",
            fields={"logExcerpt": deployment.outcome_log, "containerName": "engine"},
        )

    def _release(self, deployment: Deployment, at: float) -> None:
        self._accrue(deployment, at)
        deployment.scheduled = 0
        deployment.ready = 0
        deployment.waiting_for_capacity = False
        deployment.steps = []

    def _accrue(self, deployment: Deployment, until: float) -> None:
        """Bill the hardware that is held, from the last time this was done."""
        if until > deployment.billed_until:
            hours = self._timing.simulated(until - deployment.billed_until) / 3600
            deployment.billed_cents += hours * deployment.scheduled * deployment.cents_per_hour
            deployment.billed_until = until

    def _idle_limit(self, deployment: Deployment) -> float:
        """Simulated seconds without a request after which it stops; 0 for never."""
        window = deployment.autoscaling.get("scaleToZeroWindow")
        limits = [deployment.inactive_timeout * 60.0, float(window[:-1]) if window else 0.0]
        return min((limit for limit in limits if limit), default=0.0)

    def _become(
        self,
        deployment: Deployment,
        status: Literal[
            "PROVISIONING", "SCALING", "READY", "DEGRADED", "STOPPING", "STOPPED", "FAILED"
        ],
        message: str,
        at: float,
    ) -> None:
        deployment.status = status
        deployment.message = message
        deployment.updated_at = max(deployment.updated_at, at)
        self._event(
            deployment,
            "deployment.status_updated",
            f"{status}: {message}",
            at=at,
            reason=status.title(),
            level="ERROR" if status == "FAILED" else "INFO",
        )

    def _event(
        self,
        deployment: Deployment,
        type_: str,
        message: str,
        *,
        at: float,
        reason: str = "",
        level: Literal["INFO", "WARN", "ERROR"] = "INFO",
        fields: dict[str, object] | None = None,
    ) -> None:
        endpoint = self._store.endpoints.get(deployment.endpoint_id)
        if endpoint is not None:
            record_event(
                self._store,
                endpoint,
                Event(
                    id=self._store.new_id("evt_"),
                    at=at,
                    type=type_,
                    level=level,
                    deployment_id=deployment.id,
                    message=message,
                    reason=reason,
                    fields=fields or {},
                ),
            )


def record_event(store: Store, endpoint: Endpoint, event: Event) -> None:
    """Append to an endpoint's feed, which keeps its newest entries."""
    endpoint.events.append(event)
    del endpoint.events[:-_MAX_EVENTS]
    store.changed()
