"""The manifest of the Job that packs a source into one archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from together_operator.api.v1alpha1 import (
    API_VERSION,
    ArchiveFormat,
    CustomModel,
    S3Location,
    SecretKeyRef,
)
from together_operator.domain.addresses import REFUSING, VARIABLE, AddressPolicy
from together_operator.domain.archive_job import (
    CONTAINER,
    FINAL_EXIT_CODES,
    OWNER_LABEL,
    destination_prefix,
)

COMPONENT_LABELS = {
    "app.kubernetes.io/name": "together-operator",
    "app.kubernetes.io/component": "archive",
}
HUB_ENDPOINT = "https://huggingface.co"
MOUNT_PATH = "/source"
"""Where the volume of a claim is mounted."""

CA_PATH = "/etc/together-operator/ca"
CA_FILE = "ca.crt"

Manifest = dict[str, Any]

_MIN_TTL = 300
"""Seconds. The result is in the finished Job's pod alone: one that goes at once never has one."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """A bundle that replaces the public certificates, in a ConfigMap or Secret of each namespace.

    A pod can't mount what is in another namespace than its own.
    """

    config_map: str | None = None
    secret: str | None = None
    key: str = CA_FILE


@dataclass(frozen=True, slots=True)
class Worker:
    """What the operator's configuration says about archive Jobs.

    Args:
        image: of the worker, unless the object names its own.
        hub_endpoint: Hugging Face, or the mirror of it that the operator is configured with.
        addresses: where endpoints that objects name may lead.
        proxies: variables with their values.
        certificates: None: the public ones of the image.
    """

    image: str
    hub_endpoint: str = HUB_ENDPOINT
    addresses: AddressPolicy = REFUSING
    proxies: Mapping[str, str] = field(default_factory=dict)
    certificates: Certificates | None = None


def manifest(cm: CustomModel, name: str, worker: Worker, cluster_id: str) -> Manifest:
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
        "containers": [_container(cm, worker, cluster_id)],
        "volumes": _volumes(cm, worker) or None,
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
            "ttlSecondsAfterFinished": max(settings.ttl_seconds_after_finished, _MIN_TTL),
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


def _container(cm: CustomModel, worker: Worker, cluster_id: str) -> Manifest:
    archive = cm.spec.archive
    assert archive is not None  # the CRD's rule for sources that are packed
    command = ["together-operator", "archive", _source(cm), destination_prefix(cm, cluster_id)]
    command += ["--format", archive.format.value, "--progress", "json"]
    s3 = cm.spec.source.s3
    shared = not _is_another_store(cm)
    for option, value in (
        ("--endpoint-url", archive.destination.endpoint_url if shared else None),
        ("--region", archive.destination.region if shared else None),
        ("--source-endpoint-url", s3.endpoint_url if s3 is not None else None),
        ("--source-region", s3.region if s3 is not None else None),
        ("--concurrency", _COMPRESSING if archive.format == ArchiveFormat.TAR_GZ else None),
    ):
        if value:
            command += [option, value]
    resources = cm.spec.job.resources
    container: Manifest = {
        "name": CONTAINER,
        "image": cm.spec.job.image or worker.image,
        "command": [_literal(word) for word in command],
        "env": _environment(cm, worker),
        "resources": resources.to_body() if resources is not None else _RESOURCES[archive.format],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    places = {_VOLUME: MOUNT_PATH, _CERTIFICATES: CA_PATH}
    mounts = [
        {"name": volume["name"], "mountPath": places[volume["name"]], "readOnly": True}
        for volume in _volumes(cm, worker)
    ]
    return container | ({"volumeMounts": mounts} if mounts else {})


_VOLUME, _CERTIFICATES = "source", "ca"
_COMPRESSING = "8"
"""Parts at once of a tar.gz: the worker sees all cores of its node, and each takes memory."""

_PLAIN: Manifest = {
    "requests": {"cpu": "500m", "memory": "128Mi"},
    "limits": {"memory": "512Mi"},
}
_RESOURCES: dict[ArchiveFormat, Manifest] = {
    ArchiveFormat.ZIP: _PLAIN,
    ArchiveFormat.TAR: _PLAIN,
    ArchiveFormat.TAR_GZ: {
        "requests": {"cpu": "2", "memory": "256Mi"},
        "limits": {"memory": "768Mi"},
    },
}
"""What the worker was measured to take at most (docs/design, archive Jobs), with some to spare."""


def _source(cm: CustomModel) -> str:
    """The source as the command line takes it."""
    source = cm.spec.source
    if source.hugging_face is not None:
        # The commit that the status names, whatever the branch has become since.
        seen = cm.status.source.revision if cm.status.source is not None else None
        revision = seen or source.hugging_face.revision
        return f"hf://{source.hugging_face.repo}" + (f"@{revision}" if revision else "")
    if source.persistent_volume_claim is not None:
        path = source.persistent_volume_claim.path.rstrip("/")
        return f"{MOUNT_PATH}/{path}" if path else MOUNT_PATH
    assert source.s3 is not None  # no other source is packed
    return source.s3.uri if source.s3.uri.endswith("/") else f"{source.s3.uri}/"


def _volumes(cm: CustomModel, worker: Worker) -> list[Manifest]:
    volumes: list[Manifest] = []
    claim = cm.spec.source.persistent_volume_claim
    if claim is not None:
        source = {"claimName": claim.claim_name, "readOnly": True}
        volumes.append({"name": _VOLUME, "persistentVolumeClaim": source})
    bundle = worker.certificates
    if bundle is not None:
        # Optional: the worker can say what is missing, a pod that can't start can't.
        common = {"items": [{"key": bundle.key, "path": CA_FILE}], "optional": True}
        volumes.append(
            {"name": _CERTIFICATES, "configMap": {"name": bundle.config_map, **common}}
            if bundle.config_map
            else {"name": _CERTIFICATES, "secret": {"secretName": bundle.secret, **common}}
        )
    return volumes


def _environment(cm: CustomModel, worker: Worker) -> list[Manifest]:
    """Credentials by reference: their values never pass through the operator or the Job."""
    source, archive = cm.spec.source, cm.spec.archive
    assert archive is not None
    env = _credentials(source.s3, "SOURCE_") if source.s3 is not None else []
    # What the source does not say is the ambient identity's and AWS's, not the destination's.
    ambient = source.s3 is not None and source.s3.credentials_secret_ref is None
    env += _credentials(archive.destination, "DESTINATION_" if ambient else "")
    hub = source.hugging_face
    if hub is not None and hub.token_secret_ref is not None:
        env.append(_variable("HF_TOKEN", hub.token_secret_ref))
    values = {VARIABLE: str(worker.addresses), **worker.proxies}
    if hub is not None and worker.hub_endpoint != HUB_ENDPOINT:
        values["HF_ENDPOINT"] = worker.hub_endpoint
    if _is_another_store(cm):
        told = (archive.destination.endpoint_url, archive.destination.region)
        names = ("DESTINATION_AWS_ENDPOINT_URL", "DESTINATION_AWS_REGION")
        values |= {name: value for name, value in zip(names, told, strict=True) if value}
    if worker.certificates is not None:
        bundle = f"{CA_PATH}/{CA_FILE}"
        values |= {"SSL_CERT_FILE": bundle, "AWS_CA_BUNDLE": bundle}
    return env + [_plain(name, value) for name, value in sorted(values.items())]


def _is_another_store(cm: CustomModel) -> bool:
    """True for a source at AWS itself, or wherever the worker's environment leads, whose archive
    goes to a store that the spec names: the worker takes an option for both sides where only one
    is given.
    """
    source, archive = cm.spec.source.s3, cm.spec.archive
    assert archive is not None
    return (
        source is not None
        and source.endpoint_url is None
        and archive.destination.endpoint_url is not None
    )


def _credentials(location: S3Location, prefix: str) -> list[Manifest]:
    if location.credentials_secret_ref is None:
        return []
    secret = location.credentials_secret_ref.name
    return [
        _variable(f"{prefix}{key}", SecretKeyRef(name=secret, key=key), optional=optional)
        for key, optional in (
            ("AWS_ACCESS_KEY_ID", False),
            ("AWS_SECRET_ACCESS_KEY", False),
            ("AWS_SESSION_TOKEN", True),
        )
    ]


def _plain(name: str, value: str) -> Manifest:
    return {"name": name, "value": _literal(value)}


def _literal(text: str) -> str:
    """Kubernetes would put a variable's value, a credential's perhaps, in the place of $(NAME), and
    takes $$ for an escaped $, in commands as in values of variables."""
    return text.replace("$", "$$")


def _variable(name: str, reference: SecretKeyRef, *, optional: bool = False) -> Manifest:
    place = {"name": reference.name, "key": reference.key, "optional": optional}
    return {"name": name, "valueFrom": {"secretKeyRef": place}}
