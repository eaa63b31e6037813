"""The Job that packs a source into one archive: its manifest, and what its state means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from together_operator.api.v1alpha1 import (
    API_VERSION,
    ArchiveStatus,
    CustomModel,
    Progress,
    S3Location,
)
from together_operator.domain.conditions import MAX_MESSAGE
from together_operator.domain.names import derived_name, short_hash
from together_operator.domain.source import source_digest
from together_operator.domain.text import human_duration, human_size

OWNER_LABEL = "together.ai/custommodel-uid"
COMPONENT_LABELS = {
    "app.kubernetes.io/name": "together-operator",
    "app.kubernetes.io/component": "archive",
}

CONTAINER = "archive"

FINAL_EXIT_CODES = {
    64: "usage",
    65: "the source is not acceptable",
    73: "the destination can't be written",
    77: "not permitted",
}
"""sysexits of the worker (its command line's contract) for which a repetition can't help."""

_MAX_INT64 = 2**63 - 1

Manifest = dict[str, Any]


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
    """

    name: str
    state: JobState
    message: str = ""
    is_final: bool = False
    deleting: bool = False
    result: ArchiveStatus | None = None
    progress: Progress | None = None


def job_name(cm: CustomModel, cluster_id: str, attempt: int) -> str:
    """Name of the Job of one attempt at one content of a source, and one destination."""
    destination = cm.spec.archive.destination.uri if cm.spec.archive is not None else ""
    seen = cm.status.source.revision if cm.status.source is not None else None
    content = (source_digest(cm.spec), seen or "")
    parts = (cluster_id, cm.metadata.uid, *content, destination, str(attempt))
    return derived_name(cm.metadata.name, "archive", *parts)


def destination_prefix(cm: CustomModel, cluster_id: str) -> str:
    """Where this object's archives go: a folder of its own under the destination."""
    assert cm.spec.archive is not None  # the CRD's rule for sources that need one
    folder = f"{cm.metadata.namespace}/{cm.metadata.name}-{short_hash(cluster_id, cm.metadata.uid)}"
    return f"{cm.spec.archive.destination.uri.rstrip('/')}/{folder}/"


def manifest(cm: CustomModel, name: str, image: str, cluster_id: str) -> Manifest:
    """The Job: hardened for the restricted Pod Security level, and certain to end.

    `podFailurePolicy` ends it at once on an exit code for which a repetition can't help, and
    does not count a pod that was evicted or lost its node.
    """
    settings = cm.spec.job
    labels = {**settings.labels, **COMPONENT_LABELS, OWNER_LABEL: cm.metadata.uid}
    pod_spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(cm, settings.image or image, cluster_id)],
        "nodeSelector": settings.node_selector or None,
        "tolerations": [t.to_body() for t in settings.tolerations] or None,
        "affinity": settings.affinity.to_body() if settings.affinity is not None else None,
        "serviceAccountName": settings.service_account_name,
        "priorityClassName": settings.priority_class_name,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": cm.metadata.namespace,
            "labels": labels,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": cm.kind,
                    "name": cm.metadata.name,
                    "uid": cm.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": settings.active_deadline_seconds,
            "ttlSecondsAfterFinished": settings.ttl_seconds_after_finished,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": sorted(FINAL_EXIT_CODES),
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {
                "metadata": {"labels": labels, "annotations": settings.annotations or None},
                "spec": {k: v for k, v in pod_spec.items() if v is not None},
            },
        },
    }


def _container(cm: CustomModel, image: str, cluster_id: str) -> Manifest:
    source, archive = cm.spec.source.s3, cm.spec.archive
    assert source is not None
    assert archive is not None
    uri = source.uri if source.uri.endswith("/") else f"{source.uri}/"
    command = ["together-operator", "archive", uri, destination_prefix(cm, cluster_id)]
    command += ["--format", archive.format.value, "--progress", "json"]
    for option, value in (
        ("--endpoint-url", archive.destination.endpoint_url),
        ("--region", archive.destination.region),
        ("--source-endpoint-url", source.endpoint_url),
        ("--source-region", source.region),
    ):
        if value:
            command += [option, value]
    resources = cm.spec.job.resources
    return {
        "name": CONTAINER,
        "image": image,
        "command": command,
        "env": _credentials(source, "SOURCE_") + _credentials(archive.destination, ""),
        "resources": resources.to_body() if resources is not None else _DEFAULT_RESOURCES,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


_DEFAULT_RESOURCES = {
    "requests": {"cpu": "500m", "memory": "256Mi"},
    "limits": {"memory": "512Mi"},
}


def _credentials(location: S3Location, prefix: str) -> list[Manifest]:
    """Credentials by reference: their values never pass through the operator or the Job."""
    if location.credentials_secret_ref is None:
        return []
    secret = location.credentials_secret_ref.name

    def variable(name: str, *, optional: bool) -> Manifest:
        reference = {"name": secret, "key": name, "optional": optional}
        return {"name": f"{prefix}{name}", "valueFrom": {"secretKeyRef": reference}}

    return [
        variable("AWS_ACCESS_KEY_ID", optional=False),
        variable("AWS_SECRET_ACCESS_KEY", optional=False),
        variable("AWS_SESSION_TOKEN", optional=True),
    ]


def facts(
    job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], last_line: str | None
) -> JobFacts:
    """What a Job's object, its pods and the last line of its log come down to.

    Args:
        job: a batch/v1 Job as the API returns it.
        pods: its pods, newest first.
        last_line: the worker's latest output line, or None.
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
            _error(ended) or reason,
            is_final=code in FINAL_EXIT_CODES,
            deleting=deleting,
        )
    return JobFacts(
        name,
        JobState.RUNNING,
        _waiting(pods),
        deleting=deleting,
        progress=parse_progress(last_line),
    )


def parse_progress(line: str | None) -> Progress | None:
    """Progress from one line of the worker's output; None if it isn't one."""
    try:
        data = json.loads(line or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("type") != "progress":
        return None
    done, total = _amount(data, "doneBytes"), _amount(data, "totalBytes")
    speed, eta = _amount(data, "bytesPerSecond"), _amount(data, "etaSeconds")
    percent = min(100 * done // total, 100) if done is not None and total else None
    words = [
        f"{percent}%" if percent is not None else "",
        f"{human_size(speed)}/s" if speed else "",
        human_duration(eta) if eta is not None else "",
    ]
    return Progress(
        stage=_word(data, "stage") or "Archive",
        done_bytes=done,
        total_bytes=total,
        percent=percent,
        bytes_per_second=speed,
        eta_seconds=eta,
        text=" ".join(word for word in words if word) or None,
    )


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
    uri = _word(data, "uri")
    if uri is None:
        return None
    return ArchiveStatus(
        uri=uri,
        format=_word(data, "format"),
        size_bytes=_amount(data, "sizeBytes"),
        digest=_word(data, "digest"),
    )


def _amount(data: Mapping[str, Any], key: str) -> int | None:
    """A count that the CRD accepts. The image is the user's to choose: nothing is taken as is."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MAX_INT64 else None


def _word(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return value[:MAX_MESSAGE] if isinstance(value, str) and value else None


def _error(ended: Mapping[str, Any]) -> str:
    error = _payload(ended).get("error")
    if error:
        return str(error)
    code = ended.get("exitCode")
    if code in FINAL_EXIT_CODES:
        return f"the worker exited with {code}: {FINAL_EXIT_CODES[code]}"
    return ""


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
