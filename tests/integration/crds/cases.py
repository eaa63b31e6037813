"""What the API server must accept and refuse: one table, which a guard holds against the CRDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.integration.crds.manifests import (
    ABSENT,
    CUSTOM_MODEL_STATUS,
    DEPLOYMENT,
    DEPLOYMENT_BY_CONFIG,
    DEPLOYMENT_STATUS,
    FROM_ARCHIVE,
    FROM_HUGGING_FACE,
    FROM_PREFIX,
    FROM_PRESIGNED_URL,
    LONG_NAME,
    Manifest,
    changed,
)


@dataclass(frozen=True)
class Refusal:
    """A cause in the API server's answer: the field, and words of the message about it."""

    field: str
    message: str


@dataclass(frozen=True)
class Case:
    """A manifest that is created, or that updates `before`; `status` is written on its own.

    Args:
        status: the status that `before` gets, or, where there is no `before`, the one that is
            tried on an object made from `manifest`.
    """

    name: str
    manifest: Manifest
    refused: Refusal | None = None
    before: Manifest | None = None
    status: Manifest | None = None

    def __str__(self) -> str:
        return f"{self.manifest['kind']}: {self.name}"


def _values(
    manifest: Manifest, path: str, *, accepted: tuple[Any, ...] = (), refused: dict[Any, str]
) -> list[Case]:
    """A case for each value of one field, beginning with the value in the manifest itself."""
    return [
        *(Case(f"{path}={value!s:.40}", changed(manifest, {path: value})) for value in accepted),
        *(
            Case(f"{path}={value!s:.40}", changed(manifest, {path: value}), Refusal(path, message))
            for value, message in refused.items()
        ),
    ]


def _statuses(
    manifest: Manifest,
    status: Manifest,
    path: str,
    *,
    accepted: tuple[Any, ...] = (),
    refused: dict[Any, str],
) -> list[Case]:
    """The same for a field of the status."""
    return [
        *(
            Case(f"status.{path}={value}", manifest, status=changed(status, {path: value}))
            for value in accepted
        ),
        *(
            Case(
                f"status.{path}={value}",
                manifest,
                Refusal(f"status.{path}", message),
                status=changed(status, {path: value}),
            )
            for value, message in refused.items()
        ),
    ]


ENUM = "supported values"
PATTERN = "should match"
TOO_SMALL = "should be greater than or equal to"
TOO_BIG = "should be less than or equal to"

COMPLETE = [
    Case("an S3 prefix with every field", FROM_PREFIX),
    Case("an archive in S3", FROM_ARCHIVE),
    Case("a Hugging Face repository", FROM_HUGGING_FACE),
    Case("a presigned URL", FROM_PRESIGNED_URL),
    Case("a deployment by hardware with every field", DEPLOYMENT),
    Case("a deployment by config", DEPLOYMENT_BY_CONFIG),
    Case("a CustomModel's status with every field", FROM_PREFIX, status=CUSTOM_MODEL_STATUS),
    Case("a ModelDeployment's status with every field", DEPLOYMENT, status=DEPLOYMENT_STATUS),
]

REMOTE_NAMES = [
    case
    for manifest, path in ((FROM_PREFIX, "spec.modelName"), (DEPLOYMENT, "spec.endpointName"))
    for case in _values(
        manifest,
        path,
        accepted=("a", "Llama-3.1_8B", "7b", "a" * 96),
        refused={
            "acme/support": "leave out the project prefix",
            "-support": "starts with a letter or digit",
            "sup port": "bare name",
            "": "at least 1",
            "a" * 97: "may not be more than 96",
        },
    )
]

SECRET_NAMES = [
    case
    for manifest, path in (
        (FROM_PREFIX, "spec.source.s3.credentialsSecretRef.name"),
        (FROM_PREFIX, "spec.archive.destination.credentialsSecretRef.name"),
        (FROM_PREFIX, "spec.apiKeySecretRef.name"),
        (FROM_HUGGING_FACE, "spec.source.huggingFace.tokenSecretRef.name"),
        (FROM_PRESIGNED_URL, "spec.source.presignedURL.secretKeyRef.name"),
        (DEPLOYMENT, "spec.apiKeySecretRef.name"),
    )
    for case in _values(
        manifest,
        path,
        accepted=("a", "team.a-1"),
        refused={
            "other-namespace/secret": "without a namespace",
            "Secret": "lower-case",
            "-a": "must be the name of a Secret",
        },
    )
]

SECRET_KEYS = [
    case
    for manifest, path in (
        (FROM_PREFIX, "spec.apiKeySecretRef.key"),
        (FROM_HUGGING_FACE, "spec.source.huggingFace.tokenSecretRef.key"),
        (FROM_PRESIGNED_URL, "spec.source.presignedURL.secretKeyRef.key"),
        (DEPLOYMENT, "spec.apiKeySecretRef.key"),
    )
    for case in _values(
        manifest,
        path,
        accepted=("TOGETHER_API_KEY", "key-1.txt"),
        refused={"https://bucket/?X-Amz-Signature=0": "never the secret value", "a b": "a key of"},
    )
]

S3_LOCATIONS = [
    case
    for path in ("spec.source.s3", "spec.archive.destination")
    for case in (
        *_values(
            FROM_PREFIX,
            f"{path}.region",
            accepted=("us-east-1", "default"),
            refused={"https://s3.eu": "write it without spaces", "us east": "region must be"},
        ),
        *_values(
            FROM_PREFIX,
            f"{path}.endpointURL",
            accepted=("http://10.0.0.1:9000", "https://minio.example.com/s3"),
            refused={
                "minio.example.com": "must be an http:// or https:// address",
                "ftp://minio.example.com": "must be an http:// or https:// address",
                "https://user:password@minio": "put credentials into credentialsSecretRef",
                "https://minio/?X-Amz-Signature=0": "without credentials or query",
            },
        ),
        *_values(
            FROM_PREFIX,
            f"{path}.uri",
            accepted=("s3://abc", "s3://abc/", "s3://abc-d.e/some where/", "s3://abc/zip"),
            refused={
                "https://bucket.s3.amazonaws.com/prefix/": "uri must be s3://",
                "s3://ab/prefix/": "3 to 63 letters",
                "s3://key:secret@bucket/prefix/": "uri must be s3://",
                "bucket/prefix": "uri must be s3://",
            },
        ),
    )
]

SOURCES = [
    *_values(
        FROM_HUGGING_FACE,
        "spec.source.huggingFace.repo",
        accepted=("a/b", "Qwen/Qwen2.5-7B-Instruct", "_org/model.v1_2"),
        refused={
            "https://huggingface.co/org/model": "leave out https://",
            "model": "must be <organization>/<name>",
            "org/model/tree/main": "everything after the name",
            "org/model--v1": "must be <organization>/<name>",
            "org/model..v1": "must be <organization>/<name>",
            "org/model.git": "must be <organization>/<name>",
        },
    ),
    *_values(
        FROM_ARCHIVE,
        "spec.source.s3.uri",
        accepted=("s3://abc/m.zip", "s3://abc/m.tar", "s3://abc/a/m.v1.tar.gz"),
        refused={
            "s3://abc/m.tgz": "repack it as .zip, .tar or .tar.gz",
            "s3://abc/m.tar.zst": "repack it",
            "s3://abc/m.ZIP": "lower case",
            "s3://abc/m.gz": "end the uri with '/' if it is a prefix",
        },
    ),
    Case(
        "a prefix whose name looks like an archive",
        changed(FROM_PREFIX, {"spec.source.s3.uri": "s3://models/m.tgz/"}),
    ),
    Case(
        "no source",
        changed(FROM_HUGGING_FACE, {"spec.source": {}}),
        Refusal("spec.source", "exactly one of huggingFace, s3 and presignedURL"),
    ),
    Case(
        "two sources",
        changed(FROM_HUGGING_FACE, {"spec.source.s3": {"uri": "s3://models/m.zip"}}),
        Refusal("spec.source", "keep the one that the weights come from"),
    ),
    Case(
        "three sources",
        changed(
            FROM_HUGGING_FACE,
            {
                "spec.source.s3": {"uri": "s3://models/m.zip"},
                "spec.source.presignedURL": {"secretKeyRef": {"name": "signed"}},
            },
        ),
        Refusal("spec.source", "exactly one of"),
    ),
    Case(
        "an unknown source",
        changed(FROM_HUGGING_FACE, {"spec.source": {"gcs": {"uri": "gs://models/m"}}}),
        Refusal("spec.source", "exactly one of"),
    ),
    Case(
        "source missing",
        changed(FROM_HUGGING_FACE, {"spec": {}}),
        Refusal("spec.source", "Required value"),
    ),
]

ARCHIVES = [
    Case(
        "a prefix without archive",
        changed(FROM_PREFIX, {"spec.archive": ABSENT}),
        Refusal("spec.archive", "archive.destination is required because source.s3.uri is a"),
    ),
    Case(
        "a prefix without trailing slash and without archive",
        changed(FROM_PREFIX, {"spec.archive": ABSENT, "spec.source.s3.uri": "s3://models/v1"}),
        Refusal("spec.archive", "set archive.destination.uri to s3://<bucket>/<prefix>/"),
    ),
    Case(
        "archive without destination",
        changed(FROM_PREFIX, {"spec.archive": {}}),
        Refusal("spec.archive.destination", "Required value"),
    ),
    Case(
        "archive with a repository",
        changed(
            FROM_HUGGING_FACE,
            {"spec.archive": {"destination": {"uri": "s3://models/archives/"}}},
        ),
        Refusal("spec.archive", "archive is used only when source.s3.uri is a prefix"),
    ),
    Case(
        "archive with an archive",
        changed(
            FROM_ARCHIVE,
            {"spec.archive": {"destination": {"uri": "s3://models/archives/"}}},
        ),
        Refusal("spec.archive", "remove archive, or give a prefix"),
    ),
    Case(
        "job with a presigned URL",
        changed(FROM_PRESIGNED_URL, {"spec.job": {}}),
        Refusal("spec.job", "job is used only when source.s3.uri is a prefix"),
    ),
    Case(
        "job with an archive",
        changed(FROM_ARCHIVE, {"spec.job": {}}),
        Refusal("spec.job", "only then a Job runs"),
    ),
    Case("prefix without job", changed(FROM_PREFIX, {"spec.job": ABSENT})),
    *(
        Case(
            f"archives in {destination} of {source}",
            changed(
                FROM_PREFIX,
                {"spec.source.s3.uri": source, "spec.archive.destination.uri": destination},
            ),
            Refusal("spec.archive.destination.uri", "choose a prefix outside of it"),
        )
        for source, destination in (
            ("s3://models/v1/", "s3://models/v1/archives/"),
            ("s3://models/v1", "s3://models/v1"),
            ("s3://models/v1/", "s3://models/v1"),
            ("s3://models", "s3://models/archives/"),
        )
    ),
    *(
        Case(
            f"archives in {destination} beside {source}",
            changed(
                FROM_PREFIX,
                {"spec.source.s3.uri": source, "spec.archive.destination.uri": destination},
            ),
        )
        for source, destination in (
            ("s3://models/v1", "s3://models/v10/"),
            ("s3://models/v1/", "s3://models/"),
            ("s3://models/", "s3://models-archives/"),
        )
    ),
    Case(
        "the same uri in another store",
        changed(
            FROM_PREFIX,
            {
                "spec.archive.destination.uri": "s3://models/support/v1/",
                "spec.archive.destination.endpointURL": ABSENT,
            },
        ),
    ),
    *_values(
        FROM_PREFIX,
        "spec.archive.format",
        refused={"tgz": ENUM},
    ),
]

CUSTOM_MODELS = [
    *_values(
        FROM_PREFIX,
        "spec.type",
        accepted=("TextGeneration", "Embedding", "Adapter"),
        refused={"Image": ENUM},
    ),
    *_values(
        FROM_PREFIX,
        "spec.baseModel",
        accepted=("ml_CZaQ8Kx2", "Qwen/Qwen2.5-7B"),
        refused={"https://huggingface.co/a/b": "leave out https://", "a b": "base model in"},
    ),
    *_values(
        FROM_PREFIX,
        "spec.description",
        accepted=("", "a" * 1000),
        refused={"a" * 1001: "may not be more than 1000"},
    ),
    *_values(
        FROM_PREFIX,
        "spec.visibility",
        accepted=("Private", "Internal"),
        refused={"Public": ENUM},
    ),
    *(
        case
        for manifest in (FROM_PREFIX, DEPLOYMENT)
        for case in (
            *_values(
                manifest,
                "spec.deletionPolicy",
                accepted=("Delete", "Retain"),
                refused={"Orphan": ENUM},
            ),
            *_values(
                manifest,
                "spec.adoptionPolicy",
                accepted=("Never", "Adopt"),
                refused={"Always": ENUM},
            ),
            Case(
                f"a {manifest['kind']} with a name of 63 characters",
                changed(manifest, {"metadata.name": LONG_NAME[:63]}),
            ),
            Case(
                f"a {manifest['kind']} with a name of 64 characters",
                changed(manifest, {"metadata.name": LONG_NAME}),
                Refusal("metadata.name", "choose a shorter name"),
            ),
        )
    ),
]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_NODE = "spec.job.affinity.nodeAffinity"
_NODE_TERMS = (
    f"{_NODE}.{_REQUIRED}.nodeSelectorTerms[0]",
    f"{_NODE}.{_PREFERRED}[0].preference",
)
_LABEL_SELECTORS = tuple(
    f"spec.job.affinity.{affinity}.{term}.{selector}"
    for affinity in ("podAffinity", "podAntiAffinity")
    for term in (f"{_REQUIRED}[0]", f"{_PREFERRED}[0].podAffinityTerm")
    for selector in ("labelSelector", "namespaceSelector")
)

JOBS = [
    *_values(
        FROM_PREFIX,
        "spec.job.image",
        accepted=("worker", "r.example.com:5000/a/b@sha256:0123"),
        refused={"a b": "without spaces"},
    ),
    *(
        case
        for field in ("serviceAccountName", "priorityClassName")
        for case in _values(
            FROM_PREFIX,
            f"spec.job.{field}",
            accepted=("a", "a-1.b"),
            refused={"Archiver": "lower-case letters", "a/b": "name of a Kubernetes object"},
        )
    ),
    *_values(
        FROM_PREFIX,
        "spec.job.activeDeadlineSeconds",
        accepted=(60, 2592000),
        refused={59: TOO_SMALL, 2592001: TOO_BIG},
    ),
    *_values(
        FROM_PREFIX,
        "spec.job.ttlSecondsAfterFinished",
        accepted=(0, 2592000),
        refused={-1: TOO_SMALL, 2592001: TOO_BIG},
    ),
    *(
        case
        for field in ("requests", "limits")
        for case in _values(
            FROM_PREFIX,
            f"spec.job.resources.{field}.memory",
            accepted=("1.5Gi", "1e9", 1000),
            refused={"much": PATTERN, "-1Gi": PATTERN},
        )
    ),
    *(
        case
        for path in ("spec.job.labels.team", "spec.job.nodeSelector.pool")
        for case in _values(
            FROM_PREFIX, path, accepted=("", "a_B-c.d"), refused={"a b": PATTERN, "-a": PATTERN}
        )
    ),
    *(
        Case(
            f"{field} under together.ai/",
            changed(FROM_PREFIX, {f"spec.job.{field}": {"together.ai/object": "a"}}),
            Refusal(f"spec.job.{field}", "which the operator sets: remove them"),
        )
        for field in ("labels", "annotations")
    ),
    *_values(FROM_PREFIX, "spec.job.tolerations[0].operator", refused={"In": ENUM}),
    *_values(FROM_PREFIX, "spec.job.tolerations[0].effect", refused={"Never": ENUM}),
    *_values(FROM_PREFIX, "spec.job.tolerations[0].value", refused={"a b": PATTERN}),
    *(
        case
        for path in (
            f"{_NODE}.{_PREFERRED}[0].weight",
            f"spec.job.affinity.podAffinity.{_PREFERRED}[0].weight",
            f"spec.job.affinity.podAntiAffinity.{_PREFERRED}[0].weight",
        )
        for case in _values(FROM_PREFIX, path, refused={0: TOO_SMALL, 101: TOO_BIG})
    ),
    *(
        case
        for term in _NODE_TERMS
        for requirements in ("matchExpressions", "matchFields")
        for case in _values(
            FROM_PREFIX, f"{term}.{requirements}[0].operator", refused={"Equals": ENUM}
        )
    ),
    *(
        case
        for selector in _LABEL_SELECTORS
        for path, value, message in (
            ("matchLabels.app", "a b", PATTERN),
            ("matchExpressions[0].operator", "Gt", ENUM),
            ("matchExpressions[0].values[0]", "a b", PATTERN),
        )
        for case in _values(FROM_PREFIX, f"{selector}.{path}", refused={value: message})
    ),
]

DEPLOYMENTS = [
    *_values(
        DEPLOYMENT,
        "spec.modelRef.name",
        accepted=("a", "model.v1-2"),
        refused={
            "acme/model": "not the model's name at Together",
            "ML_1": "must be the name of a CustomModel",
            "": "at least 1",
        },
    ),
    Case(
        "no model",
        changed(DEPLOYMENT, {"spec.modelRef": ABSENT}),
        Refusal("spec.modelRef", "Required value"),
    ),
    *_values(
        DEPLOYMENT,
        "spec.hardware.gpu",
        accepted=("nvidia-b200",),
        refused={"NVIDIA H100": "in lower case, such as nvidia-h100-80gb"},
    ),
    *_values(
        DEPLOYMENT,
        "spec.hardware.count",
        accepted=(1, 8),
        refused={0: TOO_SMALL, 9: TOO_BIG},
    ),
    *_values(
        DEPLOYMENT,
        "spec.optimization",
        accepted=("balanced", "latency"),
        refused={"Balanced": "in lower case: balanced, throughput or latency"},
    ),
    *_values(
        DEPLOYMENT_BY_CONFIG,
        "spec.config",
        accepted=("cr_1",),
        refused={"1xnvidia-h100-80gb": "begins with cr_"},
    ),
    *_values(
        DEPLOYMENT,
        "spec.replicas",
        accepted=(0, 1000),
        refused={-1: TOO_SMALL, 1001: TOO_BIG},
    ),
    *(
        Case(
            f"config beside {field}",
            changed(DEPLOYMENT_BY_CONFIG, {f"spec.{field}": value}),
            Refusal("spec.config", "remove them, or remove config"),
        )
        for field, value in (
            ("hardware", {"gpu": "nvidia-h100-80gb"}),
            ("optimization", "latency"),
        )
    ),
]


def _immutable(
    manifest: Manifest, path: str, other: object, message: str, *, optional: bool = True
) -> list[Case]:
    """Changing, and for optional fields removing and adding, is refused; keeping is accepted."""
    kept = changed(manifest, {"spec.suspend": False})
    updates = {"changed": (manifest, changed(manifest, {path: other}))}
    if optional:
        without = changed(manifest, {path: ABSENT})
        updates |= {"removed": (manifest, without), "added later": (without, manifest)}
    return [
        Case(f"{path} kept", kept, before=manifest),
        *(
            Case(f"{path} {what}", after, Refusal(path, message), before=before)
            for what, (before, after) in updates.items()
        ),
    ]


UPDATES = [
    *_immutable(FROM_PREFIX, "spec.modelName", "other", "modelName cannot be changed"),
    *_immutable(
        FROM_PREFIX, "spec.type", "Adapter", "create a new CustomModel for weights", optional=False
    ),
    *_immutable(
        DEPLOYMENT,
        "spec.modelRef",
        {"name": "other"},
        "modelRef cannot be changed in place: create a new ModelDeployment",
        optional=False,
    ),
    *_immutable(DEPLOYMENT, "spec.endpointName", "other", "endpointName cannot be changed"),
    *_immutable(
        DEPLOYMENT,
        "spec.hardware",
        {"gpu": "nvidia-b200"},
        "hardware cannot be changed, added or removed: a deployment keeps its hardware; "
        "create a new ModelDeployment",
    ),
    *_immutable(DEPLOYMENT, "spec.optimization", "latency", "a deployment keeps its optimization"),
    *_immutable(DEPLOYMENT_BY_CONFIG, "spec.config", "cr_2", "a deployment keeps its config"),
    Case(
        "baseModel changed before the model exists",
        changed(FROM_PREFIX, {"spec.baseModel": "Qwen/Qwen2.5-7B"}),
        before=FROM_PREFIX,
        status=changed(CUSTOM_MODEL_STATUS, {"model": ABSENT}),
    ),
    *(
        Case(
            f"baseModel {what} once the model exists",
            changed(FROM_PREFIX, {"spec.baseModel": value}),
            Refusal("spec.baseModel", "cannot be changed once the model exists at Together"),
            before=FROM_PREFIX,
            status=CUSTOM_MODEL_STATUS,
        )
        for what, value in (("changed", "Qwen/Qwen2.5-7B"), ("removed", ABSENT))
    ),
    Case(
        "everything mutable of a CustomModel changed once the model exists",
        changed(
            FROM_PREFIX,
            {
                "spec.source": FROM_ARCHIVE["spec"]["source"],
                "spec.archive": ABSENT,
                "spec.job": ABSENT,
                "spec.apiKeySecretRef": ABSENT,
                "spec.description": "",
                "spec.visibility": "Private",
                "spec.deletionPolicy": "Delete",
                "spec.adoptionPolicy": "Never",
                "spec.suspend": False,
            },
        ),
        before=FROM_PREFIX,
        status=CUSTOM_MODEL_STATUS,
    ),
    Case(
        "everything mutable of a ModelDeployment changed",
        changed(
            DEPLOYMENT,
            {
                "spec.replicas": 0,
                "spec.apiKeySecretRef": ABSENT,
                "spec.deletionPolicy": "Delete",
                "spec.adoptionPolicy": "Never",
                "spec.suspend": False,
            },
        ),
        before=DEPLOYMENT,
        status=DEPLOYMENT_STATUS,
    ),
]

_PHASES = ("Pending", "Ready", "Suspended", "Failed", "Deleting")
_COUNTS = (
    "source.files",
    "source.sizeBytes",
    "archive.sizeBytes",
    "progress.doneBytes",
    "progress.totalBytes",
    "progress.bytesPerSecond",
    "progress.etaSeconds",
)

STATUSES = [
    *(
        case
        for manifest, status in (
            (FROM_PREFIX, CUSTOM_MODEL_STATUS),
            (DEPLOYMENT, DEPLOYMENT_STATUS),
        )
        for case in (
            *_statuses(
                manifest,
                status,
                "conditions[0].status",
                accepted=("True", "False", "Unknown"),
                refused={"true": ENUM},
            ),
            *_statuses(
                manifest,
                status,
                "conditions[0].reason",
                accepted=("SecretMissing",),
                refused={"not a word": PATTERN},
            ),
            *_statuses(
                manifest, status, "conditions[0].observedGeneration", refused={-1: TOO_SMALL}
            ),
            *_statuses(manifest, status, "intent.attempt", refused={0: TOO_SMALL}),
            *_statuses(manifest, status, "retry.failures", refused={-1: TOO_SMALL}),
        )
    ),
    *_statuses(
        FROM_PREFIX,
        CUSTOM_MODEL_STATUS,
        "phase",
        accepted=(*_PHASES, "Archiving", "Registering", "Importing"),
        refused={"Done": ENUM},
    ),
    *_statuses(
        DEPLOYMENT,
        DEPLOYMENT_STATUS,
        "phase",
        accepted=(*_PHASES, "Provisioning", "Scaling", "Stopped", "Degraded"),
        refused={"Done": ENUM},
    ),
    *(
        case
        for path in _COUNTS
        for case in _statuses(
            FROM_PREFIX, CUSTOM_MODEL_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
    *_statuses(
        FROM_PREFIX,
        CUSTOM_MODEL_STATUS,
        "progress.percent",
        accepted=(0, 100),
        refused={-1: TOO_SMALL, 101: TOO_BIG},
    ),
    *(
        case
        for path in ("job.attempt", "import.attempt")
        for case in _statuses(FROM_PREFIX, CUSTOM_MODEL_STATUS, path, refused={0: TOO_SMALL})
    ),
    *(
        case
        for path in ("replicas", "readyReplicas")
        for case in _statuses(
            DEPLOYMENT, DEPLOYMENT_STATUS, path, accepted=(0,), refused={-1: TOO_SMALL}
        )
    ),
]

CASES: list[Case] = [
    *COMPLETE,
    *REMOTE_NAMES,
    *SECRET_NAMES,
    *SECRET_KEYS,
    *S3_LOCATIONS,
    *SOURCES,
    *ARCHIVES,
    *CUSTOM_MODELS,
    *JOBS,
    *DEPLOYMENTS,
    *UPDATES,
    *STATUSES,
]
