"""From what is seen of an object and of what it rests on to a chain of causes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from together_operator.domain.names import DEFAULT_LEASE, LEASE_LABELS

Body = Mapping[str, Any]

LEASE_GRACE = timedelta(seconds=60)
"""How long after its last renewal a Lease is taken for held by nobody."""

_OF_THE_MODEL = frozenset({"WaitingForModel", "ModelFailed", "ModelNotFound"})
_OF_THE_JOB = frozenset({"Archiving", "ArchiveRetrying", "ArchiveFailed"})
_IMAGE = frozenset({"ImagePullBackOff", "ErrImagePull", "InvalidImageName"})


@dataclass(frozen=True, slots=True)
class Cause:
    """One link: where, which word, what is said, and what helps where that is known."""

    where: str
    reason: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at.

    Args:
        model: the CustomModel that a ModelDeployment refers to; None when there is none.
        users: ModelDeployments that refer to a CustomModel.
        jobs, pods: of the CustomModel's archive, the newest first.
        events: of those Jobs and pods, the newest first.
        lease: the operator's; None when it was not found or may not be read.
        lease_known: whether it was looked for and could be read.
        lease_name: by which it was looked for; None: by its label and its default name.
    """

    subject: Body
    now: datetime
    model: Body | None = None
    users: Sequence[Body] = ()
    jobs: Sequence[Body] = ()
    pods: Sequence[Body] = ()
    events: Sequence[Body] = ()
    lease: Body | None = None
    lease_known: bool = True
    lease_name: str | None = None


def causes(seen: Seen) -> list[Cause]:
    """The chain, the true cause first and the object itself last; empty when all is well."""
    chain = list(_of(seen, seen.subject))
    if not chain:
        return []
    operator = _of_the_operator(seen)
    if operator is not None:
        # Without it nothing goes on, whatever else is wrong.
        chain.append(operator)
    return chain[::-1]


def _of(seen: Seen, body: Body) -> Iterator[Cause]:
    """From an object to what it rests on."""
    where, ready = _name(body), _ready(body)
    if _is_unseen(body):
        yield Cause(
            where,
            "Unseen",
            "No operator has looked at this object as it is now",
            "It looks within seconds, if it runs and serves this namespace "
            "(TOGETHER_OPERATOR_NAMESPACES).",
        )
        return
    if ready.get("status") == "True":
        return
    reason = str(ready.get("reason", "Unknown"))
    yield Cause(where, reason, str(ready.get("message", "")), _retry(body))
    if reason == "InUse":
        yield from _holding(seen)
    elif body["kind"] == "ModelDeployment" and reason in _OF_THE_MODEL:
        yield from _of_the_model(seen, body)
    elif body["kind"] == "CustomModel" and reason in _OF_THE_JOB:
        yield from _of_the_jobs(seen)
    elif body["kind"] == "CustomModel" and reason.startswith("Import"):
        yield from _of_the_import(body)
    elif body["kind"] == "ModelDeployment":
        yield from _of_the_deployment(body, str(ready.get("message", "")))


def _of_the_model(seen: Seen, body: Body) -> Iterator[Cause]:
    name = (body["spec"].get("modelRef") or {}).get("name", "")
    if seen.model is None:
        yield Cause(
            f"CustomModel {body['metadata']['namespace']}/{name}",
            "NotThere",
            "There is no such object",
            "Create it, or correct spec.modelRef.name.",
        )
        return
    if seen.model["metadata"].get("deletionTimestamp"):
        message = "Somebody deleted it"
        yield Cause(_name(seen.model), "Deleting", message, "Create it again.")
    yield from _of(seen, seen.model)


def _holding(seen: Seen) -> Iterator[Cause]:
    """What keeps a model that is to go."""
    for user in seen.users:
        yield Cause(
            _name(user),
            "Deleting" if user["metadata"].get("deletionTimestamp") else "InUse",
            str(_ready(user).get("message", "")) or "It refers to the model",
            "Delete it, or let it refer to another model.",
        )


def _of_the_import(body: Body) -> Iterator[Cause]:
    """Together's own words, where the condition adds to them."""
    last = body["status"].get("import") or {}
    words = last.get("message")
    if words and last.get("state") in {"FAILED", "ERROR"}:
        job = f"import {last.get('jobID', '')} at Together".replace("  ", " ")
        yield Cause(job, str(last["state"]), str(words), "Mend the source that it names.")


def _of_the_deployment(body: Body, said: str) -> Iterator[Cause]:
    record = body["status"].get("deployment") or {}
    words = record.get("message")
    if words and record.get("state") != "READY" and words not in said:
        name = f"deployment {record.get('name', '')} at Together"
        yield Cause(name, str(record.get("state")), str(words))


# The archive.


def _of_the_jobs(seen: Seen) -> Iterator[Cause]:
    job = next(iter(seen.jobs), None)
    if job is None:
        return
    failed = _condition(job, "Failed")
    if failed.get("status") == "True":
        yield Cause(_name(job), str(failed.get("reason", "")), str(failed.get("message", "")))
    uid = job["metadata"].get("uid")
    pods = [p for p in seen.pods if _owner(p) == uid]
    if not pods:
        yield from _never_started(seen, job)
        return
    yield from _of_the_pod(seen, pods[0])


def _never_started(seen: Seen, job: Body) -> Iterator[Cause]:
    """The Job has no pod: a quota or an admission policy says why in an event."""
    for event in seen.events:
        about = event.get("involvedObject") or {}
        if about.get("uid") == job["metadata"].get("uid") and event.get("reason") == "FailedCreate":
            yield Cause(
                _name(job),
                "FailedCreate",
                str(event.get("message", "")),
                "Mend the quota or the policy that it names.",
            )
            return


def _of_the_pod(seen: Seen, pod: Body) -> Iterator[Cause]:
    where, status = _name(pod), pod.get("status") or {}
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        remedy = "Free or add a node that fits, or change spec.job (resources, nodeSelector)."
        yield Cause(where, str(scheduled.get("reason")), str(scheduled.get("message")), remedy)
        return
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        if ended and ended.get("exitCode", 0) != 0:
            reason = f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
            yield Cause(where, reason, _last_line(str(ended.get("message", ""))), _exit(ended))
            return
        if waiting.get("reason"):
            remedy = "Correct the image (TOGETHER_OPERATOR_ARCHIVE_IMAGE, spec.job.image) or the "
            remedy += "right to pull it." if waiting["reason"] in _IMAGE else "Secret it names."
            known = waiting["reason"] in _IMAGE or "Config" in waiting["reason"]
            words = str(waiting.get("message", ""))
            yield Cause(where, str(waiting["reason"]), words, remedy if known else "")
            return
    for event in seen.events:
        about = event.get("involvedObject") or {}
        if about.get("uid") == pod["metadata"].get("uid") and event.get("type") == "Warning":
            yield Cause(where, str(event.get("reason")), str(event.get("message", "")))
            return


def _exit(ended: Body) -> str:
    if ended.get("reason") == "OOMKilled":
        return "Give it more memory: spec.job.resources.limits.memory."
    return {
        65: "Correct the source: it can't be packed as it is.",
        77: "Give the credentials the right that is named.",
        73: "Correct spec.archive.destination, or the right to write there.",
        75: "It is tried again by itself, from the parts that are there.",
    }.get(ended.get("exitCode", 0), "")


def _last_line(text: str) -> str:
    """The worker's last words; with FallbackToLogsOnError that is the end of its log."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else ""


# The operator.


def _of_the_operator(seen: Seen) -> Cause | None:
    """Why nobody works on the object, if so."""
    if not seen.lease_known:
        return None
    if seen.lease is None:
        return _without_lease(seen.lease_name)
    spec = seen.lease.get("spec") or {}
    renewed = spec.get("renewTime")
    last = datetime.fromisoformat(renewed) if isinstance(renewed, str) else renewed
    if last is not None and spec.get("holderIdentity") and seen.now - last < LEASE_GRACE:
        return None
    when = f"{last:%Y-%m-%d %H:%M:%S} UTC" if last is not None else "never"
    return Cause(
        f"operator {spec.get('holderIdentity') or ''}".strip(),
        "NotRunning",
        f"Its Lease {_place(seen.lease)} was renewed last at {when}",
        "Start it, and look at its log.",
    )


def _without_lease(name: str | None) -> Cause:
    """What is known then: an operator may run, whose Lease has another name."""
    if name is not None:
        sought = f"called {name}"
    else:
        [(label, value)] = LEASE_LABELS.items()
        sought = f"with the label {label}={value}, and none called {DEFAULT_LEASE}"
    return Cause(
        "operator",
        "NotFound",
        f"There is no Lease {sought} in this cluster",
        "Start the operator (together-operator run), or name the Lease of the one that runs "
        "(--lease).",
    )


# Reading bodies.


def _is_unseen(body: Body) -> bool:
    observed = (body.get("status") or {}).get("observedGeneration", -1)
    return bool(observed != body["metadata"].get("generation", 0))


def _ready(body: Body) -> Body:
    return _condition(body, "Ready")


def _condition(body: Body, type_: str) -> Body:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == type_), {})


def _retry(body: Body) -> str:
    due = ((body.get("status") or {}).get("retry") or {}).get("nextAttemptTime")
    return f"Next try at {due}." if due else ""


def _owner(body: Body) -> str | None:
    owners = body["metadata"].get("ownerReferences") or ()
    return next((owner.get("uid") for owner in owners if owner.get("controller")), None)


def _place(body: Body) -> str:
    return f"{body['metadata'].get('namespace')}/{body['metadata'].get('name')}"


def _name(body: Body) -> str:
    return f"{body['kind']} {_place(body)}"
