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
from together.types import Endpoint as SdkEndpoint
from together.types import EndpointDeployment as SdkDeployment
from together.types import Model as SdkModel
from together.types.models import Config as SdkConfig

from tests.contract import sdk_rollouts as rollouts
from together_operator.domain import errors
from together_operator.domain.together import (
    V2,
    Config,
    Deployment,
    DeploymentState,
    DeploymentSummary,
    Endpoint,
    Import,
    ImportState,
    InstanceType,
    Model,
    ModelChange,
    NewDeployment,
    NewModel,
    Revision,
    ScalingMetric,
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
        return [_model(m) for m in await _read(_all(client.models.list()))]

    async def get_model(self, model_id: str) -> Model:
        """One model."""
        client = await self._project()
        return _model(await _read(client.models.retrieve(model_id)))

    async def create_model(self, new: NewModel) -> Model:
        """Create a model."""
        client = await self._project()
        create = client.models.create(
            name=new.name,
            base_model_id=new.base_model_id,
            type=new.type,
            description=new.description or omit,
        )
        return _model(await _write(create))

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Change the fields that are given."""
        client = await self._project()
        mask = [n for n in ("description", "visibility") if getattr(change, n) is not None]
        visibility: Any = change.visibility.value if change.visibility else omit
        description = omit if change.description is None else change.description
        update = client.models.update(
            model_id, update_mask=",".join(mask), description=description, visibility=visibility
        )
        return _model(await _write(update))

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
        return [_import(j) for j in await _read(_all(client.models.remote_uploads.list()))]

    async def get_import(self, import_id: str) -> Import:
        """One import."""
        client = await self._project()
        return _import(await _read(client.models.remote_uploads.retrieve(import_id)))

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
        return _import(await _write(create))

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
                found[config.id] = _config(config)
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
        return [_endpoint(e) for e in await _read(_all(client.endpoints.list()))]

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint."""
        client = await self._project()
        return _endpoint(await _read(client.endpoints.retrieve(endpoint_id)))

    async def create_endpoint(self, name: str) -> Endpoint:
        """Create an endpoint."""
        client = await self._project()
        return _endpoint(await _write(client.endpoints.create(name=name)))

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
        return _endpoint(await _write(update))

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""
        client = await self._project()
        await _write(client.endpoints.delete(endpoint_id))

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """All deployments of an endpoint."""
        client = await self._project()
        pages = client.endpoints.deployments.list(endpoint_id)
        return [_deployment(d) for d in await _read(_all(pages))]

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create a deployment."""
        return _deployment(await self._new_deployment(endpoint_id, new))

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
            autoscaling=_autoscaling(new.min_replicas, new.max_replicas, new.tuning),
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
            autoscaling=_autoscaling(min_replicas, max_replicas, tuning),
            inactive_timeout=omit if timeout is None else timeout,
        )
        return _deployment(await _write(update))

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


def _model(model: SdkModel) -> Model:
    kinds = {None: "", "WEIGHTS_TYPE_ADAPTER": "adapter"}
    return Model(
        id=model.id,
        name=model.name,
        project_id=model.project_id,
        base_model_id=model.base_model_id or "",
        type=kinds.get(model.weights.type, "model"),
        description=model.description or "",
        visibility=model.visibility,
    )


def _import(job: Any) -> Import:
    """The SDK has one type for each of create, retrieve and list, all with the same fields."""
    return Import(
        id=job.id,
        model_id=job.api_model_id,
        state=ImportState(job.status.removeprefix("REMOTE_UPLOAD_STATUS_")),
        message=job.status_message or "",
        restarts=job.restart_count or 0,
        max_restarts=job.max_restarts or 0,
        created_at=job.created_at,
    )


def _config(config: SdkConfig) -> Config:
    selectors = {s.key: s.value for s in config.selectors}
    return Config(
        id=config.id,
        project_id=config.project_id,
        gpu=selectors["accelerator_type"],
        count=int(selectors["accelerator_count"]),
        optimization=selectors["optimization"],
    )


def _endpoint(endpoint: SdkEndpoint) -> Endpoint:
    return Endpoint(
        id=endpoint.id,
        name=endpoint.name,
        project_id=endpoint.project_id,
        etag=endpoint.etag,
        traffic=tuple(TrafficShare(s.deployment_id, s.weight) for s in endpoint.traffic_split),
        deployments=tuple(
            DeploymentSummary(
                id=d.id,
                name=d.name,
                state=DeploymentState(d.state.removeprefix("DEPLOYMENT_STATE_")),
                ready_replicas=d.ready_replicas,
                desired_replicas=d.desired_replicas,
            )
            for d in endpoint.deployments
        ),
        active_rollout_id=endpoint.active_rollout_id,
    )


_METRIC_TYPES: dict[str, Any] = {
    "ttft": "METRIC_TARGET_TYPE_VALUE",
    "gpu_utilization": "METRIC_TARGET_TYPE_UTILIZATION",
    "inflight_requests": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
}


def _autoscaling(low: int, high: int, tuning: Tuning) -> Any:
    """The SDK's parameter; what is not set is left out."""
    windows = {
        "scale_up_window": tuning.scale_up_window,
        "scale_down_window": tuning.scale_down_window,
        "scale_to_zero_window": tuning.scale_to_zero_window,
    }
    metrics = [
        {"name": m.name, "type": _METRIC_TYPES[m.name], "target": m.target}
        | ({} if m.percentile is None else {"percentile": m.percentile})
        for m in tuning.metrics or ()
    ]
    return {
        "min_replicas": low,
        "max_replicas": high,
        **{name: f"{seconds}s" for name, seconds in windows.items() if seconds is not None},
        **({} if tuning.metrics is None else {"scaling_metrics": metrics}),
    }


def _tuning(deployment: SdkDeployment) -> Tuning:
    scaling = deployment.autoscaling
    metrics = tuple(
        ScalingMetric(m.name, m.target, m.percentile) for m in scaling.scaling_metrics or ()
    )

    def seconds(window: str | None) -> int | None:
        return int(window.removesuffix("s")) if window else None

    return Tuning(
        metrics=metrics or None,
        scale_up_window=seconds(scaling.scale_up_window),
        scale_down_window=seconds(scaling.scale_down_window),
        scale_to_zero_window=seconds(scaling.scale_to_zero_window),
        inactive_timeout=deployment.inactive_timeout,
    )


def _deployment(deployment: SdkDeployment) -> Deployment:
    status, scaling = deployment.status, deployment.autoscaling
    return Deployment(
        id=deployment.id,
        name=deployment.name,
        endpoint_id=deployment.endpoint_id,
        state=DeploymentState(status.state.removeprefix("DEPLOYMENT_STATE_")),
        model=deployment.model,
        config=deployment.config,
        hardware=deployment.hardware or "",
        message=status.message,
        min_replicas=scaling.min_replicas or 0,
        max_replicas=scaling.max_replicas or 0,
        ready_replicas=status.ready_replicas or 0,
        scheduled_replicas=status.scheduled_replicas or 0,
        desired_replicas=deployment.desired_replicas,
        tuning=_tuning(deployment),
        placement=rollouts.placed(deployment.placement),
        etag=deployment.etag,
        created_at=deployment.created_at,
    )
