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
    FROM_HUGGING_FACE,
    FROM_PREFIX,
    FROM_PRESIGNED_URL,
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
    *values(
        FROM_PREFIX,
        "spec.archive.format",
        refused={"tgz": ENUM},
    ),
]
