"""Where weights come from, and where an archive of them is written."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from together_operator.api.schema import CEL, rules
from together_operator.api.v1alpha1.common import (
    ApiModel,
    CredentialsSecretRef,
    SecretKey,
    SecretKeyRef,
)
from together_operator.api.v1alpha1.pod import ObjectName

ARCHIVE_SUFFIX = r"[.](zip|tar|tar[.]gz)$"
"""What the uri of one archive object ends with; every other `source.s3.uri` is a prefix."""

ANY_ARCHIVE = "(?i)[.](zip|tar|tgz|gz|tbz2?|bz2|txz|xz|tzst|zst|7z|rar)$"
"""What looks like an archive, whether Together takes it or not."""

_S3_URI = CEL(
    "self.matches('^s3://[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9](/[^\\\\x00-\\\\x1f\\\\x7f]*)?$')",
    "uri must be s3://<bucket>/<key or prefix>, with a bucket name of 3 to 63 letters, digits, "
    "'.', '_' and '-': for a store other than AWS put its address into endpointURL",
)
S3Uri = Annotated[str, Field(max_length=1100), _S3_URI]

S3SourceUri = Annotated[
    S3Uri,
    CEL(
        f"self.matches('{ARCHIVE_SUFFIX}') || !self.matches('{ANY_ARCHIVE}')",
        "uri names a file that Together can't import: repack it as .zip, .tar or .tar.gz (lower "
        "case), or end the uri with '/' if it is a prefix",
    ),
]

Region = Annotated[
    str,
    Field(min_length=1, max_length=64),
    CEL(
        "self.matches('^[a-zA-Z0-9._-]+$')",
        "region must be a region name such as us-east-1: write it without spaces or a URL",
    ),
]

EndpointUrl = Annotated[
    str,
    Field(min_length=1, max_length=512),
    CEL(
        "self.matches('^https?://[^\\\\s/?#@]+(/[^\\\\s?#@]*)?$')",
        "endpointURL must be an http:// or https:// address without credentials or query, such "
        "as https://minio.example.com:9000: put credentials into credentialsSecretRef",
    ),
]

Repository = Annotated[
    str,
    Field(max_length=193),
    CEL(
        "self.matches('^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,95}/[a-zA-Z0-9_.-]{1,96}$') && "
        "!self.contains('--') && !self.contains('..') && !self.endsWith('.git') && "
        "!self.endsWith('.') && !self.endsWith('-')",
        "repo must be <organization>/<name> as on huggingface.co, such as "
        "sentence-transformers/all-MiniLM-L6-v2: leave out https:// and everything after the name",
    ),
]

GitRevision = Annotated[
    str,
    Field(min_length=1, max_length=128),
    CEL(
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._/-]*$') && !self.contains('..') && "
        "!self.contains('//') && !self.endsWith('/') && !self.endsWith('.lock')",
        "revision must be a branch, a tag or a commit of the repository, such as main, v1.0 or "
        "1110a243fdf4706b3f48f1d95db1a4f5529b4d41: leave out the repository and spaces",
    ),
]

FolderInVolume = Annotated[
    str,
    Field(max_length=512),
    CEL(
        "self.matches('^([^/\\\\x00-\\\\x1f\\\\x7f]+(/[^/\\\\x00-\\\\x1f\\\\x7f]+)*/?)?$') && "
        "!self.matches('(^|/)[.][.]?(/|$)')",
        "path must be a folder within the volume, such as models/v1: leave out the leading '/', "
        "empty parts, '.' and '..'",
    ),
]


class ArchiveFormat(StrEnum):
    """How files are packed."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"


class ArchiveRetention(StrEnum):
    """What becomes of an archive that is not needed any more."""

    DELETE = "Delete"
    RETAIN = "Retain"


class Transfer(StrEnum):
    """How a repository's files get to Together."""

    AUTO = "Auto"
    DIRECT = "Direct"
    STAGED = "Staged"


class HuggingFaceTokenRef(SecretKeyRef):
    """Where the Hugging Face token is."""

    key: SecretKey = Field(
        default="token", description="Key in the Secret whose value is the token."
    )


class PresignedUrlRef(SecretKeyRef):
    """Where the presigned URL is."""

    key: SecretKey = Field(default="url", description="Key in the Secret whose value is the URL.")


class HuggingFaceSource(ApiModel):
    """A repository at Hugging Face, which Together reads itself unless it is staged."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "!has(self.revision) || self.transfer != 'Direct'",
                "transfer: Direct can't be used with revision, because Together itself reads the "
                "default branch only: remove revision, or set transfer to Auto or Staged and "
                "archive.destination",
                field_path=".transfer",
            )
        )
    )

    repo: Repository = Field(
        description="The repository, <organization>/<name>, such as "
        "sentence-transformers/all-MiniLM-L6-v2."
    )
    token_secret_ref: HuggingFaceTokenRef | None = Field(
        default=None,
        description="A Hugging Face token that may read the repository; needed for private and "
        "gated ones. Together is given this token for the import, unless it is staged.",
    )
    revision: GitRevision | None = Field(
        default=None,
        description="Branch, tag or commit to take; default: the default branch. It is resolved "
        "to a commit (status.source.revision); a branch that has moved is imported again. Needs "
        "archive, since Together itself reads the default branch only.",
    )
    transfer: Transfer = Field(
        default=Transfer.AUTO,
        description="Direct: Together reads the repository itself. Staged: a Job packs the files "
        "into an archive first (see archive), which a revision or a private mirror of the hub "
        "needs. Auto: Staged when a revision is given, else Direct.",
    )

    @property
    def is_staged(self) -> bool:
        """Whether a Job packs the files first."""
        chosen = self.transfer == Transfer.STAGED
        return chosen or (self.transfer == Transfer.AUTO and self.revision is not None)


class S3Location(ApiModel):
    """Where something is in an S3-compatible store."""

    region: Region | None = Field(
        default=None,
        description="Region of the bucket, such as us-east-1; default: the operator's.",
    )
    endpoint_url: EndpointUrl | None = Field(
        default=None,
        alias="endpointURL",
        description="Address of a store other than AWS, such as https://minio.example.com:9000.",
    )
    credentials_secret_ref: CredentialsSecretRef | None = Field(
        default=None,
        description="Credentials for the bucket; default: the ambient identity of the operator "
        "and, in the Job, of its service account.",
    )


class S3Source(S3Location):
    """Weights in an S3-compatible store: one archive, or a prefix of files."""

    uri: S3SourceUri = Field(
        description="Either one archive, s3://bucket/key ending in .zip, .tar or .tar.gz with "
        "the model's files at its root, which Together fetches as it is; or a prefix of files, "
        "s3://bucket/prefix/, which a Job first packs into an archive (see archive)."
    )

    @property
    def is_archive(self) -> bool:
        """Whether the uri names one archive object, and not a prefix."""
        return re.search(ARCHIVE_SUFFIX, self.uri) is not None

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return _bucket_and_key(self.uri)[0]

    @property
    def key(self) -> str:
        """The object's key, or the prefix: empty for a whole bucket, else ending in `/`."""
        key = _bucket_and_key(self.uri)[1]
        return key if self.is_archive or not key or key.endswith("/") else key + "/"


class PersistentVolumeClaimSource(ApiModel):
    """Files in a volume of this namespace, which the Job mounts read-only."""

    claim_name: ObjectName = Field(description="Name of the claim, in this namespace.")
    path: FolderInVolume = Field(
        default="",
        description="Folder of the model's files within the volume, such as models/v1; default: "
        "the volume's root. The operator can't look into a volume: to import changed files, put "
        "them into another folder.",
    )


class PresignedUrlSource(ApiModel):
    """One archive behind a URL that the user signed."""

    secret_key_ref: PresignedUrlRef = Field(
        description="The Secret with the URL of a .zip, .tar or .tar.gz archive. The URL must "
        "stay valid for at least 100 minutes.",
    )


class Source(ApiModel):
    """Where the weights come from: exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            CEL(
                "[has(self.huggingFace), has(self.s3), has(self.persistentVolumeClaim), "
                "has(self.presignedURL)].filter(given, given).size() == 1",
                "source must have exactly one of huggingFace, s3, persistentVolumeClaim and "
                "presignedURL: keep the one that the weights come from and remove the others",
            )
        )
    )

    hugging_face: HuggingFaceSource | None = Field(
        default=None, description="A repository at Hugging Face."
    )
    s3: S3Source | None = Field(
        default=None, description="An archive or a prefix of files in an S3-compatible store."
    )
    persistent_volume_claim: PersistentVolumeClaimSource | None = Field(
        default=None, description="A folder in a volume of this namespace."
    )
    presigned_url: PresignedUrlSource | None = Field(
        default=None,
        alias="presignedURL",
        description="An archive behind a presigned URL that is kept in a Secret.",
    )

    @property
    def is_packed(self) -> bool:
        """Whether a Job packs the files into an archive before Together can fetch them."""
        staged = self.hugging_face is not None and self.hugging_face.is_staged
        prefix = self.s3 is not None and not self.s3.is_archive
        return staged or prefix or self.persistent_volume_claim is not None


class ArchiveDestination(S3Location):
    """Where archives are written to."""

    uri: S3Uri = Field(
        description="Prefix under which the archive is written, s3://bucket/prefix/. It must not "
        "lie within source.s3.uri."
    )

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return _bucket_and_key(self.uri)[0]

    @property
    def prefix(self) -> str:
        """The prefix: empty for a whole bucket, else ending in `/`."""
        key = _bucket_and_key(self.uri)[1]
        return key if not key or key.endswith("/") else key + "/"


class ArchiveSettings(ApiModel):
    """How files are packed for Together, which takes one archive only."""

    format: ArchiveFormat = Field(
        default=ArchiveFormat.ZIP,
        description="Format of the archive: zip and tar keep the bytes as they are, and files of "
        "the same store are copied by the store itself; tar.gz makes the archive smaller and "
        "takes CPU and memory. Together's newest documentation names zip and tar.gz only.",
    )
    destination: ArchiveDestination = Field(
        description="Where the archive is written, for Together to fetch it by a presigned URL."
    )
    retention: ArchiveRetention = Field(
        default=ArchiveRetention.DELETE,
        description="Delete: the archive is deleted once it is imported, and whatever is left of "
        "it when this object is deleted. Retain: it is left where it is. Only archives in this "
        "object's own folder below the destination are ever deleted.",
    )


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
