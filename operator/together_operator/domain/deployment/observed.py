"""What a decision about a ModelDeployment rests on, and which of it has to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from together_operator.api.v1alpha1 import (
    CustomModel,
    DeletionPolicy,
    Intent,
    ModelDeployment,
    ModelDeploymentPhase,
    ModelStatus,
    ModelType,
    RolloutPhase,
    RolloutStatus,
)
from together_operator.domain.deployment.scaling import wanted_scaling, was_asked_for
from together_operator.domain.deployment.startup import COMPLETE
from together_operator.domain.deployment.timetable import due
from together_operator.domain.errors import OperatorError
from together_operator.domain.names import MAX_LABEL, cluster_tag, derived_name, remote_name
from together_operator.domain.plan import (
    Process,
    has_finalizer,
    is_deleting,
    is_released,
    is_retried,
    is_unseen,
    is_untouched,
)
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    InstanceType,
)
from together_operator.domain.together_rollouts import EndpointEvent, Rollout

DIGEST_LENGTH = 8
"""Characters of a deployment's name that tell the settings it was made with."""

SERVE = "serve"
"""What stands in a deployment's name between the object's name and the cluster's tag."""

ENDPOINT_INTENT = "Endpoint"
DEPLOYMENT_INTENT = "Deployment"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that shall be served. `project_id` owns it; no `revision` is the newest one.

    `is_embedding`: it makes embeddings and no text, as far as is known without a CustomModel.
    """

    id: str
    name: str
    project_id: str
    revision: str | None = None
    is_embedding: bool = False

    @property
    def resource(self) -> str:
        """Resource name that a deployment refers to."""
        whole = f"projects/{self.project_id}/models/{self.id}"
        return whole if self.revision is None else f"{whole}/revisions/{self.revision}"

    @property
    def status(self) -> ModelStatus:
        """What status says of it."""
        return ModelStatus(id=self.id, name=self.name, revision=self.revision)


@dataclass(frozen=True, slots=True)
class PublishedMap:
    """A ConfigMap that is there: what it holds, and whether this object owns it."""

    data: Mapping[str, str]
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A limit on cost that an object shares with others.

    Args:
        name: for people, such as `namespace team`.
        limit: US cents an hour.
        used: what the others reserve of it.
    """

    name: str
    limit: float
    used: float


class Fact(Enum):
    """Something that has to be looked at before a decision can be made."""

    MODEL = "model"
    ENDPOINT = "endpoint"
    DEPLOYMENTS = "deployments"


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a decision about one ModelDeployment rests on.

    Args:
        jitter: from 0 up to 1, for the backoff of a failure.
        model: the CustomModel that is referred to.
        configs: of that model; None when they were not looked at, because none has to be chosen.
        endpoint: the one with the id in status, else the one that carries the wanted name.
        stranger: name of the endpoint with the id in status, if it is neither named as this
            object's is nor known to be its own; `endpoint` is then the one that is so named.
        claimed_by: `namespace/name` of another object that has what was found by name.
        deployments: ours on that endpoint; empty also when they were not looked at.
        rollouts: of that endpoint; empty also when only one of ours is there.
        events: about the one of ours that is starting, newest first.
        refused: Together's words when it would not accept the deployment that is due.
        now: when it was looked.
        last_sent: when this process last sent a create whose outcome it does not know.
        remote_model: the model that `spec.model` names, if it is there.
        similar_models: if it is not, names that are like it.
        project: slug of the project that the API key works in; empty: not asked.
        strangers: deployments of others on an endpoint that may be taken over.
        ceilings: limits on cost that the object shares with others.
        config_maps: those that are there, by name, of the one that the spec names and the one
            that was written.
        config_map_error: why they could not be looked at.
    """

    md: ModelDeployment
    process: Process
    jitter: float = 0.0
    model: CustomModel | None = None
    configs: tuple[Config, ...] | None = None
    instance_types: tuple[InstanceType, ...] = ()
    endpoint: Endpoint | None = None
    stranger: str = ""
    claimed_by: str = ""
    deployments: tuple[Deployment, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    events: tuple[EndpointEvent, ...] = ()
    refused: str = ""
    now: datetime = _EPOCH
    last_sent: datetime | None = None
    remote_model: ServedModel | None = None
    similar_models: tuple[str, ...] = ()
    project: str = ""
    strangers: tuple[Deployment, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    config_maps: Mapping[str, PublishedMap] = field(default_factory=dict)
    config_map_error: OperatorError | None = None

    @property
    def resource(self) -> ModelDeployment:
        """The object."""
        return self.md

    @property
    def replicas(self) -> int:
        """Replicas that are wanted now at least; 0 also outside of schedule and lifetime."""
        return wanted_scaling(self.md, self.now).low

    @property
    def is_embedding(self) -> bool:
        """True when the model makes embeddings, not text."""
        if self.md.spec.model is not None:
            return self.remote_model is not None and self.remote_model.is_embedding
        return self.model is not None and self.model.spec.type is ModelType.EMBEDDING

    @property
    def deployment(self) -> Deployment | None:
        """The current one of ours, which has the traffic: the one that status names, else (status
        can be lost) the one with the largest weight, else the newest."""
        record = self.md.status.deployment
        known = record.id if record is not None else None
        weights = (
            {s.deployment_id: s.weight for s in self.endpoint.traffic} if self.endpoint else {}
        )

        def rank(found: Deployment) -> tuple[bool, float, datetime]:
            return found.id == known, weights.get(found.id, 0.0), found.created_at or _EPOCH

        return max(self.deployments, key=rank, default=None)

    @property
    def progress(self) -> RolloutStatus | None:
        """The change with both deployments that is under way, if status knows of one."""
        rollout = self.md.status.rollout
        alone = {RolloutPhase.FAILED, RolloutPhase.REPLACING}
        return rollout if rollout is not None and rollout.phase not in alone else None

    @property
    def replacement(self) -> RolloutStatus | None:
        """The change by Recreate that is under way, if status knows of one."""
        rollout = self.md.status.rollout
        replaces = rollout is not None and rollout.phase is RolloutPhase.REPLACING
        return rollout if replaces else None

    @property
    def target(self) -> Deployment | None:
        """The one of ours that shall take over, once it is there."""
        wanted = self.progress.target if self.progress is not None else None
        if wanted is None:
            return None
        named = (d for d in self.deployments if wanted.name == d.name.rpartition("/")[2])
        found = next((d for d in self.deployments if d.id == wanted.id), next(named, None))
        return found if found != self.deployment else None

    @property
    def open_rollout(self) -> Rollout | None:
        """The rollout that binds the endpoint."""
        return next((rollout for rollout in self.rollouts if rollout.is_open), None)

    @property
    def starting(self) -> Deployment | None:
        """The one of ours whose start is worth following, until its end was seen, too."""
        one = self.target or self.deployment
        ended = {DeploymentState.STOPPED, DeploymentState.STOPPING}
        if self._is_start_told:
            ended.add(DeploymentState.READY)
        return one if one is not None and one.state not in ended else None

    @property
    def _is_start_told(self) -> bool:
        """True when status has a whole start, or had replicas ready before anybody looked."""
        phases = self.md.status.startup
        if phases:
            return phases[-1].phase == COMPLETE
        return bool(self.md.status.ready_replicas)

    def model_name(self, model_id: str) -> str | None:
        """Full name at Together of the CustomModel, if it is the one with this id."""
        record = self.model.status.model if self.model is not None else None
        return record.name if record is not None and record.id == model_id else None

    def intent(self, kind: str) -> Intent | None:
        """The stored intent, if it is of `kind`."""
        intent = self.md.status.intent
        return intent if intent is not None and intent.kind == kind else None

    def is_ours(self, intent: Intent | None) -> bool:
        """True when what is found under `intent` was created by it."""
        sent = intent is not None and not is_untouched(intent, self.process, self.last_sent)
        return sent and not self.claimed_by


def wanted_name(md: ModelDeployment) -> str:
    """Bare name of the endpoint at Together."""
    return md.spec.endpoint_name or remote_name(md.metadata.namespace, md.metadata.name)


def name_prefix(md: ModelDeployment, cluster_id: str) -> str:
    """What the names of all our deployments begin with; nobody else derives the same.

    The cluster's tag stands in it for itself: `domain/orphans.py` knows ours by it.
    """
    limit = MAX_LABEL - DIGEST_LENGTH - 1
    what = f"{SERVE}-{cluster_tag(cluster_id)}"
    return derived_name(md.metadata.name, what, cluster_id, md.metadata.uid, limit=limit)


def was_made_by(
    md: ModelDeployment, cluster_id: str, found: Deployment | DeploymentSummary
) -> bool:
    """True for a deployment that this object made: nobody else derives its name."""
    return found.name.rpartition("/")[2].startswith(f"{name_prefix(md, cluster_id)}-")


def is_our_deployment(md: ModelDeployment, cluster_id: str, found: Deployment) -> bool:
    """True for one that this object made, or took over as its status says."""
    records = (md.status.deployment, md.status.previous)
    known = any(record is not None and record.id == found.id for record in records)
    return known or was_made_by(md, cluster_id, found)


def is_known_endpoint(o: Observed) -> bool:
    """True when the endpoint that was found is the one that status names."""
    record = o.md.status.endpoint
    return o.endpoint is not None and record is not None and record.id == o.endpoint.id


def old_name(o: Observed) -> str:
    """Bare name that the endpoint had before somebody renamed it at Together; else empty."""
    wanted = wanted_name(o.md)
    renamed = o.endpoint is not None and o.endpoint.bare_name != wanted
    return wanted if renamed else ""


def is_our_endpoint(o: Observed) -> bool:
    """True when the endpoint that was found is ours: by status, by the intent that made it, or
    (both can be lost) by a deployment on it whose name only this object derives."""
    if o.endpoint is None:
        return False
    made = (was_made_by(o.md, o.process.cluster_id, d) for d in o.deployments)
    return is_known_endpoint(o) or o.is_ours(o.intent(ENDPOINT_INTENT)) or any(made)


def has_endpoint(md: ModelDeployment) -> bool:
    """True when status knows the endpoint."""
    return md.status.endpoint is not None and md.status.endpoint.id is not None


def has_deployment(md: ModelDeployment) -> bool:
    """True when status knows the deployment."""
    return md.status.deployment is not None and md.status.deployment.id is not None


def is_settled(md: ModelDeployment) -> bool:
    """True when status says that nothing is to do for this generation."""
    return (
        md.status.observed_generation == md.metadata.generation
        and md.status.phase in {ModelDeploymentPhase.READY, ModelDeploymentPhase.STOPPED}
        and md.status.intent is None
        and not is_retried(md, md.status.last_retry)
        and not is_deleting(md)
        and has_finalizer(md)
        and has_endpoint(md)
    )


def looks_settled(md: ModelDeployment, endpoint: Endpoint | None, now: datetime) -> bool:
    """True when the endpoint's own record, from a shared list, agrees with a settled status.

    It spares the look at the endpoint's deployments, which costs a call for each object.
    """
    if not is_settled(md) or endpoint is None:
        return False
    known = md.status.endpoint
    if known is None or (known.id, known.name) != (endpoint.id, endpoint.name):
        return False
    clock, wanted = due(md, now), wanted_scaling(md, now)
    if clock.deletes or clock.next_change != md.status.next_change:
        return False
    if md.status.deployment is None or md.status.deployment.id is None:
        return wanted.high == 0
    if not was_asked_for(md.status.scaling, wanted):
        return False
    ours = next((d for d in endpoint.deployments if d.id == md.status.deployment.id), None)
    if ours is None:
        return False
    # What Together stopped for want of requests is stopped although replicas are wanted.
    stopped = wanted.high == 0 or md.status.phase == ModelDeploymentPhase.STOPPED
    state = DeploymentState.STOPPED if stopped else DeploymentState.READY
    routed = any(share.deployment_id == ours.id and share.weight > 0 for share in endpoint.traffic)
    expected = {None, 0} if stopped else {None, md.status.replicas}
    return ours.state is state and (routed or stopped) and ours.desired_replicas in expected


def is_told_empty(md: ModelDeployment) -> bool:
    """True when status says that nothing of the object was ever made.

    After an etcd was restored from a backup that may be old news: it is believed only where nobody
    can look.
    """
    return not has_endpoint(md) and md.status.intent is None and not is_unseen(md)


def wanted_facts(md: ModelDeployment) -> frozenset[Fact]:
    """What has to be looked at, from the object alone."""
    if not has_finalizer(md):
        return frozenset()
    if is_deleting(md):
        if is_released(md) or md.spec.deletion_policy == DeletionPolicy.RETAIN:
            return frozenset()
        return frozenset({Fact.ENDPOINT, Fact.DEPLOYMENTS})
    return frozenset({Fact.MODEL, Fact.ENDPOINT, Fact.DEPLOYMENTS})
