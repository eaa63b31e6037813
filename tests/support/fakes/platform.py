"""Together's platform in memory: models, imports, endpoints, deployments, and what they cost.

The rules are those of the simulator, without HTTP and without weights; the contract suite holds
both to the same behaviour. Nothing runs in the background: whoever comes first has what is due
done, each thing at its own time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from tests.support.fakes import catalog
from tests.support.fakes.models import HALTED, Models
from tests.support.fakes.rollouts import Rollouts
from tests.support.fakes.versions import Versions
from together_operator.domain import errors
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    NewDeployment,
    TrafficShare,
    Tuning,
)
from together_operator.domain.together_rollouts import EndpointEvent

EMBEDDED = 10
"""Deployments that an endpoint's own record tells of."""


@dataclass
class Platform(Models):
    """One project of the platform."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plans: dict[str, int] = {}
        self.rollouts = Rollouts(self)

    # What rollouts need.

    def new_id(self, prefix: str) -> str:
        """An id that nothing has."""
        return self._id(prefix)

    def moment(self) -> datetime:
        """The wall clock's time."""
        return self._time(self.clock())

    def later(self, when: float, step: Callable[[float], None]) -> None:
        """Have something done at its time."""
        self._later(when, step)

    def set_replicas(self, deployment_id: str, low: int, high: int) -> None:
        """Begin to bring a deployment to its lower bound."""
        self._set_replicas(deployment_id, low, high)

    def deployment(self, endpoint_id: str, deployment_id: str) -> Deployment:
        """One deployment of an endpoint."""
        return self._deployment(endpoint_id, deployment_id)[1]

    # Endpoints.

    def create_endpoint(self, name: str, actor: str | None = None) -> Endpoint:
        """Create an endpoint without deployments."""
        self.advance()
        bare = self._bare(name)
        now = self.clock()
        if any(e.bare_name == bare for e in self.endpoints.at(now)):
            raise errors.Conflict(f"endpoint with name '{self.slug}/{bare}' already exists")
        endpoint = Endpoint(
            self._id("ep_"), f"{self.slug}/{bare}", self.project_id, self._id("etag-")
        )
        self.endpoints.add(endpoint.id, Versions(now, endpoint, actor))
        self._tell("create", "endpoint", endpoint.id, actor, actor)
        return endpoint

    def set_traffic(
        self,
        endpoint_id: str,
        split: Sequence[TrafficShare],
        etag: str,
        actor: str | None = None,
    ) -> Endpoint:
        """Replace the traffic split."""
        self.advance()
        row, endpoint = self._found(self.endpoints, "endpoint", endpoint_id)
        if etag and etag != endpoint.etag:
            raise errors.Conflict("etag does not match the current version")
        if self.rollouts.open_on(endpoint_id) is not None:
            raise errors.Conflict("a rollout is active on this endpoint", status=409)
        known = {d.id for d in self.deployments_at(endpoint_id, self.clock())}
        for share in split:
            if share.deployment_id not in known:
                raise errors.Rejected(f"trafficSplit: {share.deployment_id!r} is no deployment")
            if not math.isfinite(share.weight) or share.weight < 0:
                raise errors.Rejected("trafficSplit: weights are finite and not negative")
        kept = tuple(share for share in split if share.weight > 0)
        row.put(self.clock(), replace(endpoint, traffic=kept, etag=self._id("etag-")))
        self._tell("update", "endpoint", endpoint_id, row.owner, actor)
        return self.endpoint_at(endpoint_id, self.clock())

    def delete_endpoint(self, endpoint_id: str, actor: str | None = None) -> None:
        """Delete an endpoint that has no deployments."""
        self.advance()
        row, _ = self._found(self.endpoints, "endpoint", endpoint_id)
        left = self.deployments_at(endpoint_id, self.clock())
        if left:
            raise errors.Conflict(f"endpoint {endpoint_id} still has {len(left)} deployment(s)")
        row.put(self.clock(), None)
        self._tell("delete", "endpoint", endpoint_id, row.owner, actor)

    def endpoint_at(self, endpoint_id: str, moment: float) -> Endpoint:
        """An endpoint with what its record tells of its deployments."""
        self.advance()
        _, endpoint = self._found(self.endpoints, "endpoint", endpoint_id, moment)
        return self._with_summaries(endpoint, moment)

    def endpoints_at(self, moment: float) -> list[Endpoint]:
        """All endpoints."""
        self.advance()
        return [self._with_summaries(e, moment) for e in self.endpoints.at(moment)]

    def _with_summaries(self, endpoint: Endpoint, moment: float) -> Endpoint:
        mine = [d for d in self.deployments.at(moment) if d.endpoint_id == endpoint.id]
        summaries = tuple(
            DeploymentSummary(d.id, d.name, d.state, d.ready_replicas, d.max_replicas)
            for d in mine[:EMBEDDED]
        )
        rollout = self.rollouts.open_on(endpoint.id)
        active = rollout.id if rollout is not None and rollout.step is not None else None
        return replace(endpoint, deployments=summaries, active_rollout_id=active)

    # Deployments.

    def deployments_at(self, endpoint_id: str, moment: float) -> list[Deployment]:
        """Deployments of an endpoint, newest first."""
        self.advance()
        self._found(self.endpoints, "endpoint", endpoint_id, moment)
        return [d for d in self.deployments.at(moment) if d.endpoint_id == endpoint_id]

    def create_deployment(
        self, endpoint_id: str, new: NewDeployment, actor: str | None = None
    ) -> Deployment:
        """Create a deployment, and start it if it has replicas."""
        name, pinned = self.check_deployment(endpoint_id, new)
        now = self.clock()
        deployment = Deployment(
            id=self._id("dep_"),
            name=name,
            endpoint_id=endpoint_id,
            state=DeploymentState.STOPPED,
            model=pinned,
            config=new.config,
            placement=new.placement,
            tuning=new.tuning,
            created_at=self._time(now),
        )
        self.deployments.add(deployment.id, Versions(now, deployment, actor))
        self._set_replicas(deployment.id, new.min_replicas, new.max_replicas)
        self._tell("create", "deployment", deployment.id, actor, actor)
        return self._found(self.deployments, "deployment", deployment.id)[1]

    def check_deployment(self, endpoint_id: str, new: NewDeployment) -> tuple[str, str]:
        """Full name and model resource of a deployment that may be created."""
        self.advance()
        _, endpoint = self._found(self.endpoints, "endpoint", endpoint_id)
        bare = self._bare(new.name)
        _check_bounds(new.min_replicas, new.max_replicas)
        model_id, revision_id = self._model_of(new.model)
        _, model = self._found(self.models, "model", model_id)
        revision = next(
            (
                r
                for r in self.revisions_at(model_id, self.clock())
                if revision_id in {"", r.id} and r.validation == "SUCCESS"
            ),
            None,
        )
        if revision is None:
            raise errors.Rejected(f"model {model_id} has no validated revision")
        if not catalog.is_compatible(new.config, model.base_model_id):
            raise errors.Rejected(f"config {new.config} is not compatible with the model")
        name = f"{endpoint.name}/{bare}"
        if any(d.name == name for d in self.deployments_at(endpoint_id, self.clock())):
            raise errors.Conflict(f"deployment with name '{name}' already exists")
        return name, f"projects/{self.project_id}/models/{model_id}/revisions/{revision.id}"

    def events_at(self, endpoint_id: str, moment: float) -> list[EndpointEvent]:
        """Nothing: of starts, this platform tells the states only."""
        self._found(self.endpoints, "endpoint", endpoint_id, moment)
        return []

    def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
        actor: str | None = None,
    ) -> Deployment:
        """Set both bounds, and what `tuning` sets."""
        row, before = self._deployment(endpoint_id, deployment_id)
        _check_bounds(min_replicas, max_replicas)
        if tuning is not None:
            _check_tuning(tuning)
            row.put(self.clock(), replace(before, tuning=_tuned(before.tuning, tuning)))
        if max_replicas == 0 and self.rollouts.binds(before):
            raise errors.Rejected(f"deployment {deployment_id} can't be stopped during a rollout")
        self._set_replicas(deployment_id, min_replicas, max_replicas)
        self._tell("update", "deployment", deployment_id, row.owner, actor)
        return self._deployment(endpoint_id, deployment_id)[1]

    def delete_deployment(
        self, endpoint_id: str, deployment_id: str, actor: str | None = None
    ) -> None:
        """Delete a deployment that is halted and has no traffic."""
        row, deployment = self._deployment(endpoint_id, deployment_id)
        if self.rollouts.binds(deployment):
            raise errors.Conflict(f"deployment {deployment_id} is in a rollout", status=409)
        if deployment.state not in HALTED:
            raise errors.Conflict(f"deployment {deployment_id} is {deployment.state}")
        endpoint = self.endpoint_at(endpoint_id, self.clock())
        if any(share.deployment_id == deployment_id for share in endpoint.traffic):
            raise errors.Conflict(f"deployment {deployment_id} is in the traffic split")
        row.put(self.clock(), None)
        self._tell("delete", "deployment", deployment_id, row.owner, actor)

    def _deployment(
        self, endpoint_id: str, deployment_id: str
    ) -> tuple[Versions[Deployment], Deployment]:
        self.advance()
        self._found(self.endpoints, "endpoint", endpoint_id)
        row, deployment = self._found(self.deployments, "deployment", deployment_id)
        if deployment.endpoint_id != endpoint_id:
            raise errors.NotFound(f"deployment {deployment_id} not found")
        return row, deployment

    def _set_replicas(self, deployment_id: str, low: int, high: int) -> None:
        """Begin to bring a deployment to its lower bound."""
        row, before = self._found(self.deployments, "deployment", deployment_id)
        now, desired = self.clock(), low
        deployment = replace(before, min_replicas=low, max_replicas=high, desired_replicas=desired)
        row.put(now, deployment)
        is_there = desired == before.scheduled_replicas == before.ready_replicas
        if is_there and before.state is DeploymentState.READY:
            return
        if desired == 0 and before.state in HALTED:
            return
        plan = self._plans[deployment_id] = next(self._serial)

        def step(seconds: float, do: Callable[[Deployment], Deployment]) -> None:
            def apply(due: float) -> None:
                current = row.current
                if current is not None and self._plans[deployment_id] == plan:
                    row.put(due, do(current))

            self._later(now + seconds, apply)

        if desired == 0:
            row.put(now, _in_state(deployment, DeploymentState.STOPPING, ready=0))
            wait = self.timing.stop if before.scheduled_replicas else 0.0
            step(wait, lambda d: _in_state(d, DeploymentState.STOPPED, ready=0, scheduled=0))
            self.advance()
        elif desired < before.scheduled_replicas:
            row.put(now, _in_state(deployment, DeploymentState.SCALING, ready=desired))
            step(
                self.timing.stop,
                lambda d: _in_state(d, DeploymentState.READY, ready=desired, scheduled=desired),
            )
        else:
            self._grow(row, deployment, desired, step)

    def _grow(
        self,
        row: Versions[Deployment],
        deployment: Deployment,
        desired: int,
        step: Callable[[float, Callable[[Deployment], Deployment]], None],
    ) -> None:
        fails = self.start_failures.pop(0) if self.start_failures else ""
        fresh = deployment.scheduled_replicas == 0
        state = DeploymentState.PROVISIONING if fresh else DeploymentState.SCALING
        row.put(self.clock(), _in_state(deployment, state, ready=deployment.ready_replicas))
        step(
            self.timing.schedule,
            lambda d: _in_state(d, DeploymentState.SCALING, scheduled=desired),
        )
        end = self.timing.schedule + self.timing.load
        if fails:
            step(
                end,
                lambda d: replace(
                    _in_state(d, DeploymentState.FAILED, ready=0, scheduled=0), message=fails
                ),
            )
        else:
            step(end, lambda d: _in_state(d, DeploymentState.READY, ready=desired))

    @staticmethod
    def _model_of(resource: str) -> tuple[str, str]:
        match = re.fullmatch(r"projects/[^/]+/models/([^/]+)(?:/revisions/([^/]+))?", resource)
        if match is None:
            raise errors.Rejected("model: is not a resource name")
        return match.group(1), match.group(2) or ""

    def paid(self, owner: str) -> list[str]:
        """Deployments of an owner that cost, or are about to."""
        self.advance()
        return [
            id_
            for id_, row in self.deployments.live()
            if row.owner == owner
            and row.current is not None
            and (row.current.scheduled_replicas > 0 or row.current.max_replicas > 0)
        ]


def _check_bounds(low: int, high: int) -> None:
    if low < 0 or high < low or (low == 0) != (high == 0):
        raise errors.Rejected("minReplicas and maxReplicas: both 0, or 1 <= min <= max")


def _check_tuning(tuning: Tuning) -> None:
    for metric in tuning.metrics or ():
        if metric.name in _UTILIZATIONS and metric.target > 100:
            raise errors.Rejected(f"{metric.name}: a utilization is at most 100")
        if metric.percentile is not None and metric.name not in _LATENCIES:
            raise errors.Rejected(f"{metric.name} takes no percentile")
    timeout = tuning.inactive_timeout
    if timeout is not None and timeout != 0 and not 30 <= timeout <= 1440:
        raise errors.Rejected("inactiveTimeout: 0, or 30 to 1440 minutes")


_UTILIZATIONS = frozenset({"gpu_utilization", "token_utilization", "cache_hit_rate"})
_LATENCIES = frozenset({"ttft", "decoding_speed", "e2e_latency"})


def _tuned(before: Tuning, change: Tuning) -> Tuning:
    """What is not set stays as it was."""
    given = {name: value for name, value in asdict(change).items() if value is not None}
    return replace(before, **{name: getattr(change, name) for name in given})


def _in_state(
    deployment: Deployment,
    state: DeploymentState,
    *,
    ready: int | None = None,
    scheduled: int | None = None,
) -> Deployment:
    return replace(
        deployment,
        state=state,
        ready_replicas=deployment.ready_replicas if ready is None else ready,
        scheduled_replicas=deployment.scheduled_replicas if scheduled is None else scheduled,
    )
