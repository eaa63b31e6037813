"""Runs the operator's reconcilers over some objects until nothing more would be done."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import SecretStr

from together_operator.api.v1alpha1 import ModelDeployment
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
from together_operator.domain.deployment.timetable import START
from together_operator.domain.errors import OperatorError
from together_operator.domain.outcome import After, Failed, Gone, Outcome
from together_operator.domain.plan import Process
from together_operator.engine.runner import Settings
from together_operator.engine.store import Body, Key, key_of
from together_operator.ports import ArchiveStore, Hub, ModelProvider, Secrets
from together_operator.reconcilers.spending import Limits
from together_operator.rehearsal.hours import DAY, MONTH, running_hours
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

QUIET_ROUNDS = 5
"""Rounds without any change, after which nothing is waited for any longer."""

_PLURALS = {"CustomModel": CUSTOM_MODELS, "ModelDeployment": MODEL_DEPLOYMENTS}


class Unplannable(OperatorError):
    """What would come of an object can't be told."""


class Stage(StrEnum):
    """How an object would end."""

    READY = "Ready"
    STALLED = "Stalled"
    WAITING = "Waiting"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would come of one object. Dollars an hour are decimal text by list price.

    Args:
        dollars_per_hour: of the replicas that it ends with.
        most_per_hour: of as many as it may scale itself to.
        day, month: hours of the next 24 and 730 in which schedule and ttl let it run.
        opens: when its next window opens, if none is open now.
        opened: what would come of it then.
    """

    kind: str
    key: Key
    steps: tuple[Step, ...]
    stage: Stage
    reason: str
    message: str
    dollars_per_hour: str | None = None
    most_per_hour: str | None = None
    day: float = DAY
    month: float = MONTH
    opens: datetime | None = None
    opened: Forecast | None = None

    @property
    def running(self) -> Forecast:
        """What would come of it while it runs."""
        return self.opened or self


@dataclass(frozen=True, slots=True)
class Outside:
    """The real systems that are read. `connect` makes a provider for a key.

    Args:
        limits: the operator's ceilings.
        served: the cluster's ModelDeployments, which use some of them.
    """

    secrets: Secrets
    archives: ArchiveStore
    hub: Hub
    connect: Callable[[SecretStr], ModelProvider]
    own_key: Callable[[], SecretStr] | None
    addresses: AddressPolicy = REFUSING
    limits: Limits = field(default_factory=Limits)
    served: Sequence[Body] = ()


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

    def glanced(self, kind: str, number: int) -> None:
        """Another one for nobody."""


async def rehearse(
    bodies: Sequence[Body], outside: Outside, cluster_id: str, start: datetime
) -> list[Forecast]:
    """What would come of `bodies`, which are complete objects, those of the cluster included.

    Where no window of a schedule is open, what comes of an object when one opens is told, too.

    Raises:
        OperatorError: Together can't be asked at all, or (`Unplannable`) an object's way ends in
            a bug, or in a rule of the CRD that was not checked.
    """
    forecasts = await _rehearsed(bodies, outside, cluster_id, start)
    for opening in sorted({f.opens for f in forecasts if f.opens is not None}):
        later = await _rehearsed(bodies, outside, cluster_id, opening)
        forecasts = [
            replace(now, opened=then) if now.opens == opening else now
            for now, then in zip(forecasts, later, strict=True)
        ]
    return forecasts


async def _rehearsed(
    bodies: Sequence[Body], outside: Outside, cluster_id: str, start: datetime
) -> list[Forecast]:
    time, recorder = _Time(start), Recorder()
    stores = {
        kind: RehearsedObjects({key_of(body): body for body in bodies if body["kind"] == kind})
        for kind in _PLURALS
    }
    controllers = _controllers(stores, outside, recorder, time, cluster_id)
    controllers.spending.seed(outside.served)
    keys = sorted((body["kind"], key_of(body)) for body in bodies)
    await _until_quiet(keys, stores, controllers, recorder, time)
    return [_forecast(kind, key, stores[kind].bodies[key], recorder, start) for kind, key in keys]


def _controllers(
    stores: Mapping[str, RehearsedObjects],
    outside: Outside,
    recorder: Recorder,
    time: _Time,
    cluster_id: str,
) -> Controllers:
    known: dict[str, RehearsedTogether] = {}

    def connect(key: SecretStr) -> ModelProvider:
        unread = key.get_secret_value() == NOT_READ
        used = outside.own_key() if unread and outside.own_key is not None else key
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
        own_key=outside.own_key,
        worker=Worker("", addresses=outside.addresses),
        limits=outside.limits,
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
    seen, quiet = list[int](), 0
    for _ in range(MAX_ROUNDS):
        if not pending or quiet == QUIET_ROUNDS:
            return
        outcomes: dict[tuple[str, Key], Outcome] = {}
        for kind, key in pending:
            recorder.subject = f"{kind} {key}"
            outcome = await _reconciled(controllers, kind, key)
            outcomes[kind, key] = outcome
            failures[kind, key] += isinstance(outcome, Failed)
        pending = [
            at
            for at, outcome in outcomes.items()
            if not _ended(outcome, stores[at[0]].bodies[at[1]], failures[at])
        ]
        waits = [o.seconds for at, o in outcomes.items() if isinstance(o, After | Failed)]
        time.passed += min(waits, default=0.0) + 0.001
        now = [len(recorder.steps), *(store.writes for store in stores.values())]
        seen, quiet = now, quiet + 1 if now == seen else 0


async def _reconciled(controllers: Controllers, kind: str, key: Key) -> Outcome:
    try:
        return await controllers.reconcile[_PLURALS[kind]](key)
    except OperatorError:
        raise
    except Exception as error:
        # Its words may hold anything, a secret too: its type has to do.
        raise Unplannable(
            f"{kind} {key} can't be planned ({type(error).__name__}): if its spec keeps the CRD's "
            "rules, as a cluster tells (kubectl apply --dry-run=server), this is a bug"
        ) from error


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


def _forecast(
    kind: str, key: Key, body: Mapping[str, Any], recorder: Recorder, start: datetime
) -> Forecast:
    ready, status = _condition(body, "Ready"), body.get("status") or {}
    stage = Stage.READY if ready.get("status") == "True" else Stage.WAITING
    if _condition(body, "Stalled").get("status") == "True":
        stage = Stage.STALLED
    forecast = Forecast(
        kind=kind,
        key=key,
        steps=tuple(step for step in recorder.steps if step.subject == f"{kind} {key}"),
        stage=stage,
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
    )
    if kind != "ModelDeployment":
        return forecast
    md, cost = ModelDeployment.model_validate(body), status.get("cost") or {}
    change = md.status.next_change
    is_closed = stage is Stage.READY and change is not None and change.action == START
    return replace(
        forecast,
        dollars_per_hour=cost.get("perHour"),
        most_per_hour=cost.get("reservedPerHour"),
        day=running_hours(md, start, DAY),
        month=running_hours(md, start, MONTH),
        opens=change.time if change is not None and is_closed else None,
    )


def _condition(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == type_), {})
