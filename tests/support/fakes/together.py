"""`ModelProvider` over the faked platform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import SecretStr

from tests.support.fakes import catalog
from tests.support.fakes.network import ACTING_FOR, Wire
from tests.support.fakes.platform import Platform
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


class FakeTogether:
    """See the module. What it makes belongs to the object in `ACTING_FOR`."""

    abilities = V2

    def __init__(self, platform: Platform, wire: Wire, key: SecretStr) -> None:
        self._platform = platform
        self._wire = wire
        self._key = key

    async def project_slug(self) -> str:
        """The project's slug."""
        return await self._read("get_project", lambda _: self._platform.slug, lags=False)

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """All models."""
        del priority
        return await self._read("list_models", self._platform.models.at)

    async def get_model(self, model_id: str) -> Model:
        """One model."""

        def answer(moment: float) -> Model:
            row = self._platform.models.row(model_id)
            model = row.at(moment) if row is not None else None
            if model is None:
                raise errors.NotFound(f"model {model_id} not found", status=404)
            return model

        return await self._read("get_model", answer)

    async def create_model(self, new: NewModel) -> Model:
        """Create a model record."""
        actor = ACTING_FOR.get()
        return await self._write("create_model", lambda: self._platform.create_model(new, actor))

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Write the fields that are given."""
        actor = ACTING_FOR.get()
        return await self._write(
            "update_model", lambda: self._platform.update_model(model_id, change, actor)
        )

    async def delete_model(self, model_id: str) -> None:
        """Delete a model."""
        actor = ACTING_FOR.get()
        await self._write("delete_model", lambda: self._platform.delete_model(model_id, actor))

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """Revisions of a model, newest first."""
        return await self._read(
            "list_revisions", lambda moment: self._platform.revisions_at(model_id, moment)
        )

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """The catalog."""
        return await self._read("find_supported_models", lambda _: catalog.find(search), lags=False)

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """All imports."""
        del priority
        return await self._read("list_imports", self._platform.imports.at)

    async def get_import(self, import_id: str) -> Import:
        """One import."""

        def answer(moment: float) -> Import:
            row = self._platform.imports.row(import_id)
            job = row.at(moment) if row is not None else None
            if job is None:
                raise errors.NotFound(f"remote upload {import_id} not found", status=404)
            return job

        return await self._read("get_import", answer)

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Start an import."""
        actor = ACTING_FOR.get()
        url, given = remote_url.get_secret_value(), token.get_secret_value() if token else None
        return await self._write(
            "start_import", lambda: self._platform.start_import(model_id, url, given, actor)
        )

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """Configs of a model."""

        def answer(_: float) -> list[Config]:
            row = self._platform.models.row(model_id)
            model = row.current if row is not None else None
            return catalog.configs(model.base_model_id if model is not None else model_id)

        return await self._read("list_configs", answer, lags=False)

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """The price list."""
        return await self._read(
            "list_instance_types", lambda _: list(catalog.INSTANCES), lags=False
        )

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """All endpoints."""
        del priority
        return await self._read("list_endpoints", self._platform.endpoints_at)

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """One endpoint."""
        return await self._read(
            "get_endpoint", lambda moment: self._platform.endpoint_at(endpoint_id, moment)
        )

    async def create_endpoint(self, name: str) -> Endpoint:
        """Create an endpoint."""
        actor = ACTING_FOR.get()
        return await self._write(
            "create_endpoint", lambda: self._platform.create_endpoint(name, actor)
        )

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Replace the traffic split."""
        actor = ACTING_FOR.get()
        return await self._write(
            "set_traffic", lambda: self._platform.set_traffic(endpoint_id, split, etag, actor)
        )

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""
        actor = ACTING_FOR.get()
        await self._write(
            "delete_endpoint", lambda: self._platform.delete_endpoint(endpoint_id, actor)
        )

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """Deployments of an endpoint."""
        return await self._read(
            "list_deployments", lambda moment: self._platform.deployments_at(endpoint_id, moment)
        )

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Create a deployment."""
        actor = ACTING_FOR.get()
        return await self._write(
            "create_deployment", lambda: self._platform.create_deployment(endpoint_id, new, actor)
        )

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Set both bounds, and what `tuning` sets."""
        actor = ACTING_FOR.get()
        return await self._write(
            "scale_deployment",
            lambda: self._platform.scale_deployment(
                endpoint_id, deployment_id, min_replicas, max_replicas, tuning, actor
            ),
        )

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Delete a deployment."""
        actor = ACTING_FOR.get()
        await self._write(
            "delete_deployment",
            lambda: self._platform.delete_deployment(endpoint_id, deployment_id, actor),
        )

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """Ask whether it would be accepted."""

        def answer(_: float) -> None:
            self._platform.check_deployment(endpoint_id, new)

        await self._read("validate_deployment", answer, lags=False)

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """Rollouts of an endpoint."""
        return await self._read(
            "list_rollouts", lambda moment: self._platform.rollouts.at(endpoint_id, moment)
        )

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Prepare one."""
        actor = ACTING_FOR.get()
        return await self._write(
            "create_rollout", lambda: self._platform.rollouts.create(endpoint_id, new, actor)
        )

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """A verb."""
        return await self._write(
            f"{verb.value}_rollout",
            lambda: self._platform.rollouts.act(endpoint_id, rollout_id, verb, reason),
        )

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Delete one."""
        await self._write(
            "delete_rollout", lambda: self._platform.rollouts.delete(endpoint_id, rollout_id)
        )

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """This platform keeps no feed; that is the simulator's."""
        del deployment_id, types
        return await self._read(
            "list_events", lambda moment: self._platform.events_at(endpoint_id, moment)
        )

    async def _read(self, name: str, answer: Callable[[float], T], *, lags: bool = True) -> T:
        def of(age: float) -> T:
            self._platform.known_key(self._key.get_secret_value())
            self._platform.advance()
            return answer(self._platform.clock() - age)

        return await self._wire.read(f"together.{name}", of, lags=lags)

    async def _write(self, name: str, effect: Callable[[], T]) -> T:
        def checked() -> T:
            self._platform.known_key(self._key.get_secret_value())
            return effect()

        return await self._wire.write(f"together.{name}", checked, errors.Ambiguous)
