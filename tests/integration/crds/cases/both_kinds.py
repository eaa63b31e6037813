"""Complete manifests, and the fields that both kinds have."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    Case,
    Refusal,
    values,
)
from tests.integration.crds.manifests import (
    CUSTOM_MODEL_STATUS,
    DEPLOYMENT,
    DEPLOYMENT_BY_CONFIG,
    DEPLOYMENT_STATUS,
    FROM_ARCHIVE,
    FROM_CLAIM,
    FROM_HUGGING_FACE,
    FROM_PREFIX,
    FROM_PRESIGNED_URL,
    FROM_REVISION,
    LONG_NAME,
    changed,
)

COMPLETE = [
    Case("an S3 prefix with every field", FROM_PREFIX),
    Case("an archive in S3", FROM_ARCHIVE),
    Case("a Hugging Face repository", FROM_HUGGING_FACE),
    Case("a presigned URL", FROM_PRESIGNED_URL),
    Case("a pinned repository", FROM_REVISION),
    Case("a volume claim", FROM_CLAIM),
    Case("a deployment by hardware with every field", DEPLOYMENT),
    Case("a deployment by config", DEPLOYMENT_BY_CONFIG),
    Case("a CustomModel's status with every field", FROM_PREFIX, status=CUSTOM_MODEL_STATUS),
    Case("a ModelDeployment's status with every field", DEPLOYMENT, status=DEPLOYMENT_STATUS),
]

_REMOTE_NAMES = [
    case
    for manifest, path in ((FROM_PREFIX, "spec.modelName"), (DEPLOYMENT, "spec.endpointName"))
    for case in values(
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

_SECRET_NAMES = [
    case
    for manifest, path in (
        (FROM_PREFIX, "spec.source.s3.credentialsSecretRef.name"),
        (FROM_PREFIX, "spec.archive.destination.credentialsSecretRef.name"),
        (FROM_PREFIX, "spec.apiKeySecretRef.name"),
        (FROM_HUGGING_FACE, "spec.source.huggingFace.tokenSecretRef.name"),
        (FROM_PRESIGNED_URL, "spec.source.presignedURL.secretKeyRef.name"),
        (DEPLOYMENT, "spec.apiKeySecretRef.name"),
    )
    for case in values(
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

_SECRET_KEYS = [
    case
    for manifest, path in (
        (FROM_PREFIX, "spec.apiKeySecretRef.key"),
        (FROM_HUGGING_FACE, "spec.source.huggingFace.tokenSecretRef.key"),
        (FROM_PRESIGNED_URL, "spec.source.presignedURL.secretKeyRef.key"),
        (DEPLOYMENT, "spec.apiKeySecretRef.key"),
    )
    for case in values(
        manifest,
        path,
        accepted=("TOGETHER_API_KEY", "key-1.txt"),
        refused={"https://bucket/?X-Amz-Signature=0": "never the secret value", "a b": "a key of"},
    )
]

NAMES = [*_REMOTE_NAMES, *_SECRET_NAMES, *_SECRET_KEYS]

POLICIES = [
    *(
        case
        for manifest in (FROM_PREFIX, DEPLOYMENT)
        for case in (
            *values(
                manifest,
                "spec.deletionPolicy",
                accepted=("Delete", "Retain"),
                refused={"Orphan": ENUM},
            ),
            *values(
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
