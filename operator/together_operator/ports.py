"""What the reconcilers need from the outside world. Adapters implement these protocols.

Every method may raise the errors of `together_operator.domain.errors`; those listed are the ones
that a caller is expected to tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

from pydantic import SecretStr

from together_operator.api.v1alpha1 import S3Location
from together_operator.domain.archive_job import JobFacts
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.domain.source import SourceFacts
from together_operator.domain.together import (
    Abilities,
    Config,
    Deployment,
    Endpoint,
    Import,
    InstanceType,
    Model,
    ModelChange,
    NewDeployment,
    NewModel,
    Revision,
    SupportedModel,
    TrafficShare,
    Tuning,
)
from together_operator.domain.together_rollouts import (
    EndpointEvent,
    NewRollout,
    Rollout,
    RolloutVerb,
)
from together_operator.engine.store import Body, Key

Credentials = Mapping[str, SecretStr] | None
"""AWS_ACCESS_KEY_ID and the like from a Secret; None: the process's own identity."""


class Priority(IntEnum):
    """Who goes first when calls have to wait for the rate limit."""

    INTERACTIVE = 0
    POLLING = 1


class ModelProvider(Protocol):
    """Together's management API for one key, that is, one project.

    Reads raise `NotFound`, `Unauthorized`, `Forbidden`, `RateLimited`, `Unavailable`.
    Writes raise those, `Conflict`, `Rejected`, and `Ambiguous` when the answer was lost.
    There is no idempotency key: after `Ambiguous` the caller looks before it repeats a write.
    """

    @property
    def abilities(self) -> Abilities:
        """What this version of the API can do; what it can't raises `Unsupported`."""
        ...

    async def project_slug(self) -> str:
        """The slug that qualifies names of models and endpoints of this key."""
        ...

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """All models of the project (the API has no filter: every page is read)."""
        ...

    async def get_model(self, model_id: str) -> Model:
        """One model by its `ml_` id."""
        ...

    async def create_model(self, new: NewModel) -> Model:
        """Create a model record; a taken name is a `Conflict`."""
        ...

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Write the fields that are not None, and only those (`updateMask`)."""
        ...

    async def delete_model(self, model_id: str) -> None:
        """Delete a model; `Conflict` while a deployment uses it."""
        ...

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """Revisions of a model, newest first."""
        ...

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """Catalog entries for dedicated endpoints; an empty search gives all of them."""
        ...

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """All remote uploads of the project."""
        ...

    async def get_import(self, import_id: str) -> Import:
        """One remote upload."""
        ...

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Have Together fetch `remote_url` into a model.

        Args:
            remote_url: a signed URL of an archive, or `https://huggingface.co/<org>/<repo>`.
            new: what the model is created from, where the import itself creates it (v1).
        """
        ...

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """Configs that a model can be deployed with."""
        ...

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """The public price list."""
        ...

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """All endpoints of the project."""
        ...

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint by its `ep_` id."""
        ...

    async def create_endpoint(self, name: str) -> Endpoint:
        """Create an endpoint by its bare name; a taken name is a `Conflict`."""
        ...

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Replace the traffic split; empty clears it. A stale etag is a `Conflict`."""
        ...

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint; `Conflict` while it has deployments."""
        ...

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """All deployments of an endpoint, with their full status."""
        ...

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create a deployment; this is where money starts to be spent."""
        ...

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """Ask whether `create_deployment` would be accepted, and create nothing; `Rejected`."""
        ...

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Set both bounds, and what `tuning` sets; 0/0 stops the deployment and its bill."""
        ...

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Delete a stopped deployment that has no traffic; `Conflict` otherwise."""
        ...

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """All rollouts of an endpoint."""
        ...

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Prepare a rollout; it waits to be started. `Conflict` while another one is open.

        `Rejected` unless the source is READY and has traffic, and the target READY or STOPPED.
        """
        ...

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """Start, pause, resume, promote or cancel; `Rejected` in a state that does not allow it.

        Pausing and cancelling go on after the answer. Cancelling needs a `reason` and leaves the
        traffic split as it is.
        """
        ...

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Delete a rollout that was never started, or is over."""
        ...

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """The newest events (a page) of these types about one deployment, newest first."""
        ...


class Objects(Protocol):
    """The objects of one kind of ours in Kubernetes. Bodies are as the API returns them.

    Writes carry the body's resourceVersion: a stale one is a `Conflict` and changes nothing, so
    a write whose answer was lost is safe to repeat and is reported as `Unavailable`.
    """

    async def get(self, key: Key) -> Body | None:
        """The live object, or None when there is none."""
        ...

    async def list(self) -> Sequence[Body]:
        """All objects of the namespaces that are served."""
        ...

    async def versions(self) -> Mapping[Key, int]:
        """The resourceVersion of each of them."""
        ...

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status of `body`'s object; the answer is the new body."""
        ...

    async def delete(self, key: Key, uid: str) -> None:
        """Ask for the deletion of the object with that UID; one that is gone already is fine."""
        ...

    async def set_finalizers(self, body: Body, finalizers: Sequence[str]) -> Body | None:
        """Replace the finalizers; None when the object went away with the last one."""
        ...


class Secrets(Protocol):
    """Secrets of a namespace, read by name and never listed or watched."""

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """All keys of a Secret.

        Raises:
            SecretUnavailable: there is none of that name, or it may not be read.
        """
        ...


class ConfigMaps(Protocol):
    """ConfigMaps, by name and never listed or watched."""

    async def read(self, namespace: str, name: str, owner_uid: str) -> PublishedMap | None:
        """The ConfigMap, and whether the object with that UID owns it; None: there is none."""
        ...

    async def write(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """Create a ConfigMap, or replace the one of the same owner; another's is a `Conflict`."""
        ...

    async def delete(self, namespace: str, name: str, owner_uid: str) -> None:
        """Delete the ConfigMap if that object owns it; one that is gone already is fine."""
        ...


class Jobs(Protocol):
    """Archive Jobs."""

    async def find(self, namespace: str, owner_uid: str, name: str) -> JobFacts | None:
        """The Job `name` of that owner; without it, one of the owner's that still runs."""
        ...

    async def create(self, manifest: Mapping[str, Any]) -> None:
        """Create a Job; one of the same name that is there already is ours, and fine."""
        ...

    async def delete(self, namespace: str, name: str) -> None:
        """Delete a Job and its pods; one that is gone already is fine."""
        ...


@dataclass(frozen=True, slots=True)
class InStore:
    """One archive in S3, or the files of a prefix, and what may read them."""

    location: S3Location
    uri: str
    credentials: Credentials


@dataclass(frozen=True, slots=True)
class InRepository:
    """A repository at one commit."""

    repo: str
    commit: str
    token: SecretStr | None


@dataclass(frozen=True, slots=True)
class BehindUrl:
    """One archive behind a URL that the user signed."""

    url: SecretStr


Place = InStore | InRepository | BehindUrl


class Inspector(Protocol):
    """Looks into sources: would Together take the model that is there?"""

    async def inspect(self, place: Place, revision: str, largest_node: int | None) -> Sequence[str]:
        """Each problem with its remedy, in one line for people; none for a source that is good.

        Only headers are read. A source that would take too long is not called bad: what fetches
        it checks it again.

        Args:
            revision: identity of the content, by which an answer is remembered.
            largest_node: bytes of accelerator memory of the largest node there is, if known.

        Raises:
            InputError: it can't be read as what it claims to be.
        """
        ...


class ArchiveStore(Protocol):
    """S3, as far as the operator itself uses it; `credentials` None is the ambient identity."""

    async def head(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """Size and ETag of one object; `NotFound`, `Forbidden`."""
        ...

    async def list_prefix(
        self, location: S3Location, uri: str, credentials: Credentials
    ) -> SourceFacts:
        """Number of files, bytes and a digest of a prefix; `NotFound` when it is empty."""
        ...

    async def delete_archives(
        self,
        location: S3Location,
        folder: str,
        credentials: Credentials,
        *,
        keep_whole: bool = False,
    ) -> None:
        """Delete archives in a folder of ours, abort unfinished ones, and see that all are gone.

        Whatever does not carry the name of an archive of ours stays. A bucket that is not there
        is `NotFound`.

        Args:
            folder: `s3://bucket/prefix/`, of one object alone.
            keep_whole: end only what is unfinished.
        """
        ...

    async def presign(
        self, location: S3Location, uri: str, credentials: Credentials, seconds: int
    ) -> SecretStr:
        """A GET URL (SigV4) that stays valid for `seconds`.

        Raises:
            InputError: the credentials themselves end earlier.
        """
        ...


class Hub(Protocol):
    """Hugging Face, for metadata only."""

    async def look(
        self, repo: str, token: SecretStr | None, revision: str | None = None
    ) -> SourceFacts:
        """Commit, files, size and base model of a repository, at its default branch if None."""
        ...


class Events(Protocol):
    """Kubernetes events, best effort."""

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        """Have an event recorded for an object; never fails and never waits."""
        ...


class Gate(Protocol):
    """Whether this process is the one that may act."""

    def is_held(self) -> bool:
        """False from the moment on at which another process may have taken over."""
        ...
