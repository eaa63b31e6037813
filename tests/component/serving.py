"""One ModelDeployment, reconciled by the real reconciler and adapter against the simulator.

There is no Kubernetes: the object lives in a dict that counts its versions, so that a whole life
takes seconds and every status is seen.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from tests.contract.situations import imported_model
from tests.support.simulators.together import TogetherSimulator
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.api.v1alpha1 import CustomModel, ModelDeployment
from together_operator.domain.backoff import Backoff
from together_operator.domain.deployment.observed import PublishedMap
from together_operator.domain.errors import Conflict
from together_operator.domain.outcome import After, Done, Failed, Gone
from together_operator.domain.plan import Process
from together_operator.domain.together import Model
from together_operator.engine.store import Body, Key, Store
from together_operator.ports import Secrets
from together_operator.reconcilers.account import Accounts
from together_operator.reconcilers.deployment import DeploymentReconciler
from together_operator.reconcilers.driver import World
from together_operator.reconcilers.ledger import Ledger
from together_operator.reconcilers.spending import Spending

KEY = Key("team", "serve")
PATIENCE_SECONDS = 60.0
RESYNC_SECONDS = 0.3


class NoConfigMaps:
    """`ConfigMaps`, of which none is wanted."""

    async def read(self, namespace: str, name: str, owner_uid: str) -> PublishedMap | None:
        """There is none."""
        raise AssertionError(f"{namespace}/{name} was asked for by {owner_uid}")

    async def write(self, namespace: str, manifest: Mapping[str, Any]) -> None:
        """None is written."""
        raise AssertionError(f"{manifest} was written to {namespace}")

    async def delete(self, namespace: str, name: str, owner_uid: str) -> None:
        """None is deleted."""
        raise AssertionError(f"{namespace}/{name} of {owner_uid} was deleted")


class OneObject:
    """`Objects` of which there is one. `history` has every status that was written."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        metadata = {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": "uid-1",
            "generation": 1,
            "resourceVersion": "1",
            "finalizers": [],
            "annotations": {},
        }
        self.body: dict[str, Any] | None = {
            "kind": "ModelDeployment",
            "metadata": metadata,
            "spec": dict(spec),
            "status": {},
        }
        self.history: list[dict[str, Any]] = []

    async def get(self, key: Key) -> Body | None:
        """The live object."""
        assert key == KEY
        return copy.deepcopy(self.body)

    async def list(self) -> Sequence[Body]:
        """All of them."""
        return [self.body] if self.body is not None else []

    async def versions(self) -> Mapping[Key, int]:
        """Of all of them."""
        return {KEY: int(self.body["metadata"]["resourceVersion"])} if self.body else {}

    async def delete(self, key: Key, uid: str) -> None:
        """Nobody but a test deletes it."""
        raise AssertionError(f"{key} {uid} was deleted")

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Replace the status."""
        live = self._current(body)
        live["status"] = copy.deepcopy(dict(status))
        self.history.append(copy.deepcopy(dict(status)))
        return self._written(live)

    async def set_finalizers(self, body: Body, finalizers: Any) -> Body | None:
        """Replace the finalizers."""
        live = self._current(body)
        live["metadata"]["finalizers"] = list(finalizers)
        if not finalizers and "deletionTimestamp" in live["metadata"]:
            self.body = None
            return None
        return self._written(live)

    def change(self, change: Callable[[dict[str, Any]], None], *, spec: bool = True) -> Body:
        """What a user does to it; a change of the spec is a new generation."""
        assert self.body is not None
        change(self.body)
        if spec:
            self.body["metadata"]["generation"] += 1
        return self._written(self.body)

    def _current(self, body: Body) -> dict[str, Any]:
        live = self.body
        if (
            live is None
            or live["metadata"]["resourceVersion"] != (body["metadata"]["resourceVersion"])
        ):
            raise Conflict("the object has changed", status=409)
        return live

    def _written(self, live: dict[str, Any]) -> Body:
        live["metadata"]["resourceVersion"] = str(int(live["metadata"]["resourceVersion"]) + 1)
        return copy.deepcopy(live)


class _Always:
    def is_held(self) -> bool:
        """The only process there is."""
        return True


@dataclass
class _Events:
    reasons: list[str] = field(default_factory=list)

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        """Keep the reason."""
        del body, warning, message
        self.reasons.append(reason)


@dataclass
class Served:
    """The object, the models that it may refer to, and what reconciles it."""

    sim: TogetherSimulator
    objects: OneObject
    reconciler: DeploymentReconciler
    provider: TogetherV2
    models: dict[str, CustomModel]
    store: Store
    events: _Events

    @property
    def status(self) -> dict[str, Any]:
        """The status that is stored."""
        assert self.objects.body is not None
        found: dict[str, Any] = self.objects.body["status"]
        return found

    def spec(self, **fields: Any) -> None:
        """Change fields of the spec; None removes one."""

        def change(body: dict[str, Any]) -> None:
            spec = {**body["spec"], **fields}
            body["spec"] = {k: v for k, v in spec.items() if v is not None}

        self.store.observe(self.objects.change(change))

    def annotate(self, name: str, value: str) -> None:
        """Set an annotation."""

        def change(body: dict[str, Any]) -> None:
            body["metadata"]["annotations"][name] = value

        self.store.observe(self.objects.change(change, spec=False))

    def forget_status(self) -> None:
        """Lose the whole status, as a restore from a backup would."""

        def change(body: dict[str, Any]) -> None:
            body["status"] = {}

        self.store.observe(self.objects.change(change, spec=False))

    def delete(self) -> None:
        """Ask for the object's deletion."""

        def change(body: dict[str, Any]) -> None:
            body["metadata"]["deletionTimestamp"] = datetime.now(UTC).isoformat()

        self.store.observe(self.objects.change(change))

    def new_revision(self, name: str, revision: str) -> None:
        """A CustomModel has another revision."""
        known = self.models[name]
        record = known.status.model
        assert record is not None
        status = known.status.model_copy(
            update={"model": record.model_copy(update={"revision": revision})}
        )
        self.models[name] = known.model_copy(update={"status": status})

    async def reconcile(self) -> None:
        """One look."""
        await self.reconciler(KEY)

    async def until(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Reconcile as the work queue would until something holds of the status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            outcome = await self.reconciler(KEY)
            if self.objects.body is None or isinstance(outcome, Gone):
                return {}
            if holds(self.status):
                return self.status
            assert time.monotonic() < deadline, f"not {what}: {self.status}"
            await asyncio.sleep(_wait(outcome))

    async def shows(self, reason: str, *words: str) -> dict[str, Any]:
        """Reconcile until `Ready` has this reason for this generation, and says the words."""

        def holds(status: dict[str, Any]) -> bool:
            assert self.objects.body is not None
            ready = self.condition("Ready")
            current = self.objects.body["metadata"]["generation"]
            return (
                ready.get("reason") == reason
                and ready.get("observedGeneration") == current
                and all(word in ready["message"] for word in words)
            )

        return await self.until(holds, f"{reason} {words}")

    async def ready(self) -> dict[str, Any]:
        """Reconcile until it is ready."""
        return await self.shows("Ready")

    async def gone(self) -> None:
        """Reconcile until the object is not there any more."""
        await self.until(lambda _: False, "gone")

    def condition(self, kind: str) -> dict[str, Any]:
        """A condition of the stored status."""
        found = self.status.get("conditions", [])
        return next((c for c in found if c["type"] == kind), {})

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Deployments at Together by id."""
        return {d["id"]: d for d in self.sim.state()["deployments"]}


def _wait(outcome: Done | After | Failed | Gone) -> float:
    match outcome:
        case After(seconds):
            return min(seconds, RESYNC_SECONDS)
        case Failed(_, seconds):
            return min(seconds, RESYNC_SECONDS)
    return RESYNC_SECONDS


def custom_model(model: Model, revision: str) -> CustomModel:
    """A CustomModel that is ready."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    record = {"id": model.id, "name": model.name, "revision": revision}
    return CustomModel.model_validate(
        {
            "metadata": {"name": model.bare_name, "namespace": KEY.namespace, "generation": 1},
            "spec": {"source": {"huggingFace": {"repo": "tiny/embedding"}}},
            "status": {"phase": "Ready", "conditions": [ready], "model": record},
        }
    )


class NoSecrets(Secrets):
    """No object here refers to one."""

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """Never asked."""
        raise AssertionError(f"{namespace}/{name} was read")


async def serve(
    sim: TogetherSimulator, spec: Mapping[str, Any] | None = None, models: tuple[str, ...] = ("a",)
) -> Served:
    """An object that serves the first of some models, not reconciled yet."""
    provider = TogetherV2(SecretStr(sim.key), sim.url)
    found: dict[str, CustomModel] = {}
    for name in models:
        model = await imported_model(provider, name)
        revisions = await provider.list_revisions(model.id)
        found[name] = custom_model(model, revisions[0].id)

    def now() -> datetime:
        return datetime.now(UTC)

    async def find(namespace: str, name: str) -> CustomModel | None:
        assert namespace == KEY.namespace
        return found.get(name)

    process = Process("cluster", "me", now(), 0.2, 0.05, Backoff(0.05, 0.2))
    events = _Events()
    world = World(process, _Always(), events, Ledger(now), now, random.Random(1))
    objects = OneObject({"modelRef": {"name": models[0]}, "replicas": 1, **(spec or {})})
    store = Store()
    accounts = Accounts(lambda: SecretStr(sim.key), lambda _: provider, NoSecrets())
    reconciler = DeploymentReconciler(
        world, objects, store, accounts, find, Spending(), NoConfigMaps(), Store()
    )
    assert objects.body is not None
    ModelDeployment.model_validate(objects.body)
    store.observe(copy.deepcopy(objects.body))
    return Served(sim, objects, reconciler, provider, found, store, events)
