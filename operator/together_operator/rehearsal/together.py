"""`ModelProvider` that reads from a real one, and only remembers what is written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from pydantic import SecretStr

from together_operator.domain import errors
from together_operator.domain.together import (
    Abilities,
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
    SupportedModel,
    TrafficShare,
    Tuning,
)
from together_operator.domain.together_rollouts import (
    EndpointEvent,
    NewRollout,
    Rollout,
    RolloutState,
    RolloutVerb,
)
from together_operator.ports import ModelProvider, Priority
from together_operator.rehearsal.steps import Recorder

T = TypeVar("T")
Item = TypeVar("Item", Model, Endpoint, Deployment)
PLANNED = "planned"
"""In place of ids that only Together can give."""


class RehearsedTogether:
    """See the module. What it makes comes up at once.

    Args:
        now: the rehearsal's time.
    """

    def __init__(
        self, real: ModelProvider, recorder: Recorder, now: Callable[[], datetime]
    ) -> None:
        self._real = real
        self._record = recorder.add
        self._now = now
        self._numbers = itertools.count(1)
        self._models: dict[str, Model | None] = {}
        self._revisions: dict[str, Revision] = {}
        self._imports: dict[str, Import] = {}
        self._endpoints: dict[str, Endpoint | None] = {}
        self._deployments: dict[str, Deployment | None] = {}
        self._rollouts: dict[str, Rollout] = {}
        self._hardware: dict[str, str] = {}

    @property
    def abilities(self) -> Abilities:
        """The real one's."""
        return self._real.abilities

    async def project_slug(self) -> str:
        """The real one's."""
        return await self._real.project_slug()

    # Models.

    async def list_models(self, priority: Priority = Priority.POLLING) -> Sequence[Model]:
        """What is there, and what would be."""
        return _overlaid(await self._real.list_models(priority), self._models)

    async def get_model(self, model_id: str) -> Model:
        """What is there or would be."""
        if model_id in self._models:
            return _there(self._models[model_id], model_id)
        return await self._real.get_model(model_id)

    async def create_model(self, new: NewModel) -> Model:
        """Remember it."""
        name = f"{await self._real.project_slug()}/{new.name.rpartition('/')[2]}"
        separate = self.abilities.version != "v1"
        model = Model(
            id=f"{PLANNED}-model-{next(self._numbers)}" if separate else name,
            name=name,
            project_id=PLANNED,
            base_model_id=new.base_model_id,
            type=new.type,
            description=new.description,
            created_at=self._now(),
            placeholder=not separate,
        )
        self._models[model.id] = model
        if separate:
            self._record("create model", name)
        return model

    async def update_model(self, model_id: str, change: ModelChange) -> Model:
        """Remember it."""
        model = await self.get_model(model_id)
        if change.description is not None:
            model = replace(model, description=change.description)
        if change.visibility is not None:
            model = replace(model, visibility=change.visibility)
        self._models[model_id] = model
        self._record("update model", model.name)
        return model

    async def delete_model(self, model_id: str) -> None:
        """Remember it."""
        model = await self.get_model(model_id)
        self._models[model_id] = None
        self._record("delete model", model.name)

    async def list_revisions(self, model_id: str) -> Sequence[Revision]:
        """The planned one first."""
        planned = [self._revisions[model_id]] if model_id in self._revisions else []
        if model_id in self._models and planned:
            return planned
        try:
            return [*planned, *await self._real.list_revisions(model_id)]
        except errors.NotFound:
            return planned

    async def find_supported_models(self, search: str = "") -> Sequence[SupportedModel]:
        """The real one's."""
        return await self._real.find_supported_models(search)

    # Imports.

    async def list_imports(self, priority: Priority = Priority.POLLING) -> Sequence[Import]:
        """What ran, and what would."""
        return [*await self._real.list_imports(priority), *self._imports.values()]

    async def get_import(self, import_id: str) -> Import:
        """What ran or would."""
        return self._imports.get(import_id) or await self._real.get_import(import_id)

    async def start_import(
        self,
        model_id: str,
        remote_url: SecretStr,
        token: SecretStr | None = None,
        *,
        new: NewModel | None = None,
    ) -> Import:
        """Remember it; it has succeeded already."""
        del token, new
        model = await self.get_model(model_id)
        self._models[model_id] = replace(model, placeholder=False)
        number = next(self._numbers)
        made = Import(
            id=f"{PLANNED}-import-{number}",
            model_id=model_id,
            state=ImportState.SUCCEEDED,
            created_at=self._now(),
        )
        self._imports[made.id] = made
        self._revisions[model_id] = Revision(f"{PLANNED}-revision-{number}", "SUCCESS")
        # Never what is behind the question mark: that is the signature.
        source = remote_url.get_secret_value().partition("?")[0]
        self._record("import", f"{source} into {model.name}")
        return made

    # What a model can run on.

    async def list_configs(self, model_id: str) -> Sequence[Config]:
        """Those of the base for a model that isn't there yet."""
        planned = self._models.get(model_id)
        if planned is not None and planned.project_id == PLANNED:
            model_id = planned.base_model_id if self.abilities.base_models else ""
        configs = await self._real.list_configs(model_id)
        self._hardware.update((config.resource, config.instance_type) for config in configs)
        return configs

    async def list_instance_types(self) -> Sequence[InstanceType]:
        """The real one's."""
        return await self._real.list_instance_types()

    # Endpoints and deployments.

    async def list_endpoints(self, priority: Priority = Priority.POLLING) -> Sequence[Endpoint]:
        """What is there, and what would be."""
        return _overlaid(await self._real.list_endpoints(priority), self._endpoints)

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        """What is there or would be."""
        if endpoint_id in self._endpoints:
            return _there(self._endpoints[endpoint_id], endpoint_id)
        return await self._real.get_endpoint(endpoint_id)

    async def create_endpoint(self, name: str) -> Endpoint:
        """Remember it."""
        bare = name.rpartition("/")[2]
        endpoint = Endpoint(
            id=f"{PLANNED}-endpoint-{next(self._numbers)}",
            name=f"{await self._real.project_slug()}/{bare}",
            project_id=PLANNED,
            known_as=bare,
        )
        self._endpoints[endpoint.id] = endpoint
        self._record("create endpoint", endpoint.name)
        return endpoint

    async def set_traffic(
        self, endpoint_id: str, split: Sequence[TrafficShare], etag: str
    ) -> Endpoint:
        """Remember it."""
        del etag
        endpoint = replace(await self.get_endpoint(endpoint_id), traffic=tuple(split))
        self._endpoints[endpoint_id] = endpoint
        self._record("route traffic", endpoint.name)
        return endpoint

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """Remember it."""
        endpoint = await self.get_endpoint(endpoint_id)
        self._endpoints[endpoint_id] = None
        self._record("delete endpoint", endpoint.name)

    async def list_deployments(self, endpoint_id: str) -> Sequence[Deployment]:
        """What is there, and what would be."""
        endpoint = await self.get_endpoint(endpoint_id)
        real = (
            [] if endpoint.project_id == PLANNED else await self._real.list_deployments(endpoint_id)
        )
        mine = {i: d for i, d in self._deployments.items() if d is None or _is_on(d, endpoint_id)}
        return _overlaid(real, mine)

    async def create_deployment(self, endpoint_id: str, new: NewDeployment) -> Deployment:
        """Remember it; it is ready already."""
        endpoint = await self.get_endpoint(endpoint_id)
        deployment = Deployment(
            id=f"{PLANNED}-deployment-{next(self._numbers)}",
            name=new.name,
            endpoint_id=endpoint_id,
            state=DeploymentState.READY,
            # v1 does not name the model as a resource, whose parts could be told.
            model=new.model if self.abilities.version == "v2" else "",
            config=new.config,
            tuning=new.tuning,
            created_at=self._now(),
        )
        count = f"{new.min_replicas} replica{'s' if new.min_replicas != 1 else ''}"
        hardware = self._hardware.get(new.config, new.config)
        self._record("deploy", f"{count} of {hardware} on {endpoint.name}")
        return await self._keep(deployment, new.min_replicas, new.max_replicas)

    async def scale_deployment(
        self,
        endpoint_id: str,
        deployment_id: str,
        min_replicas: int,
        max_replicas: int,
        tuning: Tuning | None = None,
    ) -> Deployment:
        """Remember it; it has happened already."""
        found = await self._deployment(endpoint_id, deployment_id)
        words = f"from {found.max_replicas} to {max_replicas} replicas"
        self._record("scale", f"{found.name} {words}")
        tuned = replace(found, tuning=tuning) if tuning is not None else found
        return await self._keep(tuned, min_replicas, max_replicas)

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        """Remember it."""
        found = await self._deployment(endpoint_id, deployment_id)
        self._deployments[deployment_id] = None
        self._record("delete deployment", found.name)

    async def validate_deployment(self, endpoint_id: str, new: NewDeployment) -> None:
        """The real one's, where endpoint and model are there already."""
        planned = PLANNED in new.model or PLANNED in endpoint_id or self._is_planned(endpoint_id)
        if not planned:
            await self._real.validate_deployment(endpoint_id, new)

    # Rollouts.

    async def list_rollouts(self, endpoint_id: str) -> Sequence[Rollout]:
        """What is there, and what would be."""
        real = [] if self._is_planned(endpoint_id) else await self._real.list_rollouts(endpoint_id)
        planned = {r.id: r for r in self._rollouts.values() if r.endpoint_id == endpoint_id}
        return [*planned.values(), *(r for r in real if r.id not in planned)]

    async def create_rollout(self, endpoint_id: str, new: NewRollout) -> Rollout:
        """Remember it."""
        rollout = Rollout(
            id=f"{PLANNED}-rollout-{next(self._numbers)}",
            endpoint_id=endpoint_id,
            source_id=new.source_id,
            target_id=new.target_id,
            state=RolloutState.PENDING,
            created_at=self._now(),
        )
        self._rollouts[rollout.id] = rollout
        endpoint = await self.get_endpoint(endpoint_id)
        self._record("roll out", f"{new.strategy} on {endpoint.name}")
        return rollout

    async def act_on_rollout(
        self, endpoint_id: str, rollout_id: str, verb: RolloutVerb, reason: str = ""
    ) -> Rollout:
        """Remember it; what is started has completed already."""
        del reason
        found = await self.list_rollouts(endpoint_id)
        rollout = _there(next((r for r in found if r.id == rollout_id), None), rollout_id)
        if verb in {RolloutVerb.START, RolloutVerb.RESUME, RolloutVerb.PROMOTE}:
            rollout = replace(rollout, state=RolloutState.COMPLETED, traffic_percent=100)
            endpoint = await self.get_endpoint(endpoint_id)
            split = (TrafficShare(rollout.target_id, 100.0),)
            self._endpoints[endpoint_id] = replace(endpoint, traffic=split)
        elif verb is RolloutVerb.CANCEL:
            rollout = replace(rollout, state=RolloutState.CANCELED)
        else:
            rollout = replace(rollout, state=RolloutState.PAUSED)
        self._rollouts[rollout_id] = rollout
        self._record(f"{verb.value} rollout", rollout_id)
        return rollout

    async def delete_rollout(self, endpoint_id: str, rollout_id: str) -> None:
        """Remember it."""
        del endpoint_id
        self._rollouts.pop(rollout_id, None)
        self._record("delete rollout", rollout_id)

    async def list_events(
        self, endpoint_id: str, deployment_id: str, types: Sequence[str]
    ) -> Sequence[EndpointEvent]:
        """The real ones, of what is there."""
        if self._is_planned(endpoint_id) or PLANNED in deployment_id:
            return []
        return await self._real.list_events(endpoint_id, deployment_id, types)

    def _is_planned(self, endpoint_id: str) -> bool:
        endpoint = self._endpoints.get(endpoint_id)
        return endpoint is not None and endpoint.project_id == PLANNED

    async def _deployment(self, endpoint_id: str, deployment_id: str) -> Deployment:
        for found in await self.list_deployments(endpoint_id):
            if found.id == deployment_id:
                return found
        raise errors.NotFound(f"There is no deployment {deployment_id}", status=404)

    async def _keep(self, deployment: Deployment, low: int, high: int) -> Deployment:
        state = DeploymentState.READY if high else DeploymentState.STOPPED
        kept = replace(
            deployment,
            state=state,
            min_replicas=low,
            max_replicas=high,
            ready_replicas=low,
            scheduled_replicas=low,
            desired_replicas=low,
        )
        self._deployments[kept.id] = kept
        endpoint = await self.get_endpoint(kept.endpoint_id)
        summary = DeploymentSummary(kept.id, kept.name, state, low, low)
        others = tuple(d for d in endpoint.deployments if d.id != kept.id)
        self._endpoints[endpoint.id] = replace(endpoint, deployments=(summary, *others))
        return kept


def _overlaid(real: Sequence[Item], planned: dict[str, Item | None]) -> list[Item]:
    """`real` with what was changed, without what was removed, and with what was added."""
    found = [item for item in real if item.id not in planned]
    found.extend(item for item in planned.values() if item is not None and _listed(item))
    return found


def _listed(item: Model | Endpoint | Deployment) -> bool:
    return isinstance(item, Deployment) or not item.placeholder


def _there(item: T | None, item_id: str) -> T:
    if item is None:
        raise errors.NotFound(f"There is no {item_id} any more", status=404)
    return item


def _is_on(deployment: Deployment, endpoint_id: str) -> bool:
    return deployment.endpoint_id == endpoint_id
