"""Conditions: the closed list of reasons, and the one function that computes all conditions.

The rules are kstatus's: `Ready` is there from the first write, `Reconciling` and `Stalled` are
never both true, and every condition carries the generation that it speaks of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum

from together_operator.api.v1alpha1 import Condition


class Reason(StrEnum):
    """Every reason that a condition of ours can carry."""

    # Going well.
    READY = "Ready"
    PENDING = "Pending"
    NOT_REQUIRED = "NotRequired"
    FOUND = "Found"
    ARCHIVING = "Archiving"
    ARCHIVED = "Archived"
    ARCHIVE_DELETED = "ArchiveDeleted"
    ARCHIVE_NOT_DELETED = "ArchiveNotDeleted"
    REGISTERING = "Registering"
    REGISTERED = "Registered"
    IMPORTING = "Importing"
    IMPORT_RESTARTING = "ImportRestarting"
    IMPORTED = "Imported"
    UPDATING = "Updating"
    MODEL_READY = "ModelReady"
    WAITING_FOR_MODEL = "WaitingForModel"
    SCHEDULED = "Scheduled"
    CREATING_ENDPOINT = "CreatingEndpoint"
    CREATING_DEPLOYMENT = "CreatingDeployment"
    PROVISIONING = "Provisioning"
    SCALING = "Scaling"
    WITHIN_BUDGET = "WithinBudget"
    DEPLOYED = "Deployed"
    ROUTING = "Routing"
    ROUTED = "Routed"
    ROLLING_OUT = "RollingOut"
    REPLACING = "Replacing"
    REMOVING_PREVIOUS = "RemovingPrevious"
    ROLLED_OUT = "RolledOut"
    ROLLOUT_PAUSED = "RolloutPaused"
    CANCELING_ROLLOUT = "CancelingRollout"
    ROLLING_BACK = "RollingBack"
    PUBLISHING = "Publishing"
    PUBLISHED = "Published"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    OUTSIDE_SCHEDULE = "OutsideSchedule"
    EXPIRED = "Expired"
    IDLE = "Idle"
    DRIFTED = "Drifted"
    SUSPENDED = "Suspended"
    DELETING = "Deleting"
    IN_USE = "InUse"
    SETTLING = "Settling"

    # Something outside does not answer as it should; it is tried again.
    UNAVAILABLE = "Unavailable"
    RATE_LIMITED = "RateLimited"
    ANSWER_LOST = "AnswerLost"
    CONFLICT = "Conflict"
    ARCHIVE_RETRYING = "ArchiveRetrying"
    IMPORT_RETRYING = "ImportRetrying"
    DEGRADED = "Degraded"
    CRASH_LOOP = "CrashLoop"
    NO_CAPACITY = "NoCapacity"

    # A person has to do something; the message says what.
    SECRET_MISSING = "SecretMissing"  # noqa: S105
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_UNAUTHORIZED = "SourceUnauthorized"
    SOURCE_INVALID = "SourceInvalid"
    ADDRESS_REFUSED = "AddressRefused"
    CREDENTIALS_TOO_SHORT = "CredentialsTooShort"
    URL_EXPIRED = "URLExpired"
    ARCHIVE_FAILED = "ArchiveFailed"
    BASE_MODEL_UNKNOWN = "BaseModelUnknown"
    NAME_TAKEN = "NameTaken"
    UNAUTHORIZED = "Unauthorized"
    FORBIDDEN = "Forbidden"
    REJECTED = "Rejected"
    UNSUPPORTED_BY_API = "UnsupportedByAPI"
    IMPORT_FAILED = "ImportFailed"
    MODEL_NOT_FOUND = "ModelNotFound"
    MODEL_OF_ANOTHER_PROJECT = "ModelOfAnotherProject"
    KEY_OF_ANOTHER_PROJECT = "KeyOfAnotherProject"
    MODEL_FAILED = "ModelFailed"
    NO_CONFIG = "NoConfig"
    CONFIG_MAP_TAKEN = "ConfigMapTaken"
    OVER_BUDGET = "OverBudget"
    PRICE_UNKNOWN = "PriceUnknown"
    SCHEDULE_INVALID = "ScheduleInvalid"
    NO_REGION = "NoRegion"
    METRIC_UNFIT = "MetricUnfit"
    QUOTA_EXCEEDED = "QuotaExceeded"
    DEPLOYMENT_FAILED = "DeploymentFailed"
    ROLLOUT_FAILED = "RolloutFailed"


class Health(Enum):
    """How an object as a whole is doing."""

    READY = "ready"
    PROGRESSING = "progressing"
    STALLED = "stalled"
    PAUSED = "paused"


DELETION = "Deletion"
"""In place of a stage: the object goes away, whichever stage it has reached."""


@dataclass(frozen=True, slots=True)
class Situation:
    """Where an object stands: the first stage that is not done yet, why, and what that means.

    `stage` is a condition type of the kind's stages; empty when all of them are done; and
    DELETION when it is not about them, so that they stay as they were.
    """

    health: Health
    reason: Reason
    message: str
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step on a kind's way, which is also a condition type, and what it says once done.

    `is_done` is false for one that has not been reached although a later one already fails: what
    can be told early is told before anything is spent.
    """

    type: str
    reason: Reason
    message: str
    is_done: bool = True


MAX_MESSAGE = 1024
"""Characters of a condition's message; the API allows 32768, a person reads one line."""


def conditions_for(
    stages: Sequence[Stage],
    situation: Situation,
    generation: int,
    previous: Sequence[Condition],
    now: datetime,
) -> list[Condition]:
    """All conditions of an object in `situation`.

    Stages before the situation's are true, its own is false with its reason, later ones are
    pending; while an object is deleted, all of them stay as they were. A condition keeps its
    transition time as long as its status stays.
    """
    before = {condition.type: condition for condition in previous}

    def condition(type_: str, status: str, reason: Reason, message: str) -> Condition:
        old = before.get(type_)
        since = old.last_transition_time if old is not None and old.status == status else now
        return Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message[:MAX_MESSAGE],
            last_transition_time=since,
            observed_generation=generation,
        )

    def flag(type_: str, *, on: bool) -> Condition:
        if on:
            return condition(type_, "True", situation.reason, situation.message)
        return condition(type_, "False", situation.reason, "")

    ready = "True" if situation.health is Health.READY else "False"
    result = [
        condition("Ready", ready, situation.reason, situation.message),
        flag("Reconciling", on=situation.health is Health.PROGRESSING),
        flag("Stalled", on=situation.health is Health.STALLED),
    ]
    reached = True
    for stage in stages:
        old = before.get(stage.type)
        if situation.stage == DELETION and old is not None:
            result.append(old.model_copy(update={"observed_generation": generation}))
        elif situation.stage == DELETION:
            result.append(condition(stage.type, "False", Reason.DELETING, ""))
        elif stage.type == situation.stage:
            result.append(condition(stage.type, "False", situation.reason, situation.message))
            reached = False
        elif reached and (stage.is_done or not situation.stage):
            result.append(condition(stage.type, "True", stage.reason, stage.message))
        else:
            waiting = f"waits for {situation.stage}"
            result.append(condition(stage.type, "False", Reason.PENDING, waiting))
    return result
