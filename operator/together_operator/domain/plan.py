"""What a decision is made of, for every kind: the plan, the finalizer, and stored intents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from together_operator.api.v1alpha1 import CustomModel, Intent, ModelDeployment, Resource
from together_operator.domain.backoff import Backoff
from together_operator.domain.outcome import Outcome

FINALIZER = "together.ai/operator"
RELEASE_ANNOTATION = "together.ai/release"
"""Set to "true", it lets an object go although something of it may be left at Together."""

LET_GO = (
    "To let the object go and leave what it has at Together, annotate it with "
    f"{RELEASE_ANNOTATION}=true."
)
"""The way out of a deletion that can't come to its end."""

RETRY_ANNOTATION = "together.ai/retry"
"""Any new value asks for another round of attempts, without a change of the spec."""

MAX_RETRY_VALUE = 256
"""Characters of it that count; what people write into annotations may be 256 KiB long."""

R = TypeVar("R", CustomModel, ModelDeployment)
S = TypeVar("S")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Put our finalizer on the object: nothing outside is touched before it is there."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the object go. `left_behind` names what may still be outside, for an event."""

    left_behind: str = ""


@dataclass(frozen=True, slots=True)
class Plan(Generic[S, A]):
    """What to store, what single thing to do outside, and when to look again.

    The status is stored before the action is done; the action's result is stored after it.
    """

    status: S
    outcome: Outcome
    action: A | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """What a decision needs to know of the process that makes it.

    Args:
        cluster_id: UID of the `kube-system` namespace, or what the configuration says.
        holder: identity of this run of the operator; another run has another one.
        started: when this run may first have acted.
        settle: seconds after which a write whose answer was lost shows in lists, if it happened.
        poll: seconds between looks at something that is under way.
        backoff: delays between tries of something that failed.
        calm: how old, in seconds, what is looked at may be at most where all is settled.
        base_url: of Together's API.
    """

    cluster_id: str
    holder: str
    started: datetime
    settle: float
    poll: float
    backoff: Backoff
    calm: float = 180.0
    base_url: str = "https://api.together.ai"

    @property
    def soon(self) -> float:
        """Seconds until a look at something that ends quickly."""
        return min(self.poll, 2.0)


def has_finalizer(resource: Resource) -> bool:
    """True when our finalizer is on the object."""
    return FINALIZER in resource.metadata.finalizers


def is_deleting(resource: Resource) -> bool:
    """True once somebody asked for the object's deletion."""
    return resource.metadata.deletion_timestamp is not None


def is_unseen(resource: CustomModel | ModelDeployment) -> bool:
    """True when nothing was ever found out about the object, or somebody has wiped its status.

    A failure to look is recorded without the UID: what it says of the object is nothing.
    """
    return resource.status.object_uid is None


def with_own_status(resource: R) -> R:
    """The object without a status that was written for another one, as a restored backup has it.

    Its ids are those of things that the other object may still have.
    """
    if resource.status.object_uid in {None, resource.metadata.uid}:
        return resource
    return resource.model_copy(update={"status": type(resource.status)()})


def is_released(resource: Resource) -> bool:
    """True when a person told us to let go of what is left."""
    return resource.metadata.annotations.get(RELEASE_ANNOTATION) == "true"


def unseen_owner(name: str | None, project: str) -> str:
    """Slug of the project that a recorded thing is in, if the API key works in another, `project`.

    There it can't be seen, and that it is not found says nothing. Empty: the key could see it, as
    far as is known.

    Args:
        name: as Together gave it: `<project slug>/...`.
        project: empty when it was not asked for.
    """
    owner, slash, _ = (name or "").partition("/")
    return owner if slash and project and owner != project else ""


def other_key_words(what: str, owner: str, project: str) -> str:
    """What is said of a recorded thing whose project the API key can't see."""
    return (
        f"{what} is in project {owner}, but this object's API key works in {project}, where it "
        "can't be seen: nothing is created, changed or deleted at Together. Use a key of "
        f"{owner} again (spec.apiKeySecretRef, the Secret that it names, or the operator's own)."
    )


def retry_request(resource: Resource) -> str | None:
    """The retry annotation's value, as far as it counts."""
    value = resource.metadata.annotations.get(RETRY_ANNOTATION)
    return value[:MAX_RETRY_VALUE] if value is not None else None


def asks_anew(resource: Resource, observed_generation: int, last_retry: str | None) -> bool:
    """True when the spec was edited, or a retry asked for, since the status was written."""
    if observed_generation != resource.metadata.generation:
        return True
    return is_retried(resource, last_retry)


def is_retried(resource: Resource, last_retry: str | None) -> bool:
    """True when a retry is asked for that was not honoured yet."""
    wanted = retry_request(resource)
    return wanted is not None and wanted != last_retry


def is_untouched(intent: Intent, process: Process, last_sent: datetime | None) -> bool:
    """True when what `intent` announces can't have been created under it yet.

    That is so when this very process stored it and has not sent the request: then whatever
    carries the name is somebody else's.
    """
    return intent.holder == process.holder and last_sent is None


def seconds_until_safe(
    intent: Intent, process: Process, last_sent: datetime | None, now: datetime
) -> float:
    """How long a look that finds nothing must still be distrusted; 0 when it may be created.

    A request that this process sent may commit until `settle` seconds after it was sent. One of
    an earlier process may have been sent until just before this one started.
    """
    if is_untouched(intent, process, last_sent):
        return 0.0
    # `since` is stored in whole seconds, cut off: one second makes up for it.
    stored = intent.since + timedelta(seconds=1)
    begun = max(stored, process.started) if last_sent is None else last_sent
    return max(0.0, (begun + timedelta(seconds=process.settle) - now).total_seconds())


def may_not_show_yet(created: datetime | None, process: Process, now: datetime) -> bool:
    """True while what was `created` may still be missing from what is looked at.

    What an earlier process created it did before this one started; None: it is not known when.
    """
    # `created` may be stored in whole seconds, cut off: one second makes up for it.
    begun = max(process.started, created or process.started)
    return now < begun + timedelta(seconds=process.settle + 1)


def new_intent(kind: str, name: str, attempt: int, process: Process, now: datetime) -> Intent:
    """An intent of this process, to be stored before anything is sent."""
    return Intent(kind=kind, name=name, attempt=attempt, since=now, holder=process.holder)
