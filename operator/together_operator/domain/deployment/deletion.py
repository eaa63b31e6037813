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
from together_operator.domain.deployment.status import busy, planned, with_endpoint
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import (
    Plan,
    RemoveFinalizer,
    has_finalizer,
    is_deleting,
    is_released,
    seconds_until_safe,
)
from together_operator.domain.together import Endpoint


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
    endpoint = o.endpoint
    if endpoint is None or not is_our_endpoint(o):
        return _settling(o, now, ENDPOINT_INTENT, known=has_endpoint(md)) or Plan(
            md.status, Done(), RemoveFinalizer()
        )
    if not is_known_endpoint(o):
        found = md.model_copy(update={"status": with_endpoint(md.status, endpoint)})
        o = replace(o, md=found)
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
    say = busy(DELETION, Reason.DELETING, f"Deleting endpoint {endpoint.name}")
    return planned(o, now, say, After(o.process.soon), DeleteEndpoint(endpoint.id))


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
