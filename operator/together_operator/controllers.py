"""Both kinds' reconcilers and runners on the ports: what the operator is without its adapters."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from together_operator.api.v1alpha1 import CustomModel, ModelDeployment
from together_operator.config import Config
from together_operator.domain.archive_manifest import Worker
from together_operator.domain.deployment.uses import models_in_use, wanted_model
from together_operator.domain.glance import is_settled
from together_operator.domain.plan import Process, with_own_status
from together_operator.engine.runner import Meter, Reconcile, Runner, Settings
from together_operator.engine.store import Body, Key, Store, key_of
from together_operator.ports import (
    ArchiveStore,
    ConfigMaps,
    Events,
    Gate,
    Hub,
    Inspector,
    Jobs,
    ModelProvider,
    Objects,
    Secrets,
)
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.custom_model import CustomModelReconciler, Outside
from together_operator.reconcilers.deployment import DeploymentReconciler
from together_operator.reconcilers.driver import Reconciler, World
from together_operator.reconcilers.ledger import Ledger
from together_operator.reconcilers.spending import Limits, Spending

CUSTOM_MODELS = CustomModel.definition.plural
MODEL_DEPLOYMENTS = ModelDeployment.definition.plural


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world.

    Args:
        connect: makes a provider for an API key.
        inspector: looks into sources before anything is started; None: nobody does.
    """

    models: Objects
    deployments: Objects
    secrets: Secrets
    config_maps: ConfigMaps
    jobs: Jobs
    archives: ArchiveStore
    hub: Hub
    events: Events
    gate: Gate
    connect: Callable[[SecretStr], ModelProvider]
    inspector: Inspector | None = None


@dataclass(frozen=True, slots=True)
class Chance:
    """Time and randomness, handed in.

    Args:
        now: the wall clock, in UTC.
        monotonic: seconds.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    rng: random.Random


class Controllers:
    """See the module. The watch hands bodies to `on_model` and `on_deployment`.

    Args:
        own_key: gives the operator's own Together key as it is now, if it has one.
        worker: what archive Jobs are made of.
        source_seconds: between looks at an imported source; 0: none is looked at again.
        limits: the operator's ceilings on cost.
    """

    def __init__(
        self,
        ports: Ports,
        process: Process,
        settings: Settings,
        chance: Chance,
        meter: Meter,
        *,
        own_key: Callable[[], SecretStr] | None,
        worker: Worker,
        source_seconds: float = 0.0,
        limits: Limits | None = None,
    ) -> None:
        self._now = chance.now
        self.spending = Spending(limits)
        self.spending.on_freed = self._look_again
        self._deployment_objects = ports.deployments
        self.models, self.deployments = Store(), Store(_models_of)
        self._model_objects = ports.models
        self.accounts = Accounts(own_key, ports.connect, ports.secrets, chance.monotonic)
        outside = Outside(
            accounts=self.accounts,
            secrets=ports.secrets,
            jobs=ports.jobs,
            archives=ports.archives,
            hub=ports.hub,
            worker=worker,
            inspector=ports.inspector,
            source_seconds=source_seconds,
        )
        ledger = Ledger(chance.now, ports.gate.is_held)
        world = World(process, ports.gate, ports.events, ledger, chance.now, chance.rng)
        reconcile_model = CustomModelReconciler(
            world, ports.models, self.models, outside, self._users
        )
        reconcile_deployment = DeploymentReconciler(
            world,
            ports.deployments,
            self.deployments,
            self.accounts,
            self._find_model,
            self.spending,
            ports.config_maps,
            self.models,
        )
        self.reconcile: Mapping[str, Reconcile] = {
            CUSTOM_MODELS: reconcile_model,
            MODEL_DEPLOYMENTS: reconcile_deployment,
        }

        def runner(kind: str, reconcile: Reconciler[Any, Any, Any, Any]) -> Runner:
            rng, is_calm = chance.rng, reconcile.is_calm
            return Runner(
                kind, reconcile, reconcile.store, settings, meter, rng, is_settled, is_calm
            )

        self._model_runner = runner(CUSTOM_MODELS, reconcile_model)
        self._deployment_runner = runner(MODEL_DEPLOYMENTS, reconcile_deployment)

    @property
    def runners(self) -> tuple[Runner, ...]:
        """One a kind."""
        return self._model_runner, self._deployment_runner

    async def prepare(self) -> None:
        """Learn what all objects reserve, before the first of them may want more.

        Without a ceiling nobody asks for that, and a start need not list what the watch lists.
        """
        if self.spending.is_limited:
            self.spending.seed(await self._deployment_objects.list())

    def start(self) -> None:
        """Start the workers."""
        for runner in self.runners:
            runner.start()

    def on_model(self, body: Body, deleted: bool) -> None:
        """The watch delivered a CustomModel: it and what refers to it are looked at."""
        if self._model_runner.observed(body, deleted=deleted):
            return  # what refers to a model that had settled before we started knows it already
        for key in self.deployments.referring(key_of(body)):
            self._deployment_runner.queue.add(key)

    def on_deployment(self, body: Body, deleted: bool) -> None:
        """The watch delivered a ModelDeployment: its going may let its model go."""
        if self._deployment_runner.observed(body, deleted=deleted):
            self.spending.assume(body, self._now())  # until it is looked at
        key = Key(body["metadata"]["namespace"], wanted_model(body) or "")
        model = self.models.get(key) if deleted else None
        if model is not None and "deletionTimestamp" in model["metadata"]:
            self._model_runner.queue.add(key)

    def _look_again(self, key: Key) -> None:
        self._deployment_runner.queue.add(key)

    async def _find_model(self, namespace: str, name: str) -> CustomModel | None:
        key = Key(namespace, name)
        body = self.models.get(key) or await self._model_objects.get(key)
        return with_own_status(CustomModel.model_validate(body)) if body is not None else None

    def _users(self, key: Key, model_id: str | None) -> list[str]:
        """ModelDeployments that refer to a CustomModel, and others that its model still serves."""
        referring = self.deployments.referring(key)
        serving = self.deployments.referring(_at_together(model_id)) if model_id else []
        others = [other for other in serving if other not in referring]
        return [
            *(user.name for user in referring),
            *(
                f"{o.name if o.namespace == key.namespace else o} (it still runs it)"
                for o in others
            ),
        ]


def limits_of(config: Config) -> Limits:
    """The ceilings of the configuration, in cents."""
    by_namespace = {n: float(d) * 100 for n, d in config.namespace_max_hourly_cost.items()}
    each = by_namespace.pop("*", None)
    total = config.max_hourly_cost
    return Limits(None if total is None else float(total) * 100, by_namespace, each)


def _models_of(body: Body) -> Iterator[Key]:
    """The CustomModel that a ModelDeployment refers to, and what it runs at Together."""
    name = wanted_model(body)
    if name is not None:
        yield Key(body["metadata"]["namespace"], name)
    for model_id in models_in_use(body):
        yield _at_together(model_id)


def _at_together(model_id: str) -> Key:
    """A model at Together among what ModelDeployments refer to: it is in no namespace."""
    return Key("", model_id)
