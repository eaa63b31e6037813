"""Coming into being: the model, the endpoint, then the deployment, each created only once."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import (
    AdoptionPolicy,
    CustomModelPhase,
    DeploymentStatus,
    Intent,
    ModelStatus,
)
from together_operator.domain.conditions import Reason
from together_operator.domain.deployment.actions import (
    CreateDeployment,
    CreateEndpoint,
    DeploymentPlan,
)
from together_operator.domain.deployment.hardware import NoChoice
from together_operator.domain.deployment.observed import (
    DEPLOYMENT_INTENT,
    ENDPOINT_INTENT,
    Observed,
    has_deployment,
    has_endpoint,
    is_known_endpoint,
    is_our_endpoint,
    wanted_name,
)
from together_operator.domain.deployment.preflight import refusal
from together_operator.domain.deployment.scaling import change_of, wanted_scaling
from together_operator.domain.deployment.status import (
    DEPLOY,
    MODEL,
    SCHEDULE,
    busy,
    cost,
    failed,
    planned,
    stalled,
    with_deployment,
    with_endpoint,
)
from together_operator.domain.deployment.target import model_of, wanted_target
from together_operator.domain.outcome import After
from together_operator.domain.plan import is_deleting, new_intent, seconds_until_safe
from together_operator.domain.together import Deployment, Endpoint, Tuning


def waiting_for_model(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object whose model is not there yet. What runs does not need it any more."""
    if has_deployment(o.md) or o.deployment is not None:
        return None
    if o.md.spec.model_ref is None:
        return None  # a model without a CustomModel is not waited for
    name = o.md.spec.model_ref.name
    if o.model is None:
        message = (
            f"There is no CustomModel {name} in this namespace: create it, or correct "
            "spec.modelRef.name."
        )
        return failed(o, now, stalled(MODEL, Reason.MODEL_NOT_FOUND, message))
    if is_deleting(o.model):
        message = f"CustomModel {name} is being deleted"
        return failed(o, now, stalled(MODEL, Reason.MODEL_NOT_FOUND, message))
    ready = next((c for c in o.model.status.conditions if c.type == "Ready"), None)
    if o.model.status.phase == CustomModelPhase.FAILED:
        words = ready.message if ready is not None else ""
        message = f"CustomModel {name} can't become ready: {words}"
        return failed(o, now, stalled(MODEL, Reason.MODEL_FAILED, message))
    record = o.model.status.model
    if ready is None or ready.status != "True" or record is None or record.id is None:
        words = f"CustomModel {name} is not ready yet"
        if ready is not None and ready.message:
            words += f": {ready.message}"
        # The watch brings the model's changes; this is only in case one gets lost.
        say = busy(MODEL, Reason.WAITING_FOR_MODEL, words)
        return planned(o, now, say, After(o.process.poll * 3))
    return None


def lost_endpoint(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an endpoint that was deleted behind our back: begin again.

    One with another name that nothing tells to be this object's is a stranger: somebody has
    tampered with the status.
    """
    if not has_endpoint(o.md) or is_known_endpoint(o):
        return None
    words = "The endpoint was deleted at Together: once more"
    if o.stranger:
        words = (
            f"status.endpoint.id was that of {o.stranger}, which is not this object's by its "
            f"name, {wanted_name(o.md)}: beginning again"
        )
    say = busy(DEPLOY, Reason.CREATING_ENDPOINT, words)
    status = o.md.status.model_copy(
        update={"endpoint": None, "deployment": None, "intent": None, "ready_replicas": 0}
    )
    if o.endpoint is not None and is_our_endpoint(o):
        status = with_endpoint(status, o.endpoint)
    return planned(o, now, say, After(0), status=status)


def creating_endpoint(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object whose endpoint is not known yet."""
    if has_endpoint(o.md):
        return None
    if o.endpoint is not None:
        return _found_endpoint(o, now, o.endpoint)
    name, intent = wanted_name(o.md), o.intent(ENDPOINT_INTENT)
    if intent is not None:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            message = f"Looking if endpoint {name} was created after all"
            say = busy(DEPLOY, Reason.SETTLING, message)
            return planned(o, now, say, After(min(wait, o.process.poll)))
    if intent is None or intent.holder != o.process.holder:
        attempt = intent.attempt + 1 if intent is not None else 1
        intent = new_intent(ENDPOINT_INTENT, name, attempt, o.process, now)
    say = busy(DEPLOY, Reason.CREATING_ENDPOINT, f"Creating endpoint {name}")
    status = o.md.status.model_copy(update={"intent": intent})
    return planned(o, now, say, After(0), CreateEndpoint(name), status)


def _found_endpoint(o: Observed, now: datetime, endpoint: Endpoint) -> DeploymentPlan:
    adopts = o.md.spec.adoption_policy == AdoptionPolicy.ADOPT and not o.claimed_by
    if is_our_endpoint(o) or adopts:
        say = busy(DEPLOY, Reason.CREATING_DEPLOYMENT, f"Endpoint {endpoint.name} is there")
        status = with_endpoint(o.md.status, endpoint)
        return planned(o, now, say, After(0), status=status)
    message = (
        f"An endpoint named {endpoint.name} is already at Together and is not this object's. "
        "Choose another spec.endpointName, or set spec.adoptionPolicy to Adopt to take it over."
    )
    if o.claimed_by:
        message = (
            f"Endpoint {endpoint.name} belongs to ModelDeployment {o.claimed_by}: choose another "
            "spec.endpointName for one of the two."
        )
    status = o.md.status.model_copy(update={"intent": None})
    return failed(o, now, stalled(DEPLOY, Reason.NAME_TAKEN, message), status)


def lost_deployment(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for a deployment that was deleted behind our back: begin again."""
    record = o.md.status.deployment
    if record is None or record.id is None or any(d.id == record.id for d in o.deployments):
        return None
    message = "The deployment was deleted at Together: once more"
    say = busy(DEPLOY, Reason.CREATING_DEPLOYMENT, message)
    # An intent that is not this one's (of a rollout's target) is still to be looked into.
    intent = o.md.status.intent
    kept = intent if intent is not None and intent.name != record.name else None
    status = o.md.status.model_copy(
        update={"deployment": None, "intent": kept, "ready_replicas": 0}
    )
    return planned(o, now, say, After(0), status=status)


def creating_deployment(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an endpoint without our deployment. Where 0 replicas are wanted, none is made."""
    if has_deployment(o.md):
        return None
    if o.deployment is not None:
        # Its name is derived from this object's UID: nobody else can have made it.
        say = busy(DEPLOY, Reason.PROVISIONING, f"Deployment {o.deployment.name} is there")
        status = with_deployment(o.md.status, o.deployment, *_known(o, o.deployment))
        return planned(o, now, say, After(0), status=status)
    intent = o.intent(DEPLOYMENT_INTENT)
    if wanted_scaling(o.md, now).high == 0 and intent is None:
        return None
    if intent is not None:
        wait = seconds_until_safe(intent, o.process, o.last_sent, now)
        if wait > 0:
            message = "Looking if the deployment was created after all"
            say = busy(DEPLOY, Reason.SETTLING, message)
            return planned(o, now, say, After(min(wait, o.process.poll)))
    return _create(o, now)


def _known(o: Observed, found: Deployment) -> tuple[DeploymentStatus, ModelStatus]:
    """What status has about a deployment that was found, or, where it has lost it, can have."""
    model_id, revision = model_of(found)
    record, model = o.md.status.deployment, o.md.status.model
    if record is None or record.name != found.name.rpartition("/")[2]:
        record = DeploymentStatus(model=model_id or None, revision=revision)
    if model is None or model.id != model_id:
        model = ModelStatus(id=model_id, name=o.model_name(model_id), revision=revision)
    return record, model


def _create(o: Observed, now: datetime) -> DeploymentPlan:
    assert o.endpoint is not None  # the rows before see to it
    target = wanted_target(o)
    assert target is not None
    if isinstance(target, NoChoice):
        return failed(o, now, stalled(SCHEDULE, Reason.NO_CONFIG, target.message))
    wanted = wanted_scaling(o.md, now)
    replicas = wanted.low
    problem = refusal(o, target, replicas) if o.intent(DEPLOYMENT_INTENT) is None else None
    if problem is not None:
        return failed(o, now, problem)
    action = CreateDeployment(
        endpoint_id=o.endpoint.id,
        new=target.new(wanted.low, wanted.high, change_of(Tuning(), wanted)),
        record=target.record,
        model=target.served.status,
    )
    say = busy(DEPLOY, Reason.CREATING_DEPLOYMENT, f"Deploying on {target.config.instance_type}")
    status = o.md.status.model_copy(
        update={
            "intent": deployment_intent(o, target.name, now),
            "model": action.model,
            "deployment": target.record,
            "cost": cost(target.cents_per_hour, replicas),
            "replicas": replicas,
            "ready_replicas": 0,
            "replicas_text": f"0/{replicas}",
        }
    )
    return planned(o, now, say, After(o.process.soon), action, status)


def deployment_intent(o: Observed, name: str, now: datetime) -> Intent:
    """The intent to create deployment `name`: the stored one, if this process stored it."""
    intent = o.intent(DEPLOYMENT_INTENT)
    if intent is not None and (intent.holder, intent.name) == (o.process.holder, name):
        return intent
    same = intent is not None and intent.name == name
    attempt = intent.attempt + 1 if intent is not None and same else 1
    return new_intent(DEPLOYMENT_INTENT, name, attempt, o.process, now)
