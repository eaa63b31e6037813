"""`ModelProvider` by means of the official SDK, which is the reference for requests and answers.

Records are filled from the SDK's own typed models; nothing here looks at JSON.
"""

import contextlib
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, TypeVar

import httpx
import together
from pydantic import SecretStr
from together import AsyncTogether, omit
from together.types import EndpointDeployment as SdkDeployment

from tests.contract import sdk_records as records
from tests.contract import sdk_rollouts as rollouts
from together_operator.domain import errors
from together_operator.domain.together import (
    V2,
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
from together_operator.ports import Priority

T = TypeVar("T")

_ERRORS: dict[int, type[errors.RemoteError]] = {
    400: errors.Rejected,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    422: errors.Rejected,
}


class SdkDriver:
    """The SDK behind our port, without its retries."""

    abilities = V2

    def __init__(self, key: SecretStr, base_url: str, *, project_id: str | None = None) -> None:
        self._client = AsyncTogether(
            api_key=key.get_secret_value(),
            base_url=base_url,
            max_retries=0,
            timeout=20.0,
            project_id=project_id,
        )
        self._slug: str | None = None

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def project_slug(self) -> str:
        """The slug of the key's project."""
        await self._project()
        assert self._slug is not None
        return self._slug

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """Every page, as the SDK walks them."""
        client = await self._project()
        return [records.model(m) for m in await _read(_all(client.models.list()))]

    async def get_model(self, model_id: str) -> Model:
        """One model."""
        client = await self._project()
        return records.model(await _read(client.models.retrieve(model_id)))

    async def create_model(self, new: NewModel) -> Model:
        """Create a model."""
        client = await self._project()
        create = client.models.create(
            name=new.name,
            base_model_id=new.base_model_id,
            type=new.type,
            description=new.description or omit,
        )
        return records.model(await _write(create))

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Change the fields that are given."""
        client = await self._project()
        mask = [n for n in ("description", "visibility") if getattr(change, n) is not None]
        visibility: Any = change.visibility.value if change.visibility else omit
        description = omit if change.description is None else change.description
        update = client.models.update(
            model_id, update_mask=",".join(mask), description=description, visibility=visibility
        )
        return records.model(await _write(update))

    async def delete_model(self, model_id: str) -> None:
        """Delete a model."""
        client = await self._project()
        await _write(client.models.delete(model_id))

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """Revisions."""
        client = await self._project()
        answer = await _read(client.models.list_revisions(model_id))
        return [
            Revision(
                id=r.revision_id,
                validation=(r.validation_status or "").rpartition("_")[2],
                messages=tuple(e.message or "" for e in r.validation_errors or ()),
                created_at=r.created_at,
            )
            for r in answer.data or ()
        ]

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """The catalog."""
        pages = self._client.models.list_supported(
            product="PRODUCT_DEDICATED", search=search or omit
        )
        found: dict[tuple[str, str], SupportedModel] = {}
        for entry in await _read(_all(pages)):
            ids = {p.model.split("/")[3] for p in entry.deployment_profiles}
            names = {(p.api_model_name, p.model.split("/")[3]) for p in entry.deployment_profiles}
            if len(ids) == 1:
                names.add((entry.name, *ids))
            for name, model_id in names:
                found[name, model_id] = SupportedModel(
                    name=name,
                    model_id=model_id,
                    architecture=entry.architecture or "",
                    capabilities=tuple(entry.capabilities),
                )
        return list(found.values())

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """All imports."""
        client = await self._project()
        return [
            records.remote_import(j) for j in await _read(_all(client.models.remote_uploads.list()))
        ]

    async def get_import(self, import_id: str) -> Import:
        """One import."""
        client = await self._project()
        return records.remote_import(await _read(client.models.remote_uploads.retrieve(import_id)))

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Start an import."""
        client = await self._project()
        create = client.models.remote_uploads.create(
            model_id=model_id,
            remote_url=remote_url.get_secret_value(),
            token=omit if token is None else token.get_secret_value(),
        )
        return records.remote_import(await _write(create))

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """Configs of a model and of its base."""
        client = await self._project()
        references = [model_id]
        with contextlib.suppress(errors.NotFound):
            references.append((await self.get_model(model_id)).base_model_id)
        found: dict[str, Config] = {}
        for reference in references:
            for config in await _read(
                _all(client.models.configs.list(reference_model_id=reference))
            ):
                found[config.id] = records.config(config)
        return list(found.values())

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """The price list."""
        answer = await _read(self._client.endpoints.hardware.list())
        return [
            InstanceType(
                name=t.name,
                gpu=t.gpu_type,
                count=t.gpu_count,
                cents_per_hour=t.price_cents_per_hour,
                gpu_memory_gib=t.gpu_memory_gib,
                headroom={r.name: r.headroom.value if r.headroom else None for r in t.regions},
                roomy=frozenset(
                    r.name
                    for r in t.regions
                    if r.headroom and r.headroom.relation == "RELATION_GTE"
                ),
            )
            for t in answer.data
        ]

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """All endpoints."""
        client = await self._project()
        return [records.endpoint(e) for e in await _read(_all(client.endpoints.list()))]

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint."""
        client = await self._project()
        return records.endpoint(await _read(client.endpoints.retrieve(endpoint_id)))

    async def create_endpoint(self, name: str) -> Endpoint:
        """Create an endpoint."""
        client = await self._project()
        return records.endpoint(await _write(client.endpoints.create(name=name)))

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Replace the split."""
        client = await self._project()
        update = client.endpoints.update(
            endpoint_id,
            update_mask="trafficSplit",
            etag=etag or omit,
            traffic_split=[{"deployment_id": s.deployment_id, "weight": s.weight} for s in split],
        )
        return records.endpoint(await _write(update))

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""
        client = await self._project()
        await _write(client.endpoints.delete(endpoint_id))

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """All deployments of an endpoint."""
        client = await self._project()
        pages = client.endpoints.deployments.list(endpoint_id)
        return [records.deployment(d) for d in await _read(_all(pages))]

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create a deployment."""
        return records.deployment(await self._new_deployment(endpoint_id, new))

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """Only check one."""
        await self._new_deployment(endpoint_id, new, validate_only=True)

    async def _new_deployment(
        self, endpoint_id: str, new: NewDeployment, *, validate_only: bool = False
    ) -> SdkDeployment:
        client = await self._project()
        create = client.endpoints.deployments.create(
            endpoint_id,
            name=new.name,
            model=new.model,
            config=new.config,
            autoscaling=records.autoscaling(new.min_replicas, new.max_replicas, new.tuning),
            inactive_timeout=omit
            if not new.tuning.inactive_timeout
            else new.tuning.inactive_timeout,
            placement=omit if new.placement is None else rollouts.placement(new.placement),
            validate_only=validate_only or omit,
        )
        return await _write(create)

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Set both bounds, and what `tuning` sets."""
        tuning = tuning or Tuning()
        timeout = tuning.inactive_timeout
        client = await self._project()
        update = client.endpoints.deployments.update(
            deployment_id,
            endpoint_id=endpoint_id,
            update_mask="autoscaling" + ("" if timeout is None else ",inactiveTimeout"),
            autoscaling=records.autoscaling(min_replicas, max_replicas, tuning),
            inactive_timeout=omit if timeout is None else timeout,
        )
        return records.deployment(await _write(update))

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Delete a deployment."""
        client = await self._project()
        await _write(client.endpoints.deployments.delete(deployment_id, endpoint_id=endpoint_id))

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """All rollouts."""
        client = await self._project()
        pages = client.endpoints.rollouts.list(endpoint_id)
        return [rollouts.rollout(r) for r in await _read(_all(pages))]

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Prepare one."""
        client = await self._project()
        spec = rollouts.new_rollout(new)
        create = client.endpoints.rollouts.create(endpoint_id, **spec)
        return rollouts.rollout(await _write(create))

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """A verb."""
        client = await self._project()
        call: Any = getattr(client.endpoints.rollouts, verb.value)
        said = {"reason": reason} if verb in {RolloutVerb.PAUSE, RolloutVerb.CANCEL} else {}
        return rollouts.rollout(await _write(call(rollout_id, endpoint_id=endpoint_id, **said)))

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Delete one."""
        client = await self._project()
        await _write(client.endpoints.rollouts.delete(rollout_id, endpoint_id=endpoint_id))

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """The first page."""
        client = await self._project()
        page = await _read(
            client.endpoints.list_events(
                endpoint_id, deployment_ids=[deployment_id], types=list(types), limit=50
            )
        )
        return [rollouts.event(event) for event in page.data or ()]

    async def _project(self) -> AsyncTogether:
        """The client, which from the first call on knows its project."""
        if self._slug is None:
            me = await _read(self._client.whoami())
            project = getattr(me, "project", None)
            if project is None:
                projects = await _read(_all(self._client.projects.list()))
                project = next((p for p in projects if p.id == self._client.project_id), None)
            if project is None:
                raise errors.Unauthorized("the key belongs to an organization")
            self._client.project_id, self._slug = project.id, project.slug
        return self._client


async def _all(pages: Any) -> list[Any]:
    return [item async for item in pages]


async def _read(call: Awaitable[T]) -> T:
    return await _translated(call, errors.Unavailable)


async def _write(call: Awaitable[T]) -> T:
    return await _translated(call, errors.Ambiguous)


async def _translated(call: Awaitable[T], lost: type[errors.RemoteError]) -> T:
    """The SDK's exceptions in terms of ours."""
    try:
        return await call
    except together.RateLimitError as error:
        seconds = error.response.headers.get("retry-after")
        raise errors.RateLimited(
            _words(error), retry_after=float(seconds) if seconds else None
        ) from error
    except together.InternalServerError as error:
        raise lost(_words(error), status=error.status_code) from error
    except together.APIStatusError as error:
        raise _ERRORS[error.status_code](_words(error), status=error.status_code) from error
    except together.APIConnectionError as error:
        refused = isinstance(error.__cause__, httpx.ConnectError)
        raise (errors.Unavailable if refused else lost)(str(error)) from error


def _words(error: together.APIStatusError) -> str:
    body: Any = error.body
    inner = body.get("error", body) if isinstance(body, dict) else {}
    details: Iterable[Any] = inner.get("details") or ()
    return " ".join([str(inner.get("message", "")), *(d.get("detail", "") for d in details)])
