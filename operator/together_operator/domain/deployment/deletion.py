"""Taking down: stop, take out of the split, delete the deployment, then the endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import DeletionPolicy, ModelDeployment
from together_operator.domain.conditions import DELETION, Reason
from together_operator.domain.deployment.actions import (
    DeleteEndpoint,
    DeploymentPlan,
)
from together_operator.domain.deployment.observed import (
    DEPLOYMENT_INTENT,
    ENDPOINT_INTENT,
    Observed,
    has_deployment,
    has_endpoint,
    is_known_endpoint,
    is_our_endpoint,
)
from together_operator.domain.deployment.removal import ending, taking_down
from together_operator.domain.deployment.status import (
    busy,
    failed,
    planned,
    stalled,
    with_endpoint,
    with_seen_name,
)
from together_operator.domain.deployment.unseen import why_unseen
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import (
    LET_GO,
    RELEASE_ANNOTATION,
    Plan,
    RemoveFinalizer,
    has_finalizer,
    is_deleting,
    is_released,
    seconds_until_safe,
)
from together_operator.domain.together import Endpoint

_NAMED = 5
"""Deployments that a message names; an endpoint may have hundreds."""


def deleting(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object that somebody deleted."""
    md = o.md
    if not is_deleting(md):
        return None
    if not has_finalizer(md):
        return Plan(md.status, Done())
    if is_released(md):
        return Plan(md.status, Done(), RemoveFinalizer(_left_behind(md)))
    if md.spec.deletion_policy == DeletionPolicy.RETAIN:
        return Plan(md.status, Done(), RemoveFinalizer())
    unseen = _unseen(o, now)
    if unseen is not None:
        return unseen
    endpoint = o.endpoint
    if endpoint is None or not is_our_endpoint(o):
        return _settling(o, now, ENDPOINT_INTENT, known=has_endpoint(md)) or Plan(
            md.status, Done(), RemoveFinalizer()
        )
    found = with_seen_name if is_known_endpoint(o) else with_endpoint
    status = found(md.status, endpoint)
    o = replace(o, md=md.model_copy(update={"status": status}))
    return _taking_down(o, now, endpoint)


def _taking_down(o: Observed, now: datetime, endpoint: Endpoint) -> DeploymentPlan:
    md = o.md
    if o.deployments:
        return _removing(o, now, endpoint)
    settling = _settling(o, now, DEPLOYMENT_INTENT, known=has_deployment(md))
    if settling is not None:
        return settling
    if endpoint.placeholder:
        return Plan(md.status, Done(), RemoveFinalizer())
    if o.strangers:
        return _shared(o, now, endpoint)
    say = busy(DELETION, Reason.DELETING, f"Deleting endpoint {endpoint.name}")
    return planned(o, now, say, After(o.process.soon), DeleteEndpoint(endpoint.id))


def _unseen(o: Observed, now: datetime) -> DeploymentPlan | None:
    """Where it can't be seen nobody can tell whether anything is left, or delete it."""
    why = why_unseen(o)
    if why is None:
        return None
    reason, words = why
    return failed(o, now, stalled(DELETION, reason, f"{words} {LET_GO}"))


def _shared(o: Observed, now: datetime, endpoint: Endpoint) -> DeploymentPlan:
    """Together deletes no endpoint with deployments, and these are not this object's to delete."""
    names = [deployment.name.rpartition("/")[2] for deployment in o.strangers]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    message = (
        f"What this object had on endpoint {endpoint.name} is gone, but others' deployments are "
        f"still there: {', '.join(names[:_NAMED])}{more}. Delete them at Together, and the "
        "endpoint and this object go by themselves; or keep the endpoint: set "
        f"spec.deletionPolicy to Retain, or annotate the object with {RELEASE_ANNOTATION}=true."
    )
    say = stalled(DELETION, Reason.IN_USE, message)
    return planned(o, now, say, After(o.process.poll))


def _left_behind(md: ModelDeployment) -> str:
    """What may still be at Together, from status alone: a look there may be what can't be had."""
    record, intent = md.status.endpoint, md.status.intent
    if record is not None and record.name:
        return f"endpoint {record.name}"
    if intent is not None and intent.kind == ENDPOINT_INTENT:
        return f"perhaps endpoint {intent.name}"
    return ""


def _settling(o: Observed, now: datetime, kind: str, *, known: bool) -> DeploymentPlan | None:
    """What was asked for and is not there yet may still appear: wait until it can't."""
    intent = o.intent(kind)
    if intent is None or known:
        return None
    wait = seconds_until_safe(intent, o.process, o.last_sent, now)
    if wait <= 0:
        return None
    say = busy(DELETION, Reason.SETTLING, f"Making sure that no {kind.lower()} appears after all")
    return planned(o, now, say, After(min(wait, o.process.poll)))


def _removing(o: Observed, now: datetime, endpoint: Endpoint) -> DeploymentPlan:
    rollout = o.open_rollout
    if rollout is not None:
        step = ending(rollout, "The ModelDeployment is being deleted")
    else:
        step = taking_down(endpoint, o.deployments)
    say = busy(DELETION, Reason.DELETING, step.words)
    wait = 0.0 if step.at_once else o.process.soon
    return planned(o, now, say, After(wait), step.action)
