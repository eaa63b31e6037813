"""Together's platform in memory: models, imports, endpoints, deployments, and what they cost.

The rules are those of the simulator, without HTTP and without weights; the contract suite holds
both to the same behaviour. Nothing runs in the background: whoever comes first has what is due
done, each thing at its own time.
"""

from __future__ import annotations

import heapq
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from tests.support.fakes import catalog
from tests.support.fakes.versions import Table, Versions
from together_operator.domain import errors
from together_operator.domain.together import (
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    Import,
    ImportState,
    Model,
    ModelChange,
    NewDeployment,
    NewModel,
    Revision,
    TrafficShare,
)

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_FINAL = frozenset({ImportState.SUCCEEDED, ImportState.FAILED})
_HALTED = frozenset({DeploymentState.STOPPED, DeploymentState.FAILED})
EMBEDDED = 10
"""Deployments that an endpoint's own record tells of."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that things take."""

    queue: float = 1.0
    fetch: float = 4.0
    restart: float = 2.0
    validate: float = 1.0
    schedule: float = 1.5
    load: float = 4.0
    stop: float = 3.0


@dataclass(frozen=True, slots=True)
class Write:
    """A change that was made: what was done to which thing, for which object."""

    verb: str
    kind: str
    id: str
    owner: str | None
    """UID of the object that the thing was made for."""

    actor: str | None
    """UID of the object on whose behalf it was changed now."""


@dataclass
class _Fetch:
    """An import's work: what is fetched, and with which token."""

    url: str
    token: str | None


@dataclass
class Platform:
    """One project of the platform.

    Args:
        clock: seconds.
        epoch: the wall clock's time at the clock's 0.
        fetch: raises an errors.RemoteError for a source (URL, token) that can't be fetched.
        keys: API keys that are valid.
    """

    clock: Callable[[], float]
    epoch: datetime
    fetch: Callable[[str, str | None], None]
    timing: Timing = field(default_factory=Timing)
    keys: set[str] = field(default_factory=set)
    project_id: str = "proj_test"
    slug: str = "acme"

    def __post_init__(self) -> None:
        self.models: Table[Model] = Table()
        self.revisions: dict[str, list[tuple[float, Revision]]] = {}
        self.imports: Table[Import] = Table()
        self.endpoints: Table[Endpoint] = Table()
        self.deployments: Table[Deployment] = Table()
        self.import_failures: list[str] = []
        """What the next imports fail with; empty words let one succeed, `restart` has it done
        once more by the platform."""

        self.start_failures: list[str] = []
        """What the next starts of deployments fail with; empty words let one succeed."""

        self.observers: list[Callable[[Write], None]] = []
        self.cents = 0.0
        """Bills so far."""

        self._billed_until = 0.0
        self._serial = itertools.count(1)
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._plans: dict[str, int] = {}
        self._fetches: dict[str, _Fetch] = {}

    # Time.

    def advance(self) -> None:
        """Do everything that is due."""
        now = self.clock()
        while self._due and self._due[0][0] <= now:
            due, _, step = heapq.heappop(self._due)
            self._bill(due)
            step(due)
        self._bill(now)

    def _later(self, when: float, step: Callable[[float], None]) -> None:
        heapq.heappush(self._due, (when, next(self._serial), step))

    def _bill(self, until: float) -> None:
        hours = max(0.0, until - self._billed_until) / 3600
        self._billed_until = max(self._billed_until, until)
        for _, row in self.deployments.live():
            deployment = row.current
            if deployment is not None:
                price = catalog.cents_per_hour(deployment.config)
                self.cents += hours * deployment.scheduled_replicas * price

    def _time(self, moment: float) -> datetime:
        return datetime.fromtimestamp(self.epoch.timestamp() + moment, UTC)

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self._serial):04}"

    def _tell(self, verb: str, kind: str, id_: str, owner: str | None, actor: str | None) -> None:
        for observer in self.observers:
            observer(Write(verb, kind, id_, owner, actor))

    # Models.

    def create_model(self, new: NewModel, actor: str | None = None) -> Model:
        """Register a model without files."""
        self.advance()
        name = self._bare(new.name)
        if new.base_model_id not in catalog.BASES:
            raise errors.Rejected(f"baseModelId: {new.base_model_id!r} is not supported")
        if any(m.bare_name == name for m in self.models.at(self.clock())):
            raise errors.Conflict(f"model with name '{self.slug}/{name}' already exists")
        now = self.clock()
        model = Model(
            id=self._id("ml_"),
            name=f"{self.slug}/{name}",
            project_id=self.project_id,
            base_model_id=new.base_model_id,
            type="",
            description=new.description,
            created_at=self._time(now),
        )
        self.models.add(model.id, Versions(now, model, actor))
        self.revisions[model.id] = []
        self._tell("create", "model", model.id, actor, actor)
        return model

    def update_model(self, model_id: str, change: ModelChange, actor: str | None = None) -> Model:
        """Write the fields that are given."""
        self.advance()
        row, model = self._found(self.models, "model", model_id)
        after = replace(
            model,
            description=model.description if change.description is None else change.description,
            visibility=change.visibility or model.visibility,
        )
        row.put(self.clock(), after)
        self._tell("update", "model", model_id, row.owner, actor)
        return after

    def delete_model(self, model_id: str, actor: str | None = None) -> None:
        """Delete a model that no active deployment uses, and end its imports."""
        self.advance()
        row, _ = self._found(self.models, "model", model_id)
        active = [
            id_
            for id_, other in self.deployments.live()
            if other.current is not None
            and f"/models/{model_id}" in other.current.model
            and other.current.state not in _HALTED
        ]
        if active:
            raise errors.Conflict(f"model {model_id} is in use by {len(active)} deployment(s)")
        now = self.clock()
        row.put(now, None)
        for _, job in self.imports.live():
            current = job.current
            if current is not None and current.model_id == model_id and current.state not in _FINAL:
                self._end(job, now, ImportState.FAILED, "the model was deleted")
        self._tell("delete", "model", model_id, row.owner, actor)

    # Imports.

    def start_import(
        self, model_id: str, url: str, token: str | None, actor: str | None = None
    ) -> Import:
        """Accept an import."""
        self.advance()
        self._found(self.models, "model", model_id)
        if not url.startswith(("https://", "http://")):
            raise errors.Rejected("remoteUrl: must be a repository or a presigned URL")
        now = self.clock()
        job = Import(
            id=self._id("job_"),
            model_id=model_id,
            state=ImportState.PENDING,
            message="Waiting for a worker",
            max_restarts=3,
            created_at=self._time(now),
        )
        self.imports.add(job.id, Versions(now, job, actor))
        self._fetches[job.id] = _Fetch(url, token)
        self._later(now + self.timing.queue, lambda due: self._run(job.id, due))
        self._tell("create", "import", job.id, actor, actor)
        return job

    def _run(self, job_id: str, due: float) -> None:
        row, job = self._found(self.imports, "remote upload", job_id)
        if job.state in _FINAL:
            return
        restarts = job.restarts + (job.state is ImportState.ERROR)
        running = replace(job, state=ImportState.RUNNING, message="Downloading", restarts=restarts)
        row.put(due, running)
        self._later(due + self.timing.fetch, lambda later: self._finish(job_id, later))

    def _finish(self, job_id: str, due: float) -> None:
        row, job = self._found(self.imports, "remote upload", job_id)
        if job.state in _FINAL:
            return
        words = self.import_failures.pop(0) if self.import_failures else ""
        if words == "restart":
            self._end(row, due, ImportState.ERROR, "lost a worker")
            self._later(due + self.timing.restart, lambda later: self._run(job_id, later))
            return
        try:
            fetch = self._fetches[job_id]
            self.fetch(fetch.url, fetch.token)
        except errors.RemoteError as error:
            words = words or error.message
        if words:
            self._end(row, due, ImportState.FAILED, words)
            return
        self._end(row, due, ImportState.SUCCEEDED, "Imported")
        made = Revision(self._id("rv_"), "PENDING", created_at=self._time(due))
        self.revisions[job.model_id].append((due, made))
        self._later(due + self.timing.validate, lambda later: self._validate(job, made, later))

    def _validate(self, job: Import, made: Revision, due: float) -> None:
        self.revisions[job.model_id].append((due, replace(made, validation="SUCCESS")))
        model = self.models.row(job.model_id)
        if model is not None and model.current is not None:
            model.put(due, replace(model.current, type="model"))

    def _end(self, row: Versions[Import], due: float, state: ImportState, words: str) -> None:
        if row.current is not None:
            row.put(due, replace(row.current, state=state, message=words))

    def revisions_at(self, model_id: str, moment: float) -> list[Revision]:
        """Revisions of a model, newest first."""
        self.advance()
        self._found(self.models, "model", model_id)
        latest = {r.id: r for since, r in self.revisions[model_id] if since <= moment}
        return list(latest.values())[::-1]

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
        return replace(endpoint, deployments=summaries)

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
        now = self.clock()
        pinned = f"projects/{self.project_id}/models/{model_id}/revisions/{revision.id}"
        deployment = Deployment(
            id=self._id("dep_"),
            name=name,
            endpoint_id=endpoint_id,
            state=DeploymentState.STOPPED,
            model=pinned,
            config=new.config,
            created_at=self._time(now),
        )
        self.deployments.add(deployment.id, Versions(now, deployment, actor))
        self._set_replicas(deployment.id, new.min_replicas, new.max_replicas)
        self._tell("create", "deployment", deployment.id, actor, actor)
        return self._found(self.deployments, "deployment", deployment.id)[1]

    def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        actor: str | None = None,
    ) -> Deployment:
        """Set both bounds."""
        row, _ = self._deployment(endpoint_id, deployment_id)
        _check_bounds(min_replicas, max_replicas)
        self._set_replicas(deployment_id, min_replicas, max_replicas)
        self._tell("update", "deployment", deployment_id, row.owner, actor)
        return self._deployment(endpoint_id, deployment_id)[1]

    def delete_deployment(
        self, endpoint_id: str, deployment_id: str, actor: str | None = None
    ) -> None:
        """Delete a deployment that is halted and has no traffic."""
        row, deployment = self._deployment(endpoint_id, deployment_id)
        if deployment.state not in _HALTED:
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
        deployment = replace(before, min_replicas=low, max_replicas=high)
        row.put(now, deployment)
        if desired == before.scheduled_replicas == before.ready_replicas and (
            before.state is DeploymentState.READY or desired == 0
        ):
            return
        if desired == 0 and before.state in _HALTED:
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

    # Below: what all have in common.

    def _bare(self, name: str) -> str:
        slug, slash, bare = name.rpartition("/")
        if (slash and slug != self.slug) or not _NAME.fullmatch(bare):
            raise errors.Rejected(f"name: {name!r} is not acceptable")
        return bare

    def _model_of(self, resource: str) -> tuple[str, str]:
        match = re.fullmatch(r"projects/[^/]+/models/([^/]+)(?:/revisions/([^/]+))?", resource)
        if match is None:
            raise errors.Rejected("model: is not a resource name")
        return match.group(1), match.group(2) or ""

    def _found(
        self, table: Table[T], kind: str, id_: str, moment: float | None = None
    ) -> tuple[Versions[T], T]:
        row = table.row(id_)
        found = None if row is None else row.current if moment is None else row.at(moment)
        if row is None or found is None:
            raise errors.NotFound(f"{kind} {id_} not found", status=404)
        return row, found

    def known_key(self, key: str) -> None:
        """Refuse a key that is not valid."""
        if key not in self.keys:
            raise errors.Unauthorized("Invalid API key", status=401)

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
