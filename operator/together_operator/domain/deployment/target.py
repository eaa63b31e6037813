"""What the spec asks a deployment to be: model, revision, config and placement.

Together never changes these in a deployment's life, so another target is another deployment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from together_operator.api.v1alpha1 import (
    DeploymentSource,
    DeploymentStatus,
    ModelDeployment,
    ModelDeploymentSpec,
    PlacementConstraint,
    RevisionPolicy,
    RolloutPhase,
    RolloutStatus,
)
from together_operator.domain.deployment.hardware import NoChoice, choose
from together_operator.domain.deployment.observed import (
    DIGEST_LENGTH,
    Observed,
    ServedModel,
    looks_settled,
    name_prefix,
)
from together_operator.domain.names import short_hash
from together_operator.domain.plan import is_deleting
from together_operator.domain.together import Config, Deployment, NewDeployment, Placement, Tuning


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment that shall be there. `cents_per_hour` is the list price of a replica."""

    name: str
    served: ServedModel
    config: Config
    cents_per_hour: float | None
    request: str
    placement: Placement | None = None

    def new(self, low: int, high: int, tuning: Tuning | None = None) -> NewDeployment:
        """What it is created from, with the bounds of its number of replicas."""
        return NewDeployment(
            name=self.name,
            model=self.served.resource,
            config=self.config.resource,
            min_replicas=low,
            max_replicas=high,
            tuning=tuning or Tuning(),
            placement=self.placement,
        )

    @property
    def record(self) -> DeploymentStatus:
        """What status says of it before it exists."""
        return DeploymentStatus(
            name=self.name,
            config=self.config.id,
            hardware=self.config.instance_type,
            model=self.served.id,
            revision=self.served.revision,
            request=self.request,
        )

    def is_met_by(self, o: Observed, deployment: Deployment) -> bool:
        """True when `deployment` is what this target asks for."""
        model_id, revision = model_of(deployment)
        if not model_id:
            return self._is_recorded(o, deployment)
        return (
            model_id == self.served.id
            and self.served.revision in {None, revision}
            and config_id(deployment) == self.config.id
            and deployment.placement == self.placement
        )

    def _is_recorded(self, o: Observed, deployment: Deployment) -> bool:
        """The same from status, where the API (v1) does not say what it was made from."""
        record, model = o.md.status.deployment, o.md.status.model
        if record is None or record.id != deployment.id or record.request is None:
            return True  # nobody knows, and what runs is not replaced on a guess
        known = model is None or (model.id, model.revision) == (
            self.served.id,
            self.served.revision,
        )
        return known and record.config == self.config.id


def model_of(deployment: Deployment) -> tuple[str, str | None]:
    """Ids of the model and the revision of `projects/{p}/models/{ml}[/revisions/{rv}]`."""
    parts = deployment.model.split("/")
    return parts[3] if len(parts) > 3 else "", parts[5] if len(parts) > 5 else None


def config_id(deployment: Deployment) -> str:
    """Id of the config of `projects/{p}/configs/{cr}`."""
    return deployment.config.rpartition("/")[2]


def request_digest(spec: ModelDeploymentSpec) -> str:
    """Digest of what the spec says about config and placement; the same one asks for the same."""
    fields = {"hardware", "optimization", "config", "placement"}
    return short_hash(spec.model_dump_json(include=fields, exclude_none=True))


def attempt_digest(target: Target, spec: ModelDeploymentSpec) -> str:
    """Digest of a target and of the way to it: what failed once is not tried again unchanged."""
    rollout = spec.rollout.model_dump_json(exclude={"paused"}, exclude_none=True)
    return short_hash(target.name, rollout)


def placement_of(spec: ModelDeploymentSpec) -> Placement | None:
    """The placement that the spec asks for."""
    wanted = spec.placement
    if wanted is None:
        return None
    return Placement(
        regions=wanted.regions or (),
        required=wanted.constraint != PlacementConstraint.PREFERRED,
        hipaa=bool(wanted.hipaa),
        profile=wanted.profile,
    )


def served_model(o: Observed) -> ServedModel | None:
    """The model to serve; None as long as it is not there or not ready."""
    if o.md.spec.model is not None:
        remote, revision = o.remote_model, o.md.spec.revision
        return replace(remote, revision=revision) if remote is not None and revision else remote
    if o.model is None or is_deleting(o.model):
        return None
    ready = next((c for c in o.model.status.conditions if c.type == "Ready"), None)
    record = o.model.status.model
    if ready is None or ready.status != "True" or record is None or record.id is None:
        return None
    return ServedModel(
        id=record.id,
        name=record.name or "",
        # Before there is an endpoint, only the price of it is asked for.
        project_id=o.endpoint.project_id if o.endpoint is not None else "",
        revision=_revision(o, record.id, record.revision),
    )


def _revision(o: Observed, model_id: str, latest: str | None) -> str | None:
    """The revision to serve. A pinned one is the one that is given, else the one that runs."""
    spec, status = o.md.spec, o.md.status
    if spec.revision_policy == RevisionPolicy.LATEST:
        return latest
    if spec.revision is not None:
        return spec.revision
    under_way = status.rollout.model if status.rollout is not None else None
    for known in (status.model, under_way):
        if known is not None and known.id == model_id and known.revision is not None:
            return known.revision
    found = model_of(o.deployment) if o.deployment is not None else ("", None)
    return found[1] if found[0] == model_id and found[1] is not None else latest


def is_calm(o: Observed) -> bool:
    """True when status, the endpoint's own record and the model agree that nothing is to do."""
    if not looks_settled(o.md, o.endpoint, o.now):
        return False
    served, known = served_model(o), o.md.status.model
    if served is None or known is None or o.md.status.deployment is None:
        return True
    return (served.id, served.revision) == (known.id, known.revision)


def needs_configs(o: Observed) -> bool:
    """True when a config has to be chosen: for a first deployment, or for another model or spec.

    Prices and headroom are asked for together with it.
    """
    served, current = served_model(o), o.deployment
    if served is None:
        return False
    if current is None or o.md.status.rollout is not None or o.md.status.cost is None:
        return True
    record = o.md.status.deployment
    asked = record.request if record is not None else None
    if asked != request_digest(o.md.spec) or len(o.deployments) > 1:
        return True
    return model_of(current) != (served.id, served.revision or model_of(current)[1])


def wanted_target(o: Observed) -> Target | NoChoice | None:
    """What shall serve; None as long as the model is not there or not ready.

    That is what the spec asks for, unless just that has failed in the place of what it replaced.
    """
    asked = asked_target(o)
    return replaced_in_vain(o, asked) or asked


def failure_of(o: Observed, asked: Target | NoChoice | None) -> RolloutStatus | None:
    """What status has of a change to just this target that failed."""
    rollout = o.md.status.rollout
    if rollout is None or rollout.phase is not RolloutPhase.FAILED:
        return None
    if not isinstance(asked, Target) or rollout.digest != attempt_digest(asked, o.md.spec):
        return None
    return rollout


def replaced_in_vain(o: Observed, asked: Target | NoChoice | None) -> Target | None:
    """What served before Recreate put something in its place that failed; None: it was not so."""
    failed = failure_of(o, asked)
    if failed is None or failed.source is None or not isinstance(asked, Target):
        return None
    source = failed.source
    config = _config_of(source.config, source.hardware)
    if config is None:
        return None
    _, project, _, model_id, *revision = source.model.split("/")
    served = ServedModel(
        id=model_id,
        name=source.model_name or "",
        project_id=project,
        revision=revision[1] if len(revision) > 1 else None,
    )
    prices = {kind.name: kind.cents_per_hour for kind in o.instance_types}
    name = _name_of(o, served, config, asked.placement)
    cents = prices.get(config.instance_type)
    return Target(name, served, config, cents, source.request or "", asked.placement)


def source_of(o: Observed, current: Deployment, wanted: Target) -> DeploymentSource | None:
    """What `current` can be made again from; None where that is not known."""
    record, model = o.md.status.deployment, o.md.status.model
    hardware = current.hardware or (record.hardware if record is not None else None) or ""
    known = model_of(current)[0] and _config_of(current.config, hardware) is not None
    if not known or current.placement != wanted.placement:
        return None
    return DeploymentSource(
        model=current.model,
        model_name=model.name if model is not None else None,
        config=current.config,
        hardware=hardware,
        request=record.request if record is not None else None,
    )


def asked_target(o: Observed) -> Target | NoChoice | None:
    """What the spec asks for; None as long as the model is not there or not ready."""
    served, current = served_model(o), o.deployment
    if served is None:
        return None
    request, placement = request_digest(o.md.spec), placement_of(o.md.spec)
    if o.configs is None:
        config, cents = _kept_config(o.md, current), None
        if config is None:
            return None
    else:
        choice = choose(o.md.spec, o.configs, o.instance_types, _chosen(o))
        if isinstance(choice, NoChoice):
            return choice
        config, cents = choice.config, choice.cents_per_hour
    name = _name_of(o, served, config, placement)
    return Target(name, served, config, cents, request, placement)


def _name_of(o: Observed, served: ServedModel, config: Config, placement: Placement | None) -> str:
    digest = short_hash(served.resource, config.resource, repr(placement))[:DIGEST_LENGTH]
    return f"{name_prefix(o.md, o.process.cluster_id)}-{digest}"


def _chosen(o: Observed) -> tuple[str, ...]:
    """Configs that were chosen before, the first one first; prices that change move nobody."""
    running = config_id(o.deployment) if o.deployment is not None else None
    rollout = o.md.status.rollout
    under_way = rollout.target.config if rollout is not None else None
    return tuple(config for config in (running, under_way) if config)


def _kept_config(md: ModelDeployment, current: Deployment | None) -> Config | None:
    """The config of what runs, as far as it is known without asking."""
    record = md.status.deployment
    if current is None or record is None or record.hardware is None:
        return None
    return _config_of(current.config, record.hardware)


def _config_of(resource: str, hardware: str) -> Config | None:
    """The config `projects/{p}/configs/{cr}` on `<count>x<accelerator>`."""
    count, _, gpu = hardware.partition("x")
    parts = resource.split("/")
    if len(parts) != 4 or not count.isdecimal():
        return None
    return Config(id=parts[3], project_id=parts[1], gpu=gpu, count=int(count))
