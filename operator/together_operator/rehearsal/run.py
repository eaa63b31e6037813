"""Runs the operator's reconcilers over some objects until nothing more would be done."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from together_operator.controllers import (
    CUSTOM_MODELS,
    MODEL_DEPLOYMENTS,
    Chance,
    Controllers,
    Ports,
)
from together_operator.domain.addresses import REFUSING, AddressPolicy
from together_operator.domain.archive_manifest import Worker
from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import After, Failed, Gone, Outcome
from together_operator.domain.plan import Process
from together_operator.engine.runner import Settings
from together_operator.engine.store import Body, Key, key_of
from together_operator.ports import ArchiveStore, Hub, ModelProvider, Secrets
from together_operator.rehearsal.kubernetes import (
    NOT_READ,
    RehearsedArchives,
    RehearsedConfigMaps,
    RehearsedHub,
    RehearsedJobs,
    RehearsedObjects,
)
from together_operator.rehearsal.steps import Recorder, Step
from together_operator.rehearsal.together import RehearsedTogether

MAX_ROUNDS = 300
MAX_FAILURES = 3
"""After which something that may pass is taken for how it ends."""

_PLURALS = {"CustomModel": CUSTOM_MODELS, "ModelDeployment": MODEL_DEPLOYMENTS}


class Stage(StrEnum):
    """How an object would end."""

    READY = "Ready"
    STALLED = "Stalled"
    WAITING = "Waiting"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would come of one object. `dollars_per_hour` is decimal text by list price."""

    kind: str
    key: Key
    steps: tuple[Step, ...]
    stage: Stage
    reason: str
    message: str
    dollars_per_hour: str | None


@dataclass(frozen=True, slots=True)
class Outside:
    """The real systems that are read. `connect` makes a provider for a key."""

    secrets: Secrets
    archives: ArchiveStore
    hub: Hub
    connect: Callable[[SecretStr], ModelProvider]
    api_key: SecretStr | None
    addresses: AddressPolicy = REFUSING


class _Time:
    """A clock that moves when told to."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self.passed = 0.0

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self._start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Seconds."""
        return self.passed


class _Always:
    """The gate is open, and nobody counts or is told."""

    def is_held(self) -> bool:
        return True

    def publish(self, body: Body, *, warning: bool, reason: str, message: str) -> None:
        """An event for nobody."""

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None:
        """A measurement for nobody."""

    def glanced(self, kind: str) -> None:
        """Another one for nobody."""


async def rehearse(
    bodies: Sequence[Body], outside: Outside, cluster_id: str, start: datetime
) -> list[Forecast]:
    """What would come of `bodies`, which are complete objects, those of the cluster included.

    Raises:
        OperatorError: Together can't be asked at all.
    """
    time, recorder = _Time(start), Recorder()
    stores = {
        kind: RehearsedObjects({key_of(body): body for body in bodies if body["kind"] == kind})
        for kind in _PLURALS
    }
    controllers = _controllers(stores, outside, recorder, time, cluster_id)
    keys = sorted((body["kind"], key_of(body)) for body in bodies)
    await _until_quiet(keys, stores, controllers, recorder, time)
    return [_forecast(kind, key, stores[kind].bodies[key], recorder) for kind, key in keys]


def _controllers(
    stores: Mapping[str, RehearsedObjects],
    outside: Outside,
    recorder: Recorder,
    time: _Time,
    cluster_id: str,
) -> Controllers:
    known: dict[str, RehearsedTogether] = {}

    def connect(key: SecretStr) -> ModelProvider:
        unread = key.get_secret_value() == NOT_READ and outside.api_key is not None
        used = outside.api_key if unread and outside.api_key is not None else key
        value = used.get_secret_value()
        if value not in known:
            known[value] = RehearsedTogether(outside.connect(used), recorder, time.now)
        return known[value]

    always, backoff = _Always(), Backoff(base=1.0, cap=60.0)
    ports = Ports(
        models=stores["CustomModel"],
        deployments=stores["ModelDeployment"],
        secrets=outside.secrets,
        config_maps=RehearsedConfigMaps(),
        jobs=RehearsedJobs(recorder),
        archives=RehearsedArchives(outside.archives),
        hub=RehearsedHub(outside.hub),
        events=always,
        gate=always,
        connect=connect,
    )
    process = Process(cluster_id, "rehearsal", time.now(), settle=0.0, poll=10.0, backoff=backoff)
    return Controllers(
        ports,
        process,
        Settings(workers=1, resync=600.0, backoff=backoff),
        Chance(time.now, time.monotonic, random.Random(0)),  # noqa: S311 - jitter
        always,
        api_key=outside.api_key,
        worker=Worker("", addresses=outside.addresses),
    )


async def _until_quiet(
    keys: Sequence[tuple[str, Key]],
    stores: Mapping[str, RehearsedObjects],
    controllers: Controllers,
    recorder: Recorder,
    time: _Time,
) -> None:
    """Reconcile in turns, models before deployments, as long as something moves."""
    pending, failures = list(keys), dict.fromkeys(keys, 0)
    for _ in range(MAX_ROUNDS):
        if not pending:
            return
        outcomes: dict[tuple[str, Key], Outcome] = {}
        for kind, key in pending:
            recorder.subject = f"{kind} {key}"
            outcome = await controllers.reconcile[_PLURALS[kind]](key)
            outcomes[kind, key] = outcome
            failures[kind, key] += isinstance(outcome, Failed)
        pending = [
            at
            for at, outcome in outcomes.items()
            if not _ended(outcome, stores[at[0]].bodies[at[1]], failures[at])
        ]
        waits = [o.seconds for at, o in outcomes.items() if isinstance(o, After | Failed)]
        time.passed += min(waits, default=0.0) + 0.001


def _ended(outcome: Outcome, body: Mapping[str, Any], failures: int) -> bool:
    match outcome:
        case After(0):
            return False
        case After():
            return _condition(body, "Ready").get("status") == "True"
        case Failed(terminal=terminal):
            return terminal or failures >= MAX_FAILURES
        case Gone():
            return True
    return True


def _forecast(kind: str, key: Key, body: Mapping[str, Any], recorder: Recorder) -> Forecast:
    ready, status = _condition(body, "Ready"), body.get("status") or {}
    stage = Stage.READY if ready.get("status") == "True" else Stage.WAITING
    if _condition(body, "Stalled").get("status") == "True":
        stage = Stage.STALLED
    return Forecast(
        kind=kind,
        key=key,
        steps=tuple(step for step in recorder.steps if step.subject == f"{kind} {key}"),
        stage=stage,
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        dollars_per_hour=(status.get("cost") or {}).get("perHour"),
    )


def _condition(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_), {})
