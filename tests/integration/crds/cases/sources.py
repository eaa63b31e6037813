"""Sources of a CustomModel, and where archives of them go."""

from __future__ import annotations

from tests.integration.crds.cases.case import (
    ENUM,
    Case,
    Refusal,
    values,
)
from tests.integration.crds.manifests import (
    ABSENT,
    FROM_ARCHIVE,
    FROM_CLAIM,
    FROM_HUGGING_FACE,
    FROM_PREFIX,
    FROM_PRESIGNED_URL,
    FROM_REVISION,
    changed,
)

S3_LOCATIONS = [
    case
    for path in ("spec.source.s3", "spec.archive.destination")
    for case in (
        *values(
            FROM_PREFIX,
            f"{path}.region",
            accepted=("us-east-1", "default"),
            refused={"https://s3.eu": "write it without spaces", "us east": "region must be"},
        ),
        *values(
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
        *values(
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
    *values(
        FROM_REVISION,
        "spec.source.huggingFace.revision",
        accepted=("main", "v1.0", "refs/pr/4", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
        refused={
            "org/model@main ": "leave out the repository and spaces",
            "a..b": "must be a branch, a tag or a commit",
            "-x": "must be a branch, a tag or a commit",
            "main/": "must be a branch, a tag or a commit",
            "a//b": "must be a branch, a tag or a commit",
            "main.lock": "must be a branch, a tag or a commit",
        },
    ),
    *values(
        FROM_REVISION,
        "spec.source.huggingFace.transfer",
        accepted=("Auto", "Staged"),
        refused={"Copy": ENUM},
    ),
    *values(
        FROM_CLAIM,
        "spec.source.persistentVolumeClaim.claimName",
        accepted=("weights", "weights-1.a"),
        refused={"Weights": "must be the name of a Kubernetes object"},
    ),
    *values(
        FROM_CLAIM,
        "spec.source.persistentVolumeClaim.path",
        accepted=("", "v1", "models/some where/v1/", "..a/b.."),
        refused={
            "/models/v1": "leave out the leading '/'",
            "models//v1": "empty parts",
            "models/../../etc": "'.' and '..'",
            "./v1": "'.' and '..'",
            "..": "'.' and '..'",
            "a\nb": "must be a folder within the volume",
        },
    ),
    Case(
        "a claim without a name",
        changed(FROM_CLAIM, {"spec.source.persistentVolumeClaim.claimName": ABSENT}),
        Refusal("spec.source.persistentVolumeClaim.claimName", "Required value"),
    ),
    *values(
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
    *values(
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
        Refusal("spec.source", "exactly one of huggingFace, s3, persistentVolumeClaim"),
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
        Refusal("spec.archive", "archive.destination is required because the source's"),
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
        Refusal("spec.archive", "archive is used only for an S3 prefix"),
    ),
    Case(
        "archive with an archive",
        changed(
            FROM_ARCHIVE,
            {"spec.archive": {"destination": {"uri": "s3://models/archives/"}}},
        ),
        Refusal("spec.archive", "remove archive, or choose"),
    ),
    Case(
        "job with a presigned URL",
        changed(FROM_PRESIGNED_URL, {"spec.job": {}}),
        Refusal("spec.job", "job is used only for an S3 prefix"),
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
    *values(
        FROM_PREFIX,
        "spec.archive.format",
        accepted=("zip", "tar", "tar.gz"),
        refused={"tgz": ENUM},
    ),
    *values(
        FROM_PREFIX,
        "spec.archive.retention",
        accepted=("Delete", "Retain"),
        refused={"Keep": ENUM},
    ),
    Case(
        "a claim without archive",
        changed(FROM_CLAIM, {"spec.archive": ABSENT}),
        Refusal("spec.archive", "set archive.destination.uri to s3://<bucket>/<prefix>/"),
    ),
    Case(
        "a claim with a job",
        changed(FROM_CLAIM, {"spec.job": {"stallSeconds": 60}}),
    ),
    Case(
        "a pinned repository without archive",
        changed(FROM_REVISION, {"spec.archive": ABSENT}),
        Refusal("spec.archive", "a repository with a revision or transfer: Staged"),
    ),
    Case(
        "a staged repository without archive",
        changed(
            FROM_REVISION,
            {"spec.source.huggingFace.revision": ABSENT, "spec.archive": ABSENT},
        ),
        Refusal("spec.archive", "a repository with a revision or transfer: Staged"),
    ),
    Case(
        "a staged repository without revision",
        changed(FROM_REVISION, {"spec.source.huggingFace.revision": ABSENT}),
    ),
    Case(
        "a pinned repository that is staged by itself",
        changed(FROM_REVISION, {"spec.source.huggingFace.transfer": ABSENT}),
    ),
    Case(
        "a repository that Together reads, with archive",
        changed(
            FROM_REVISION,
            {
                "spec.source.huggingFace.revision": ABSENT,
                "spec.source.huggingFace.transfer": "Direct",
            },
        ),
        Refusal("spec.archive", "archive is used only for"),
    ),
    Case(
        "a repository that Together reads",
        changed(FROM_HUGGING_FACE, {"spec.source.huggingFace.transfer": "Direct"}),
    ),
    Case(
        "a revision that Together would have to read",
        changed(FROM_REVISION, {"spec.source.huggingFace.transfer": "Direct"}),
        Refusal("spec.source.huggingFace.transfer", "reads the default branch only"),
    ),
]
