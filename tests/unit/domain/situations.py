"""CustomModels at each point of their way, and what a look then finds. Times are around NOW."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from together_operator.api.v1alpha1 import (
    ArchiveStatus,
    CustomModel,
    CustomModelPhase,
    CustomModelStatus,
    ImportStatus,
    Intent,
    JobStatus,
    ModelDeploymentStatus,
    ModelStatus,
    Retry,
    SourceStatus,
)
from together_operator.domain.archive_job import JobFacts, JobState, destination_prefix, job_name
from together_operator.domain.backoff import Backoff
from together_operator.domain.custom_model import decide
from together_operator.domain.custom_model.actions import ModelPlan
from together_operator.domain.custom_model.observed import Observed, marker
from together_operator.domain.outcome import Outcome
from together_operator.domain.plan import FINALIZER, RELEASE_ANNOTATION, Plan, Process
from together_operator.domain.source import SourceFacts, source_digest
from together_operator.domain.together import Import, ImportState, Model, Revision, SupportedModel

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ME, ANOTHER = "this-process", "an-earlier-process"
PROCESS = Process(
    cluster_id="cluster",
    holder=ME,
    started=NOW - timedelta(hours=1),
    settle=30.0,
    poll=10.0,
    backoff=Backoff(base=1.0, cap=300.0),
)
SOON = PROCESS.soon

Spec = Mapping[str, Any]
HUB: Spec = {"source": {"huggingFace": {"repo": "org/model"}}}
OTHER_HUB: Spec = {"source": {"huggingFace": {"repo": "org/other"}}}
OBJECT: Spec = {"source": {"s3": {"uri": "s3://bucket/model.zip"}}}
URL: Spec = {"source": {"presignedURL": {"secretKeyRef": {"name": "url"}}}}
PREFIX: Spec = {
    "source": {"s3": {"uri": "s3://bucket/weights/"}},
    "archive": {"destination": {"uri": "s3://bucket/archives/"}},
}
TO: Spec = {"destination": {"uri": "s3://bucket/archives/"}}
PINNED: Spec = {
    "source": {"huggingFace": {"repo": "org/model", "revision": "v1"}},
    "archive": TO,
}
CLAIM: Spec = {
    "source": {"persistentVolumeClaim": {"claimName": "weights", "path": "models/v1"}},
    "archive": TO,
}
KEPT: Spec = {**PREFIX, "archive": {**TO, "retention": "Retain"}}
SPECS = {
    "Hugging Face": HUB,
    "S3 object": OBJECT,
    "URL": URL,
    "S3 prefix": PREFIX,
    "pinned revision": PINNED,
    "volume": CLAIM,
}

FOUND = SourceFacts(revision="commit-1", files=3, size_bytes=1536, base_model="meta/base")
CATALOG = (SupportedModel("meta/base", "ml_base"), SupportedModel("meta/larger", "ml_larger"))
MODEL = Model(
    id="ml_1",
    name="acme/team-model",
    project_id="proj_1",
    base_model_id="ml_base",
    description=marker(PROCESS.cluster_id),
)
JOB_ID = "job_1"
PASSED = Revision("rv_1", "SUCCESS", created_at=NOW - timedelta(minutes=1))


def seconds(number: float) -> timedelta:
    """A number of seconds."""
    return timedelta(seconds=number)


# Objects, from the least far to the farthest.


def custom_model(
    spec: Spec = HUB,
    status: CustomModelStatus | None = None,
    *,
    generation: int = 1,
    finalizer: bool = True,
    deleted: bool = False,
    released: bool = False,
) -> CustomModel:
    """An object as the API server returns it; ours is the only finalizer."""
    metadata: dict[str, Any] = {
        "name": "model",
        "namespace": "team",
        "uid": "uid-1",
        "resourceVersion": "1",
        "generation": generation,
        "finalizers": [FINALIZER] if finalizer else [],
        "annotations": {RELEASE_ANNOTATION: "true"} if released else {},
    }
    if deleted:
        metadata["deletionTimestamp"] = NOW
    kept = status or CustomModelStatus()
    return CustomModel.model_validate({"metadata": metadata, "spec": spec, "status": kept})


def given(cm: CustomModel, **status: Any) -> CustomModel:
    """The same object with some fields of its status changed."""
    return cm.model_copy(update={"status": cm.status.model_copy(update=status)})


def found(spec: Spec = HUB, revision: str = "commit-1", **about: Any) -> CustomModel:
    """The source was seen."""
    cm = custom_model(spec, **about)
    seen = SourceStatus(text="source", digest=source_digest(cm.spec), revision=revision)
    return given(cm, source=seen, observed_generation=cm.metadata.generation)


def archived(spec: Spec = PREFIX, **about: Any) -> CustomModel:
    """The source is packed, and its archive is there."""
    cm = found(spec, **about)
    uri = destination_prefix(cm, PROCESS.cluster_id) + "archive.zip"
    assert cm.spec.archive is not None
    packed = ArchiveStatus(uri=uri, format=cm.spec.archive.format)
    return given(cm, archive=packed, job=JobStatus(name=job(cm).name, attempt=1))


def model_announced(
    holder: str = ME, ago: float = 1, spec: Spec = HUB, **about: Any
) -> CustomModel:
    """The intent to create the model is stored."""
    intent = Intent(kind="Model", name="team-model", since=NOW - seconds(ago), holder=holder)
    return given(found(spec, **about), intent=intent)


def registered(spec: Spec = HUB, **about: Any) -> CustomModel:
    """The model record is there."""
    packed = custom_model(spec).spec.source.is_packed
    cm = archived(spec, **about) if packed else found(spec, **about)
    return given(cm, model=ModelStatus(id=MODEL.id, name=MODEL.name))


def import_announced(
    holder: str = ME, ago: float = 1, before: str = "", spec: Spec = HUB, **about: Any
) -> CustomModel:
    """The intent to import is stored; `before` was the newest import at that time."""
    cm = registered(spec, **about)
    name = f"{source_digest(cm.spec)}:{before}"
    intent = Intent(kind="Import", name=name, attempt=1, since=NOW - seconds(ago), holder=holder)
    return given(cm, intent=intent)


def importing(
    state: str = "RUNNING", attempt: int = 1, spec: Spec = HUB, **about: Any
) -> CustomModel:
    """An import was started."""
    cm = registered(spec, **about)
    last = ImportStatus(
        job_id=JOB_ID,
        attempt=attempt,
        state=state,
        message="Together's words",
        source_digest=source_digest(cm.spec),
        started_at=NOW - seconds(60),
    )
    return given(cm, import_=last)


def imported(spec: Spec = HUB, **about: Any) -> CustomModel:
    """Everything is done."""
    cm = importing("SUCCEEDED", spec=spec, **about)
    record = ModelStatus(id=MODEL.id, name=MODEL.name, revision=PASSED.id)
    return given(cm, model=record, phase=CustomModelPhase.READY)


def edited(cm: CustomModel, spec: Spec) -> CustomModel:
    """The object after somebody changed its spec."""
    return custom_model(spec, cm.status, generation=cm.metadata.generation + 1)


def annotated(cm: CustomModel, annotation: str, value: str) -> CustomModel:
    """The object after somebody annotated it, which makes no new generation."""
    metadata = cm.metadata.model_copy(update={"annotations": {annotation: value}})
    return cm.model_copy(update={"metadata": metadata})


def retry(failures: int, due_in: float = 60) -> Retry:
    """The record of failures."""
    return Retry(failures=failures, next_attempt_time=NOW + seconds(due_in))


# What a look finds.


def look(cm: CustomModel, **facts: Any) -> Observed:
    """An observation."""
    return Observed(cm, PROCESS, **facts)


def sent(observed: Observed, ago: float) -> Observed:
    """The same, when this process sent a create `ago` seconds ago and lost its answer."""
    return replace(observed, last_sent=NOW - seconds(ago))


def job(
    cm: CustomModel, state: JobState = JobState.RUNNING, attempt: int = 1, **facts: Any
) -> JobFacts:
    """The Job of an attempt at the object's present source."""
    return JobFacts(job_name(cm, PROCESS.cluster_id, attempt), state, **facts)


def remote_import(
    state: str = "RUNNING", job_id: str = JOB_ID, ago: float = 60, **facts: Any
) -> Import:
    """An import as Together lists it."""
    return Import(
        id=job_id,
        model_id=MODEL.id,
        state=ImportState(state),
        created_at=NOW - seconds(ago),
        **facts,
    )


# What a plan says.


def told(status: CustomModelStatus | ModelDeploymentStatus) -> tuple[str, str, str]:
    """Health, reason, and the first stage that is not done ("" when all are)."""
    conditions = {condition.type: condition for condition in status.conditions}
    if conditions["Ready"].status == "True":
        health = "ready"
    elif conditions["Reconciling"].status == "True":
        health = "reconciling"
    elif conditions["Stalled"].status == "True":
        health = "stalled"
    else:
        health = "paused"
    stages = (c for c in status.conditions[3:] if c.status == "False")
    return health, conditions["Ready"].reason, next((c.type for c in stages), "")


def message(status: CustomModelStatus | ModelDeploymentStatus) -> str:
    """What it says to people."""
    return next(c.message for c in status.conditions if c.type == "Ready")


def expect(
    observed: Observed,
    says: tuple[str, str, str],
    outcome: Outcome,
    action: object = None,
) -> ModelPlan:
    """Decide; the plan has to say, schedule and do just this. `action` is a type or an action."""
    plan = decide(observed, NOW)
    assert told(plan.status) == says, show(plan)
    assert plan.outcome == outcome, show(plan)
    done = type(plan.action) if isinstance(action, type) else plan.action
    assert done == action, show(plan)
    return plan


def show(plan: Plan[CustomModelStatus, Any]) -> str:
    """The whole plan, for a failing assertion."""
    status = json.dumps(plan.status.to_body(), indent=1)
    return f"action {plan.action}\noutcome {plan.outcome}\nstatus {status}"
