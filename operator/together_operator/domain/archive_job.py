"""The Job that packs a source into one archive: its name, and what its state means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from together_operator.api.v1alpha1 import ArchiveStatus, CustomModel, Progress
from together_operator.domain.names import derived_name, short_hash
from together_operator.domain.progress import amount, parse_progress, word

OWNER_LABEL = "together.ai/custommodel-uid"
CONTAINER = "archive"

FINAL_EXIT_CODES = {
    64: "usage",
    65: "the source is not acceptable",
    73: "the destination can't be written",
    77: "not permitted",
}
"""sysexits of the worker (its command line's contract) for which a repetition can't help."""


class JobState(Enum):
    """What a Job's status comes down to."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A Job as far as decisions need it.

    Args:
        message: why it waits or failed, for people.
        is_final: it failed in a way that a repetition can't help.
        result: what the worker wrote, once it succeeded.
        progress: the worker's latest progress line.
        running_since: when the worker of the pod that runs was started; None while none runs.
        is_log_unread: a pod runs, and its log could not be read just now.
    """

    name: str
    state: JobState
    message: str = ""
    is_final: bool = False
    deleting: bool = False
    result: ArchiveStatus | None = None
    progress: Progress | None = None
    running_since: datetime | None = None
    is_log_unread: bool = False


def job_name(cm: CustomModel, cluster_id: str, attempt: int) -> str:
    """Name of the Job of one attempt at one content of a source, packed in one way.

    Whatever the Job is made from is in it: when somebody mends the spec of a Job that can't
    start, another one takes its place, and goes on with what is there.
    """
    made_from = cm.spec.model_dump_json(
        include={"source": True, "archive": {"format", "destination"}, "job": True},
        exclude_defaults=True,  # a new release's new fields don't change the name
    )
    seen = cm.status.source.revision if cm.status.source is not None else None
    parts = (cluster_id, cm.metadata.uid, made_from, seen or "", str(attempt))
    return derived_name(cm.metadata.name, "archive", *parts)


def destination_prefix(cm: CustomModel, cluster_id: str) -> str:
    """Where this object's archives go: a folder of its own under the destination."""
    assert cm.spec.archive is not None  # the CRD's rule for sources that need one
    folder = f"{cm.metadata.namespace}/{cm.metadata.name}-{short_hash(cluster_id, cm.metadata.uid)}"
    return f"{cm.spec.archive.destination.uri.rstrip('/')}/{folder}/"


def facts(
    job: Mapping[str, Any],
    pods: Sequence[Mapping[str, Any]],
    last_line: str | None,
    *,
    is_log_unread: bool = False,
) -> JobFacts:
    """What a Job's object, its pods and the last line of its log come down to.

    Args:
        job: a batch/v1 Job as the API returns it.
        pods: its pods, newest first.
        last_line: the worker's latest output line, or None.
        is_log_unread: the log could not be read just now.
    """
    name = job["metadata"]["name"]
    deleting = bool(job["metadata"].get("deletionTimestamp"))
    conditions = {
        c["type"]: c
        for c in job.get("status", {}).get("conditions") or []
        if c.get("status") == "True"
    }
    ended = _terminated(pods)
    if "Complete" in conditions:
        result = _result(ended)
        message = "" if result is not None else "the Job's result can't be read any more"
        return JobFacts(name, JobState.SUCCEEDED, message, deleting=deleting, result=result)
    if "Failed" in conditions:
        code = ended.get("exitCode")
        reason = conditions["Failed"].get("message") or conditions["Failed"].get("reason") or ""
        return JobFacts(
            name,
            JobState.FAILED,
            _error(ended) or reason + _ended_by(ended),
            is_final=code in FINAL_EXIT_CODES,
            deleting=deleting,
        )
    return JobFacts(
        name,
        JobState.RUNNING,
        _waiting(pods) if pods or deleting else _NO_POD.format(name),
        deleting=deleting,
        progress=parse_progress(last_line),
        running_since=_running_since(pods),
        is_log_unread=is_log_unread,
    )


def _running_since(pods: Sequence[Mapping[str, Any]]) -> datetime | None:
    """When the container that runs now was started, as the node says it."""
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or []:
            started = (status.get("state", {}).get("running") or {}).get("startedAt")
            if started and status.get("name") == CONTAINER:
                return datetime.fromisoformat(started)
    return None


def _terminated(pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for pod in pods:
        for status in pod.get("status", {}).get("containerStatuses") or []:
            ended = status.get("state", {}).get("terminated")
            if ended and status.get("name") == CONTAINER:
                return dict(ended)
    return {}


def _payload(ended: Mapping[str, Any]) -> dict[str, Any]:
    """The termination message is one JSON object; with a fallback to logs, its last line is."""
    lines = (ended.get("message") or "").strip().splitlines()
    try:
        data = json.loads(lines[-1]) if lines else {}
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _result(ended: Mapping[str, Any]) -> ArchiveStatus | None:
    data = _payload(ended)
    uri = word(data, "uri")
    if uri is None:
        return None
    return ArchiveStatus(
        uri=uri,
        format=word(data, "format"),
        size_bytes=amount(data, "sizeBytes"),
        digest=word(data, "digest"),
        files=amount(data, "files"),
    )


def _error(ended: Mapping[str, Any]) -> str:
    error = _payload(ended).get("error")
    if error:
        return str(error)
    code = ended.get("exitCode")
    if code in FINAL_EXIT_CODES:
        return f"the worker exited with {code}: {FINAL_EXIT_CODES[code]}"
    return ""


def _ended_by(ended: Mapping[str, Any]) -> str:
    """What the kubelet says of a worker that had no words of its own, to follow the Job's."""
    reason = ended.get("reason")
    if not reason:
        return ""
    said = f": the worker ended with {reason} (exit code {ended.get('exitCode')})"
    return said + ("; raise spec.job.resources.limits.memory" if reason == "OOMKilled" else "")


_NO_POD = (
    "Job {0} has no pod yet; if that lasts, a quota or an admission webhook may refuse it: "
    "kubectl describe job {0}"
)


def _waiting(pods: Sequence[Mapping[str, Any]]) -> str:
    """Why the newest pod doesn't run, in Kubernetes' own words."""
    if not pods:
        return ""
    status = pods[0].get("status", {})
    if status.get("phase") == "Failed":
        ended = _terminated(pods[:1])
        words = _error(ended) or f"exit code {ended.get('exitCode', 'unknown')}"
        return f"The last pod failed ({status.get('reason') or words}); the Job starts another"
    for container in status.get("containerStatuses") or []:
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason')}: {condition.get('message', '')}".rstrip(": ")
    return ""
