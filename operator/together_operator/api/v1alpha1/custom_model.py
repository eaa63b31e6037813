"""CustomModel: weights that shall be a model at Together AI."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from together_operator.api.schema import CEL, Column, Definition, immutable, rules
from together_operator.api.v1alpha1.common import (
    NAME_FITS_LABELS,
    AdoptionPolicy,
    ApiKeySecretRef,
    ApiModel,
    Conditions,
    DeletionPolicy,
    Int32,
    Int64,
    Intent,
    ModelStatus,
    RemoteName,
    Resource,
    Retry,
    Timestamp,
)
from together_operator.api.v1alpha1.pod import JobSettings
from together_operator.api.v1alpha1.source import ANY_ARCHIVE, ArchiveSettings, Source

BaseModelName = Annotated[
    str,
    Field(min_length=1, max_length=193),
    CEL(
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._/-]*$')",
        "baseModel must be the name of a base model in Together's catalog, such as "
        "meta-llama/Llama-3.1-8B-Instruct, or its id (ml_...): leave out https:// and spaces",
    ),
]


class ModelType(StrEnum):
    """What the weights are."""

    TEXT_GENERATION = "TextGeneration"
    EMBEDDING = "Embedding"
    ADAPTER = "Adapter"


class Visibility(StrEnum):
    """Who may see the model at Together."""

    PRIVATE = "Private"
    INTERNAL = "Internal"


_HUB = "self.source.huggingFace"
_PACKED = (
    "has(self.source.persistentVolumeClaim) || "
    f"(has(self.source.s3) && !self.source.s3.uri.matches('{ANY_ARCHIVE}')) || "
    f"(has({_HUB}) && ({_HUB}.transfer == 'Staged' || "
    f"({_HUB}.transfer == 'Auto' && has({_HUB}.revision))))"
)
"""The sources whose files a Job packs: `Source.is_packed` says the same."""

_WHICH = "an S3 prefix, a volume claim, or a repository with a revision or transfer: Staged"


ARCHIVE_REQUIRED = (
    "archive.destination is required because the source's files are packed into one "
    f"archive first ({_WHICH}): set archive.destination.uri to s3://<bucket>/<prefix>/"
)


def _endpoint(location: str) -> str:
    return f"(has({location}.endpointURL) ? {location}.endpointURL : '')"


def _folder(uri: str) -> str:
    return f"({uri}.endsWith('/') ? {uri} : {uri} + '/')"


class CustomModelSpec(ApiModel):
    """What is wanted."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            immutable(
                "modelName",
                "a model at Together keeps its name; create a new CustomModel for another one",
            ),
            CEL(
                f"!({_PACKED}) || has(self.archive)",
                ARCHIVE_REQUIRED,
                field_path=".archive",
                reason="FieldValueRequired",
            ),
            CEL(
                f"!has(self.archive) || ({_PACKED})",
                f"archive is used only for {_WHICH}: remove archive, or choose such a source",
                field_path=".archive",
                reason="FieldValueForbidden",
            ),
            CEL(
                f"!has(self.job) || ({_PACKED})",
                f"job is used only for {_WHICH}, because only then a Job runs: remove job, or "
                "choose such a source",
                field_path=".job",
                reason="FieldValueForbidden",
            ),
            CEL(
                "!has(self.archive) || !has(self.source.s3) || "
                f"{_endpoint('self.source.s3')} != {_endpoint('self.archive.destination')} || "
                f"!{_folder('self.archive.destination.uri')}"
                f".startsWith({_folder('self.source.s3.uri')})",
                "archive.destination.uri lies within source.s3.uri, so that each archive would be "
                "packed into the next one: choose a prefix outside of it",
                field_path=".archive.destination.uri",
            ),
        )
    )

    model_name: RemoteName | None = Field(
        default=None,
        description="Name of the model at Together, without the project's prefix; default: "
        "<namespace>-<name> of this object. Immutable.",
    )
    type: Annotated[
        ModelType,
        CEL(
            "self == oldSelf",
            "type cannot be changed: create a new CustomModel for weights of another type",
            reason="FieldValueForbidden",
        ),
    ] = Field(
        default=ModelType.TEXT_GENERATION,
        description="What the weights are: TextGeneration, Embedding, or Adapter (LoRA). "
        "Immutable.",
    )
    base_model: BaseModelName | None = Field(
        default=None,
        description="The base architecture that Together supports, by catalog name (such as "
        "meta-llama/Llama-3.1-8B-Instruct) or id (ml_...); default: as the adapter's config or "
        "the model card says. Cannot be changed once the model exists at Together.",
    )
    source: Source = Field(
        description="Where the weights come from: exactly one of huggingFace, s3, "
        "persistentVolumeClaim and presignedURL. A changed source is imported again, as a new "
        "revision of the same model."
    )
    archive: ArchiveSettings | None = Field(
        default=None,
        description="How and where the source's files are packed; required for an S3 prefix, a "
        "volume claim and a staged repository, and used for no other source.",
    )
    job: JobSettings = Field(
        default_factory=JobSettings,
        description="How the Job runs that packs the source's files.",
    )
    api_key_secret_ref: ApiKeySecretRef | None = Field(
        default=None, description="The Together API key to use; default: the operator's own."
    )
    description: str = Field(
        default="",
        max_length=1000,
        description="Text that Together shows for the model; a change is carried over.",
    )
    visibility: Visibility = Field(
        default=Visibility.PRIVATE,
        description="Who sees the model at Together: Private (the project) or Internal (the "
        "whole organization); a change is carried over.",
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.DELETE,
        description="Whether deleting this object deletes the model at Together (Delete) or "
        "leaves it there (Retain).",
    )
    adoption_policy: AdoptionPolicy = Field(
        default=AdoptionPolicy.NEVER,
        description="Whether a model of that name that is already at Together is left alone, "
        "which stalls this object (Never), or taken over (Adopt).",
    )
    suspend: bool = Field(
        default=False,
        description="When true, nothing new is started; what runs is still followed.",
    )


class CustomModelPhase(StrEnum):
    """One word for where the object stands; programs should read the conditions."""

    PENDING = "Pending"
    ARCHIVING = "Archiving"
    REGISTERING = "Registering"
    IMPORTING = "Importing"
    READY = "Ready"
    SUSPENDED = "Suspended"
    FAILED = "Failed"
    DELETING = "Deleting"


class SourceStatus(ApiModel):
    """The source as it was last seen."""

    text: str | None = Field(
        default=None, description="The source in short, such as hf://org/repo or s3://bucket/key."
    )
    digest: str | None = Field(
        default=None, description="Digest of the source's specification; a new one means import."
    )
    revision: str | None = Field(
        default=None, description="Version of the source's content, such as a commit or an ETag."
    )
    files: Int64 | None = Field(default=None, ge=0, description="Number of files.")
    size_bytes: Int64 | None = Field(default=None, ge=0, description="Size in bytes.")
    size: str | None = Field(default=None, description="Size for people, such as 1.2GiB.")


class ArchiveStatus(ApiModel):
    """The archive that was written."""

    uri: str | None = Field(default=None, description="Where it is, s3://bucket/key.")
    format: str | None = Field(default=None, description="Its format.")
    size_bytes: Int64 | None = Field(default=None, ge=0, description="Its size in bytes.")
    digest: str | None = Field(default=None, description="Digest of its content.")
    files: Int64 | None = Field(default=None, ge=0, description="Number of files in it.")
    deleted: bool = Field(
        default=False, description="Whether it was deleted again, as archive.retention asks."
    )
    problem: str | None = Field(
        default=None, description="Why it could not be deleted, when it should be."
    )
    left_behind: str | None = Field(
        default=None,
        description="An archive that lies where archive.destination was before it was changed; "
        "the operator doesn't delete it.",
    )


class JobStatus(ApiModel):
    """The Job that writes the archive."""

    name: str | None = Field(default=None, description="Name of the Job, in this namespace.")
    attempt: Int32 | None = Field(
        default=None, ge=1, description="Which Job this is for the same source, from 1."
    )
    failures: Int32 | None = Field(
        default=None,
        ge=0,
        description="Jobs that failed in a row since source or spec last changed or a retry was "
        "asked for.",
    )
    seen_at: Timestamp | None = Field(
        default=None, description="When it was first seen; one that is gone after that was deleted."
    )


class Progress(ApiModel):
    """How far the current stage is."""

    stage: str | None = Field(default=None, description="What is being done.")
    done_bytes: Int64 | None = Field(default=None, ge=0, description="Bytes done.")
    total_bytes: Int64 | None = Field(default=None, ge=0, description="Bytes in all, if known.")
    percent: Int32 | None = Field(default=None, ge=0, le=100, description="Done, of 100.")
    bytes_per_second: Int64 | None = Field(default=None, ge=0, description="Current speed.")
    eta_seconds: Int64 | None = Field(
        default=None, ge=0, description="Seconds that are left at this speed."
    )
    text: str | None = Field(
        default=None, description="All of it for people, such as 63% 1.2GiB/s 4m."
    )
    moved_at: Timestamp | None = Field(
        default=None, description="When it was last seen to get on; see job.stallSeconds."
    )


class ImportStatus(ApiModel):
    """The import at Together."""

    job_id: str | None = Field(
        default=None, alias="jobID", description="Id of the import job at Together (job_...)."
    )
    attempt: Int32 | None = Field(
        default=None, ge=1, description="Which import this is for the same source, from 1."
    )
    state: str | None = Field(
        default=None, description="Together's state of it, such as RUNNING or SUCCEEDED."
    )
    message: str | None = Field(default=None, description="Together's words about the state.")
    source_digest: str | None = Field(
        default=None, description="The status.source.digest that it imports."
    )
    started_at: Timestamp | None = Field(default=None, description="When it was started.")


class CustomModelStatus(ApiModel):
    """What is; written by the operator only."""

    observed_generation: Int64 = Field(
        default=-1,
        description="The metadata.generation that this status is about; -1: not looked at yet.",
    )
    object_uid: str | None = Field(
        default=None,
        alias="objectUID",
        description="metadata.uid of the object that this status was written for. In an object "
        "that was restored from a backup it is another one, and the status counts for nothing.",
    )
    phase: CustomModelPhase | None = Field(
        default=None, description="One word for people; programs should read the conditions."
    )
    conditions: Conditions = Field(
        default=(),
        max_length=16,
        description="Ready, Reconciling, Stalled, SourceReady, Archived, Registered, Imported.",
    )
    source: SourceStatus | None = Field(default=None, description="The source as it was last seen.")
    archive: ArchiveStatus | None = Field(default=None, description="The archive that was written.")
    job: JobStatus | None = Field(default=None, description="The Job that writes the archive.")
    progress: Progress | None = Field(default=None, description="How far the current stage is.")
    import_: ImportStatus | None = Field(
        default=None, alias="import", description="The latest import at Together."
    )
    model: ModelStatus | None = Field(default=None, description="The model at Together.")
    intent: Intent | None = Field(
        default=None, description="What is being created at Together right now."
    )
    retry: Retry | None = Field(
        default=None, description="Failed tries, and when the next one is due."
    )
    last_retry: str | None = Field(
        default=None,
        description="Value of the annotation together.ai/retry that was honoured last; any other "
        "one asks for a new round of attempts at once.",
    )


class CustomModel(Resource):
    """Weights that shall be a model at Together AI.

    The operator imports them from Hugging Face, an archive or an S3 prefix, follows the import,
    and keeps the model's record as this object says.
    """

    model_config = ConfigDict(
        json_schema_extra=rules(
            NAME_FITS_LABELS,
            CEL(
                "!has(oldSelf.status) || !has(oldSelf.status.model) || "
                "!has(oldSelf.status.model.id) || "
                "(has(self.spec.baseModel) ? self.spec.baseModel : '') == "
                "(has(oldSelf.spec.baseModel) ? oldSelf.spec.baseModel : '')",
                "baseModel cannot be changed once the model exists at Together (status.model.id): "
                "set it back, or create a new CustomModel",
                field_path=".spec.baseModel",
                reason="FieldValueForbidden",
            ),
        )
    )
    definition: ClassVar[Definition] = Definition(
        kind="CustomModel",
        plural="custommodels",
        short_name="cmodel",
        columns=(
            Column(
                "Ready",
                '.status.conditions[?(@.type=="Ready")].status',
                "Whether the model is imported and usable.",
            ),
            Column(
                "Status",
                '.status.conditions[?(@.type=="Ready")].reason',
                "Why it is ready or not.",
            ),
            Column("Progress", ".status.progress.text", "How far the current stage is."),
            Column("Model", ".status.model.name", "Name of the model at Together."),
            Column("Age", ".metadata.creationTimestamp", "Age of this object.", type="date"),
            Column("Type", ".spec.type", "What the weights are.", priority=1),
            Column("Source", ".status.source.text", "Where they come from.", priority=1),
            Column("Size", ".status.source.size", "Their size.", priority=1),
            Column("Job", ".status.import.jobID", "Import job at Together.", priority=1),
            Column("Revision", ".status.model.revision", "Revision at Together.", priority=1),
        ),
    )

    kind: Literal["CustomModel"] = Field(default="CustomModel", description="CustomModel.")
    spec: CustomModelSpec = Field(description="What is wanted.")
    status: CustomModelStatus = Field(
        default=CustomModelStatus(),
        description="What is; written by the operator only.",
    )
