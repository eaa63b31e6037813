"""What both kinds share: metadata, conditions, references, names and bookkeeping."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from together_operator.api.schema import CEL, Definition

GROUP = "together.ai"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "together"


class ApiModel(BaseModel):
    """Base of everything in this API: immutable, camelCase outside, unknown fields dropped."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    def to_body(self) -> dict[str, Any]:
        """The JSON that Kubernetes stores: camelCase, no nulls, RFC 3339 timestamps."""
        return self.model_dump(by_alias=True, exclude_none=True, mode="json")


def _whole_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return _whole_seconds(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_seconds),
    PlainSerializer(_rfc3339, when_used="json"),
]
"""A moment as Kubernetes writes it: UTC, cut down to whole seconds when it is read or written."""

Int32 = Annotated[int, Field(json_schema_extra={"format": "int32"})]
Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]

RemoteName = Annotated[
    str,
    Field(min_length=1, max_length=96),
    CEL(
        "self.matches('^[a-zA-Z0-9][a-zA-Z0-9._-]*$')",
        "must be a bare name of letters, digits, '.', '_' and '-' that starts with a letter or "
        "digit: leave out the project prefix (everything up to '/') and other characters",
    ),
]
"""A model's or endpoint's name at Together, without the project's slug."""

SecretName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    CEL(
        "self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
        "must be the name of a Secret in this object's namespace (lower-case letters, digits, "
        "'-' and '.'): write the name alone, without a namespace",
    ),
]

SecretKey = Annotated[
    str,
    Field(min_length=1, max_length=253),
    CEL(
        "self.matches('^[A-Za-z0-9._-]+$')",
        "must be a key of the Secret (letters, digits, '.', '_' and '-'): write the key, never "
        "the secret value itself",
    ),
]


class SecretKeyRef(ApiModel):
    """One key of a Secret in the object's own namespace; the subclasses set the default key."""

    name: SecretName = Field(description="Name of a Secret in the same namespace as this object.")
    key: SecretKey


class ApiKeySecretRef(SecretKeyRef):
    """Where the Together API key is."""

    key: SecretKey = Field(
        default="TOGETHER_API_KEY", description="Key in the Secret whose value is the API key."
    )


class CredentialsSecretRef(ApiModel):
    """A Secret with S3 credentials under the names that the AWS tools use."""

    name: SecretName = Field(
        description="Name of a Secret in the same namespace as this object, with the keys "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary credentials, "
        "AWS_SESSION_TOKEN."
    )


class DeletionPolicy(StrEnum):
    """What happens at Together when the object is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class AdoptionPolicy(StrEnum):
    """Whether something of that name that is already at Together may be taken over."""

    NEVER = "Never"
    ADOPT = "Adopt"


class ConditionStatus(StrEnum):
    """A condition's truth."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """A standard Kubernetes condition (metav1.Condition)."""

    type: str = Field(
        max_length=316,
        description="What the condition is about, such as Ready, Reconciling or Stalled.",
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="One word for programs, from a closed list, that says why.",
    )
    message: str = Field(
        max_length=32768,
        description="The same for people: what is wrong, in the remote system's own words, and "
        "what to do about it.",
    )
    last_transition_time: Timestamp = Field(description="When the condition's status last changed.")
    observed_generation: Int64 | None = Field(
        default=None, ge=0, description="The metadata.generation that the condition was set from."
    )


Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        }
    ),
]


class Intent(ApiModel):
    """Something that is about to be created at Together, recorded before it is asked for."""

    kind: str = Field(description="What is being created: Model, Import, Endpoint or Deployment.")
    name: str = Field(description="The name it is looked up by, should the answer be lost.")
    attempt: Int32 = Field(default=1, ge=1, description="How often creating it was begun.")
    since: Timestamp = Field(description="When the intent was recorded.")
    holder: str | None = Field(
        default=None, description="Which operator process recorded the intent."
    )


class Retry(ApiModel):
    """What is known about failed tries, so that a restart of the operator keeps the backoff."""

    failures: Int32 = Field(default=0, ge=0, description="Failed tries in a row.")
    next_attempt_time: Timestamp | None = Field(
        default=None, description="When the next try is due."
    )


class ModelStatus(ApiModel):
    """The model record at Together."""

    id: str | None = Field(default=None, description="Id of the model at Together (ml_...).")
    name: str | None = Field(
        default=None, description="Full name of the model at Together: <project>/<name>."
    )
    revision: str | None = Field(
        default=None, description="Id of the model's revision at Together (rv_...)."
    )


class ObjectMeta(ApiModel):
    """The part of the standard metadata that the operator reads."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Timestamp | None = None
    deletion_timestamp: Timestamp | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


NAME_FITS_LABELS = CEL(
    "self.metadata.name.size() <= 63",
    "metadata.name must have at most 63 characters, because labels carry it: choose a shorter name",
    field_path=".metadata.name",
)


class Resource(ApiModel):
    """Base of the kinds. `definition` holds what the CRD says besides the schema."""

    definition: ClassVar[Definition]

    api_version: str = Field(default=API_VERSION, description="The API and its version.")
    kind: str = Field(description="The kind of this object.")
    metadata: ObjectMeta = Field(default_factory=ObjectMeta, description="Standard metadata.")

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"
