"""v1's JSON turned into the port's records. Only the fields named here are ever looked at.

Names follow the types of Together's Python SDK 2.42.0.

A dedicated endpoint of v1 is both an endpoint and its only deployment here. Its `display_name`
holds the names of both, `<endpoint>/<deployment>`, so that either is found again by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from together_operator.adapters.together_v2.fields import MalformedError
from together_operator.adapters.together_v2.messages import scrub
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    Import,
    ImportState,
    InstanceType,
    Model,
    Revision,
    TrafficShare,
)

Json = dict[str, Any]

_JOB_STATES = {
    "Queued": ImportState.PENDING,
    "Running": ImportState.RUNNING,
    "Complete": ImportState.SUCCEEDED,
    "Failed": ImportState.FAILED,
}
_ENDPOINT_STATES = {
    "PENDING": DeploymentState.PROVISIONING,
    "STARTING": DeploymentState.PROVISIONING,
    "STARTED": DeploymentState.READY,
    "STOPPING": DeploymentState.STOPPING,
    "STOPPED": DeploymentState.STOPPED,
    "ERROR": DeploymentState.FAILED,
}
_UP_STATES = frozenset({"STARTING", "STARTED", "STOPPING"})
STOPPED_STATES = frozenset({"STOPPING", "STOPPED", "ERROR"})
"""States in which nothing is wanted to run."""

LISTED_IMPORT = "listed:"
"""Prefix of the id of an import that is only known by the model that it made."""


@dataclass(frozen=True, slots=True)
class Project:
    """The project of a key."""

    id: str
    slug: str


@dataclass(frozen=True, slots=True)
class DedicatedEndpoint:
    """An endpoint of v1 with its details."""

    id: str
    name: str
    display_name: str
    model: str
    hardware: str
    state: str
    min_replicas: int
    max_replicas: int
    created_at: datetime | None

    @property
    def names(self) -> tuple[str, str]:
        """Name of the endpoint and of its deployment; the same where nobody wrote both."""
        text = self.display_name or self.name.rpartition("/")[2]
        endpoint, slash, deployment = text.partition("/")
        return (endpoint, deployment) if slash else (text, text)


def display_name(endpoint: str, deployment: str) -> str:
    """What `DedicatedEndpoint.names` takes apart again."""
    return f"{endpoint}/{deployment}"


def project(data: Json) -> Project:
    """The project of GET /whoami."""
    return Project(_required(data, "project_id"), _required(data, "project_slug"))


def model(data: Json, owner: Project) -> Model | None:
    """A model of the project; None for others', which the list has, too."""
    name = _required(data, "id")
    if not name.startswith(f"{owner.slug}/"):
        return None
    return Model(
        id=name,
        name=name,
        project_id=owner.id,
        type="",
        created_at=_moment(data.get("created")),
    )


def placeholder_model(name: str, owner: Project) -> Model:
    """What stands for a model until its import has made one."""
    return Model(id=name, name=name, project_id=owner.id, placeholder=True)


def listed_import(found: Model) -> Import:
    """The import that must have been, since its model is there."""
    return Import(
        id=f"{LISTED_IMPORT}{found.id}",
        model_id=found.id,
        state=ImportState.SUCCEEDED,
        message="The model is there",
        created_at=found.created_at,
    )


def revision(found: Model) -> Revision:
    """The only revision that a model of v1 has; a listed model has been validated."""
    made = found.created_at
    return Revision(id=f"v1-{int(made.timestamp()) if made else 0}", validation="SUCCESS")


def started_job(data: Json, model_id: str) -> Import:
    """The answer of POST /models."""
    job_id = _required(_object(data, "data"), "job_id")
    return Import(id=job_id, model_id=model_id, state=ImportState.PENDING, message="queued")


def job(data: Json, owner: Project) -> Import:
    """A job, without the URL that the API echoes, also where a message repeats it."""
    arguments = _object(data, "args")
    source = arguments.get("modelSource")
    hidden = [source] if isinstance(source, str) and "?" in source else []
    updates = data.get("status_updates")
    last = updates[-1] if isinstance(updates, list) and updates else {}
    words = last.get("message") if isinstance(last, dict) else ""
    name = _text(arguments, "modelName")
    return Import(
        id=_required(data, "job_id"),
        model_id=name if "/" in name else f"{owner.slug}/{name}",
        # A state that this version does not know is no end: waiting costs least.
        state=_JOB_STATES.get(_text(data, "status"), ImportState.RUNNING),
        message=scrub(words, hidden),
        created_at=_moment(data.get("created_at")),
    )


def config(data: Json) -> Config:
    """A hardware configuration: v1 has no other kind of config."""
    count, gpu = _hardware(data)
    return Config(id=_required(data, "id"), project_id="v1", gpu=gpu, count=count)


def instance_type(data: Json) -> InstanceType:
    """A hardware configuration with its price."""
    count, gpu = _hardware(data)
    specs, pricing = _object(data, "specs"), _object(data, "pricing")
    cents = pricing.get("cents_per_minute")
    if isinstance(cents, bool) or not isinstance(cents, int | float):
        raise MalformedError("pricing.cents_per_minute")
    memory = specs.get("gpu_memory")
    availability = _text(_object(data, "availability"), "status")
    return InstanceType(
        name=f"{count}x{gpu}",
        gpu=_text(specs, "gpu_type"),
        count=count,
        cents_per_hour=round(cents * 60, 4),
        gpu_memory_gib=float(memory) if isinstance(memory, int | float) else None,
        # v1 says only whether there is any.
        headroom={"": 0} if availability in {"unavailable", "insufficient"} else {},
    )


def dedicated_endpoint(data: Json) -> DedicatedEndpoint:
    """An endpoint with its details."""
    scaling = _object(data, "autoscaling")
    return DedicatedEndpoint(
        id=_required(data, "id"),
        name=_required(data, "name"),
        display_name=_text(data, "display_name"),
        model=_text(data, "model"),
        hardware=_text(data, "hardware"),
        state=_text(data, "state"),
        min_replicas=_integer(scaling, "min_replicas"),
        max_replicas=_integer(scaling, "max_replicas"),
        created_at=_moment(data.get("created_at")),
    )


def in_state(found: DedicatedEndpoint, state: object) -> DedicatedEndpoint:
    """The endpoint with the state that a newer answer has."""
    return replace(found, state=state) if isinstance(state, str) else found


def endpoint(found: DedicatedEndpoint, owner: Project) -> Endpoint:
    """The endpoint's half. All of an endpoint's traffic goes to it as long as it runs."""
    state = _state(found)
    known_as, name = found.names
    running = found.state not in STOPPED_STATES
    return Endpoint(
        id=known_as,
        name=found.name,
        project_id=owner.id,
        traffic=(TrafficShare(found.id, 100.0),) if running else (),
        deployments=(DeploymentSummary(found.id, name, state),),
        known_as=known_as,
        project=owner.slug,
    )


def placeholder_endpoint(name: str, owner: Project) -> Endpoint:
    """What stands for an endpoint until its deployment is created."""
    return Endpoint(
        id=name,
        name=name,
        project_id=owner.id,
        known_as=name,
        placeholder=True,
        project=owner.slug,
    )


def deployment(found: DedicatedEndpoint) -> Deployment:
    """The deployment's half. v1 tells no numbers of replicas that are there: STARTED means that all
    are ready, and what is up, or about to be, is taken to be billed.
    """
    known_as, name = found.names
    stopped = found.state in {"STOPPING", "STOPPED"}
    return Deployment(
        id=found.id,
        name=name,
        endpoint_id=known_as,
        state=_state(found),
        model=found.model,
        config=found.hardware,
        min_replicas=0 if stopped else found.min_replicas,
        max_replicas=0 if stopped else found.max_replicas,
        ready_replicas=found.min_replicas if found.state == "STARTED" else 0,
        scheduled_replicas=found.min_replicas if found.state in _UP_STATES else 0,
        created_at=found.created_at,
    )


def _state(found: DedicatedEndpoint) -> DeploymentState:
    return _ENDPOINT_STATES.get(found.state, DeploymentState.UNKNOWN)


def _hardware(data: Json) -> tuple[int, str]:
    """(count, accelerator) of an id such as `2x_nvidia_a100_80gb_sxm`, written as v2 does."""
    count, x, gpu = _required(data, "id").partition("x_")
    if not x or not count.isdecimal():
        raise MalformedError("id")
    return int(count), gpu.replace("_", "-")


def _required(data: Json, name: str) -> str:
    value = _text(data, name)
    if not value:
        raise MalformedError(name)
    return value


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _integer(data: Json, name: str) -> int:
    value = data.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedError(name)
    return value


def _object(data: Json, name: str) -> Json:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    """A moment from RFC 3339, or from seconds since the epoch."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
