"""What is at Together already: models without a CustomModel, endpoints, and deployments on them."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import AdoptionPolicy
from together_operator.domain.catalog import hint_at
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.actions import DeploymentPlan
from together_operator.domain.deployment.observed import (
    DEPLOYMENT_INTENT,
    Observed,
    has_deployment,
)
from together_operator.domain.deployment.status import (
    DEPLOY,
    MODEL,
    busy,
    failed,
    planned,
    stalled,
    with_deployment,
)
from together_operator.domain.deployment.target import Target, wanted_target
from together_operator.domain.deployment.unseen import why_unseen
from together_operator.domain.outcome import After


def foreign_model(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a model that is not there, or that belongs to another project."""
    if has_deployment(o.md) or o.deployments or not o.project:
        return None
    if o.md.spec.model is not None:
        return _unknown_model(o, now, o.md.spec.model)
    record = o.model.status.model if o.model is not None else None
    owner = (record.name or "").rpartition("/")[0] if record is not None else ""
    if not owner or owner == o.project or o.model is None:
        return None
    return _foreign(o, now, f"CustomModel {o.model.metadata.name}", owner)


def _unknown_model(o: Observed, now: datetime, name: str) -> DeploymentPlan | None:
    if o.remote_model is not None:
        return None
    owner = name.rpartition("/")[0]
    in_catalog = any(similar.startswith(f"{owner}/") for similar in o.similar_models)
    if owner and owner != o.project and not in_catalog:
        return _foreign(o, now, f"Model {name}", owner)
    message = (
        f"There is no model {name} in project {o.project} of this API key, and none in Together's "
        f"catalog; {hint_at(o.similar_models)}. Correct spec.model, or use the key of its project."
    )
    return failed(o, now, stalled(MODEL, Reason.MODEL_NOT_FOUND, message))


def unseen(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an endpoint that only another key, or another API, could see: it is not gone."""
    why = why_unseen(o)
    return failed(o, now, stalled(DEPLOY, *why)) if why is not None else None


def _foreign(o: Observed, now: datetime, what: str, owner: str) -> DeploymentPlan:
    message = (
        f"{what} is of project {owner}, but this object's API key works in {o.project}: use the "
        "same key for both (spec.apiKeySecretRef)."
    )
    return failed(o, now, stalled(MODEL, Reason.MODEL_OF_ANOTHER_PROJECT, message))


def adopting_deployment(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an endpoint that was taken over with a deployment that is just what is wanted."""
    adopts = o.md.spec.adoption_policy is AdoptionPolicy.ADOPT
    if not adopts or o.deployments or o.endpoint is None or o.intent(DEPLOYMENT_INTENT) is not None:
        return None
    target = wanted_target(o)
    fitting = [d for d in o.strangers if isinstance(target, Target) and target.is_met_by(o, d)]
    if not fitting or not isinstance(target, Target):
        return None
    weights = {share.deployment_id: share.weight for share in o.endpoint.traffic}
    best = max(fitting, key=lambda d: (weights.get(d.id, 0.0), d.ready_replicas))
    say = busy(DEPLOY, Reason.PROVISIONING, f"Taking over deployment {best.name}")
    status = with_deployment(o.md.status, best, target.record, target.served.status)
    return planned(o, now, say, After(0), status=status)
