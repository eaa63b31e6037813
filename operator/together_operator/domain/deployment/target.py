"""What the spec asks a deployment to be: model, revision, config and placement.

Together never changes these in a deployment's life, so another target is another deployment.
"""

from __future__ import annotations

from dataclasses import dataclass

from together_operator.api.v1alpha1 import (
    DeploymentStatus,
    ModelDeployment,
    ModelDeploymentSpec,
    ModelStatus,
)
from together_operator.domain.deployment.hardware import NoChoice, choose
from together_operator.domain.deployment.observed import DIGEST_LENGTH, Observed, name_prefix
from together_operator.domain.names import short_hash
from together_operator.domain.plan import is_deleting
from together_operator.domain.together import Config, Deployment


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that shall be served. `project_id` owns it; no `revision` is the newest one."""

    id: str
    name: str
    project_id: str
    revision: str | None = None

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
class Target:
    """A deployment that shall be there. `cents_per_hour` is the list price of a replica."""

    name: str
    served: ServedModel
    config: Config
    cents_per_hour: float | None
    request: str

    @property
    def record(self) -> DeploymentStatus:
        """What status says of it before it exists."""
        return DeploymentStatus(
            name=self.name,
            config=self.config.id,
            hardware=self.config.instance_type,
            revision=self.served.revision,
            request=self.request,
        )

    def is_met_by(self, deployment: Deployment) -> bool:
        """True when `deployment` is what this target asks for."""
        model_id, revision = model_of(deployment)
        return (
            model_id == self.served.id
            and self.served.revision in {None, revision}
            and config_id(deployment) == self.config.id
        )


def model_of(deployment: Deployment) -> tuple[str, str | None]:
    """Ids of the model and the revision of `projects/{p}/models/{ml}[/revisions/{rv}]`."""
    parts = deployment.model.split("/")
    return parts[3] if len(parts) > 3 else "", parts[5] if len(parts) > 5 else None


def config_id(deployment: Deployment) -> str:
    """Id of the config of `projects/{p}/configs/{cr}`."""
    return deployment.config.rpartition("/")[2]


def request_digest(spec: ModelDeploymentSpec) -> str:
    """Digest of what the spec says about the config; the same one asks for the same."""
    wanted = spec.model_copy(update={"model_ref": None}).model_dump_json(
        include={"hardware", "optimization", "config"}, exclude_none=True
    )
    return short_hash(wanted)


def served_model(o: Observed) -> ServedModel | None:
    """The model to serve; None as long as it is not there or not ready."""
    if o.model is None or o.endpoint is None or is_deleting(o.model):
        return None
    ready = next((c for c in o.model.status.conditions if c.type == "Ready"), None)
    record = o.model.status.model
    if ready is None or ready.status != "True" or record is None or record.id is None:
        return None
    return ServedModel(
        id=record.id,
        name=record.name or "",
        project_id=o.endpoint.project_id,
        revision=record.revision,
    )


def needs_configs(o: Observed) -> bool:
    """True when a config has to be chosen: for a first deployment, or for another model or spec."""
    served, current = served_model(o), o.deployment
    if served is None:
        return False
    if current is None:
        return True
    record = o.md.status.deployment
    asked = record.request if record is not None else None
    return asked != request_digest(o.md.spec) or model_of(current)[0] != served.id


def wanted_target(o: Observed) -> Target | NoChoice | None:
    """What the spec asks for; None as long as the model is not there or not ready."""
    served, current = served_model(o), o.deployment
    if served is None:
        return None
    request = request_digest(o.md.spec)
    if o.configs is None:
        config, cents = _kept_config(o.md, current), None
        if config is None:
            return None
    else:
        kept = config_id(current) if current is not None else None
        choice = choose(o.md.spec, o.configs, o.instance_types, kept)
        if isinstance(choice, NoChoice):
            return choice
        config, cents = choice.config, choice.cents_per_hour
    digest = short_hash(served.resource, config.resource)[:DIGEST_LENGTH]
    name = f"{name_prefix(o.md, o.process.cluster_id)}-{digest}"
    return Target(name, served, config, cents, request)


def _kept_config(md: ModelDeployment, current: Deployment | None) -> Config | None:
    """The config of what runs, as far as it is known without asking."""
    record = md.status.deployment
    if current is None or record is None or record.hardware is None:
        return None
    count, _, gpu = record.hardware.partition("x")
    parts = current.config.split("/")
    if len(parts) != 4 or not count.isdecimal():
        return None
    return Config(id=parts[3], project_id=parts[1], gpu=gpu, count=int(count))
