"""Serving: the number of replicas, the traffic split, and what Together says of the state."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from together_operator.api.v1alpha1 import (
    DeploymentStatus,
    DriftPolicy,
    ModelDeploymentStatus,
    ScalingStatus,
)
from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.actions import (
    DeploymentPlan,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.deployment.budget import price_of, refused_growth
from together_operator.domain.deployment.changing import unmet
from together_operator.domain.deployment.clocked import stopped
from together_operator.domain.deployment.observed import Observed, old_name
from together_operator.domain.deployment.pair import FULL_WEIGHT
from together_operator.domain.deployment.preflight import waits_for_capacity
from together_operator.domain.deployment.restart import is_to_start_again
from together_operator.domain.deployment.scaling import (
    Scaling,
    change_of,
    drift_of,
    has_bounds,
    in_doubt,
    is_idle,
    wanted_scaling,
    was_asked_for,
)
from together_operator.domain.deployment.startup import crash_words, startup_phases, told_by
from together_operator.domain.deployment.status import (
    DEPLOY,
    ROUTE,
    busy,
    cost,
    failed,
    planned,
    stalled,
    with_endpoint_name,
)
from together_operator.domain.deployment.target import (
    Target,
    asked_target,
    is_calm,
    model_of,
    replaced_in_vain,
    wanted_target,
)
from together_operator.domain.outcome import After, Done
from together_operator.domain.plan import RETRY_ANNOTATION, Plan
from together_operator.domain.together import (
    DOWN,
    SERVING,
    Deployment,
    DeploymentState,
    Endpoint,
    TrafficShare,
)

NO_TRAFFIC = "no weight in the traffic split"
"""What is said of traffic that was taken away."""


def settled(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object whose endpoint's record agrees with its status: nothing to do."""
    del now  # the observation has it
    return Plan(o.md.status, Done()) if is_calm(o) else None


def without_replicas(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for 0 replicas where there never was a deployment."""
    if o.deployment is not None or wanted_scaling(o.md, now).high > 0:
        return None
    status = with_endpoint_name(o.md.status, o.endpoint).model_copy(
        update={
            "replicas": 0,
            "ready_replicas": 0,
            "replicas_text": "0/0",
            "cost": None,
        }
    )
    return planned(o, now, stopped(o, now), Done(), status=status)


def serving(o: Observed, now: datetime) -> DeploymentPlan:
    """The last row: bring the deployment to where the spec wants it, and say where it is."""
    assert o.endpoint is not None  # the rows before see to it
    assert o.deployment is not None
    deployment, wanted = o.deployment, wanted_scaling(o.md, now)
    status = _followed(o, deployment, wanted)
    idle = is_idle(deployment, wanted, o.md.status.scaling)
    again = is_to_start_again(o, deployment, wanted)
    if idle and not again:
        return _idle(o, now, deployment, status)
    drift = drift_of(deployment, wanted)
    live = Scaling(deployment.min_replicas, deployment.max_replicas, wanted.tuning)
    if again or (drift and not _is_only_reported(o, wanted)):
        refused = refused_growth(o, now, deployment, wanted)
        if refused is not None:
            return refused_as_it_is(
                status.model_copy(update=_counted(o, deployment, live)), refused
            )
        return _scaling(o, now, deployment, wanted, status, starts=again)
    unrouted = deployment.state in SERVING and not _is_routed(o.endpoint, deployment)
    taken = unrouted and _is_taken_away(o, deployment)
    if drift or taken:
        wanted = live
        words = " and ".join(filter(None, (drift, NO_TRAFFIC * taken)))
        status = _drifted(status.model_copy(update=_counted(o, deployment, live)), words)
    if drift and wanted.high == 0:
        return _left_so(o, now, DEPLOY, f"{drift}: nothing runs", status)
    if wanted.high == 0:
        return _stopping(o, now, deployment, status)
    if deployment.state is DeploymentState.FAILED:
        words = (told_by(deployment, o.events) or "Together gave no reason").rstrip(".")
        message = (
            f"{words}. Set replicas to 0 and up again once the cause is mended, or annotate with "
            f"{RETRY_ANNOTATION}, or ask for another model, config or hardware."
        )
        return failed(o, now, stalled(DEPLOY, Reason.DEPLOYMENT_FAILED, message), status)
    if taken:
        return _left_so(o, now, ROUTE, f"{NO_TRAFFIC} for {deployment.name}", status)
    if unrouted:
        return _routing(o, now, o.endpoint, deployment, status)
    return _told(o, now, deployment, wanted, status)


def refused_as_it_is(status: ModelDeploymentStatus, plan: DeploymentPlan) -> DeploymentPlan:
    """A refusal to grow, with what is known of that which runs."""
    told = ("observed_generation", "phase", "conditions", "retry")
    said = {name: getattr(plan.status, name) for name in told}
    return dataclasses.replace(plan, status=status.model_copy(update=said))


def _scaling(
    o: Observed,
    now: datetime,
    deployment: Deployment,
    wanted: Scaling,
    status: ModelDeploymentStatus,
    *,
    starts: bool,
) -> DeploymentPlan:
    had = Scaling(deployment.min_replicas, deployment.max_replicas, wanted.tuning)
    message = f"Scaling from {had.text} to {wanted.text}"
    if has_bounds(deployment, wanted):
        message = f"Starting {wanted.text} again" if starts else "Changing how Together scales"
    say = busy(DEPLOY, Reason.SCALING, message)
    change = change_of(deployment.tuning, wanted)
    action = ScaleDeployment(
        deployment.endpoint_id, deployment.id, wanted.low, wanted, change, starts
    )
    # Stored before it is asked for: a spec that returns meanwhile finds its own doing, and a start
    # whose request is lost is asked for again.
    asked = Scaling(0, 0, wanted.tuning) if starts else wanted
    status = status.model_copy(update={"scaling": in_doubt(status.scaling, asked)})
    return planned(o, now, say, After(o.process.soon), action, status)


def _idle(
    o: Observed, now: datetime, deployment: Deployment, status: ModelDeploymentStatus
) -> DeploymentPlan:
    """Together stopped it for want of requests, as it was told to; that is no drift."""
    if deployment.state is not DeploymentState.STOPPED:
        say = busy(DEPLOY, Reason.STOPPING, deployment.message or "Stopping all replicas")
        return planned(o, now, say, After(o.process.soon), status=status)
    message = (
        "Stopped by Together because no request came; nothing is billed. To start again, "
        f"annotate with {RETRY_ANNOTATION}, or set replicas to 0, and back once it is Stopped."
    )
    say = Situation(Health.READY, Reason.IDLE, message)
    # Just after a start was asked for, it may still look like this.
    return planned(o, now, say, After(o.process.poll * 3), status=status)


def _is_only_reported(o: Observed, wanted: Scaling) -> bool:
    """True when the difference is somebody else's doing, and is to be left as it is."""
    reports = o.md.spec.drift_policy is DriftPolicy.REPORT
    return reports and was_asked_for(o.md.status.scaling, wanted)


def _is_taken_away(o: Observed, deployment: Deployment) -> bool:
    """True when it had traffic, somebody else took it away, and that is to be left so."""
    known = o.md.status.scaling
    reports = o.md.spec.drift_policy is DriftPolicy.REPORT
    return reports and known is not None and known.routed == deployment.id


def _left_so(
    o: Observed, now: datetime, stage: str, drift: str, status: ModelDeploymentStatus
) -> DeploymentPlan:
    """Somebody else has put it out of service, and nothing but telling was asked for."""
    remedy = "spec.driftPolicy is Report: undo it at Together, or set Correct."
    message = f"Somebody else set {drift}. {remedy}"
    say = stalled(stage, Reason.DRIFTED, message)
    return planned(o, now, say, After(o.process.poll * 6), status=status)


def _drifted(status: ModelDeploymentStatus, drift: str) -> ModelDeploymentStatus:
    asked = status.scaling
    assert asked is not None  # otherwise it is not known to be somebody else's doing
    return status.model_copy(update={"scaling": asked.model_copy(update={"drift": drift})})


def _told(
    o: Observed,
    now: datetime,
    deployment: Deployment,
    wanted: Scaling,
    status: ModelDeploymentStatus,
) -> DeploymentPlan:
    replicas = wanted.low
    if deployment.state is DeploymentState.READY and deployment.ready_replicas >= replicas:
        return _settled(o, now, status)
    no_room = waits_for_capacity(o, deployment)
    if no_room is not None:
        return planned(o, now, no_room, After(o.process.poll * 3), status=status)
    count = f"{deployment.ready_replicas} of {replicas} replicas are ready"
    words = told_by(deployment, o.events) or count
    match deployment.state:
        case DeploymentState.DEGRADED:
            crashing = bool(crash_words(o.events))
            reason = Reason.CRASH_LOOP if crashing else Reason.DEGRADED
            say = busy(DEPLOY, reason, f"{words}. {count}")
        case DeploymentState.SCALING if deployment.ready_replicas > 0:
            say = busy(DEPLOY, Reason.SCALING, f"{words}. {count}")
        case DeploymentState.READY:
            say = busy(DEPLOY, Reason.SCALING, words)
        case DeploymentState.STOPPING | DeploymentState.STOPPED:
            say = busy(DEPLOY, Reason.PROVISIONING, deployment.message or "Starting again")
        case _:
            say = busy(DEPLOY, Reason.PROVISIONING, words)
    return planned(o, now, say, After(o.process.poll), status=status)


def _settled(o: Observed, now: datetime, status: ModelDeploymentStatus) -> DeploymentPlan:
    """It serves: as the spec asks for, or what was there before, as long as that can't be had."""
    problem = unmet(o)
    if problem is not None:
        wait = Done() if problem.health is not Health.PROGRESSING else After(o.process.backoff.cap)
        return planned(o, now, problem, wait, status=status)
    name = o.endpoint.name if o.endpoint is not None else ""
    drift = status.scaling.drift if status.scaling is not None else None
    say = Situation(Health.READY, Reason.READY, f"{name} answers")
    before = old_name(o)
    changes = [f"set {drift}"] if drift else []
    if before:
        changes.append(f"renamed it (it was {before}, and can be named so again there)")
    if changes:
        message = f"{name} answers, but somebody else {' and '.join(changes)} at Together"
        say = Situation(Health.READY, Reason.DRIFTED, message)
    return planned(o, now, say, Done(), status=status)


def _routing(
    o: Observed,
    now: datetime,
    endpoint: Endpoint,
    deployment: Deployment,
    status: ModelDeploymentStatus,
) -> DeploymentPlan:
    """READY serves nothing until it has a weight; what others routed is left as it is."""
    say = busy(ROUTE, Reason.ROUTING, f"Routing traffic of {endpoint.name}")
    rest = tuple(share for share in endpoint.traffic if share.deployment_id != deployment.id)
    split = (*rest, TrafficShare(deployment.id, FULL_WEIGHT))
    action = SetTraffic(endpoint.id, split, endpoint.etag)
    return planned(o, now, say, After(0), action, status)


def _stopping(
    o: Observed, now: datetime, deployment: Deployment, status: ModelDeploymentStatus
) -> DeploymentPlan:
    if deployment.state in DOWN:
        return planned(o, now, stopped(o, now), Done(), status=status)
    say = busy(DEPLOY, Reason.STOPPING, deployment.message or "Stopping all replicas")
    return planned(o, now, say, After(o.process.soon), status=status)


def _replicas(deployment: Deployment, wanted: Scaling) -> int:
    """How many replicas there shall be now; between the bounds that is for Together to say."""
    if wanted.low == wanted.high or deployment.desired_replicas is None:
        return wanted.low
    return min(max(deployment.desired_replicas, wanted.low), wanted.high)


def _is_routed(endpoint: Endpoint, deployment: Deployment) -> bool:
    return any(s.deployment_id == deployment.id and s.weight > 0 for s in endpoint.traffic)


def _followed(o: Observed, deployment: Deployment, wanted: Scaling) -> ModelDeploymentStatus:
    """Status with what Together says of the deployment."""
    status = o.md.status
    target, record = wanted_target(o), status.deployment
    met = isinstance(target, Target) and target.is_met_by(o, deployment)
    if record is not None:
        seen = {"state": deployment.state.value, "message": deployment.message or None}
        if met and isinstance(target, Target):
            seen |= {"request": target.request, "revision": target.served.revision}
            if model_of(deployment)[0]:  # Together says what it was made from: a record can be lost
                config = target.config
                seen |= {"config": config.id, "hardware": config.instance_type}
                seen["model"] = target.served.id
        record = record.model_copy(update=seen)
    starting = o.starting is not None
    # A failure is kept for as long as the spec asks for what has failed, and what was replaced
    # until its successor serves.
    comes = o.replacement is not None and not _serves(o, deployment)
    failed = replaced_in_vain(o, asked_target(o)) is not None
    rollout = status.rollout if not met or comes or failed else None
    return with_endpoint_name(status, o.endpoint).model_copy(
        update={
            "deployment": record,
            "previous": _still_there(o, status),
            "rollout": rollout,
            "model": target.served.status if isinstance(target, Target) and met else status.model,
            "startup": (startup_phases(o.events) if starting else ()) or status.startup,
            **_counted(o, deployment, wanted),
            "scaling": _asked(o, deployment, wanted),
            "selector": f"together.ai/modeldeployment={o.md.metadata.name}",
        }
    )


def _counted(o: Observed, deployment: Deployment, bounds: Scaling) -> dict[str, object]:
    """The part of status that has replicas within `bounds`, and what they cost."""
    replicas = _replicas(deployment, bounds)
    # What has ended is not billed, however many there shall be.
    billed = deployment.scheduled_replicas if deployment.state in DOWN else replicas
    return {
        "replicas": replicas,
        "ready_replicas": deployment.ready_replicas,
        "replicas_text": f"{deployment.ready_replicas}/{replicas}",
        "cost": cost(price_of(o, deployment), billed),
    }


def _serves(o: Observed, deployment: Deployment) -> bool:
    return deployment.serves and o.endpoint is not None and _is_routed(o.endpoint, deployment)


def _asked(o: Observed, deployment: Deployment, wanted: Scaling) -> ScalingStatus | None:
    """What Together was asked for, and whether traffic was seen since."""
    known = o.md.status.scaling
    asked = known if drift_of(deployment, wanted) else wanted.record
    if asked is None:
        return None
    routed = known.routed if known is not None else None
    if o.endpoint is not None and _is_routed(o.endpoint, deployment):
        routed = deployment.id
    return asked.model_copy(update={"routed": routed, "drift": None})


def _still_there(o: Observed, status: ModelDeploymentStatus) -> DeploymentStatus | None:
    before = status.previous
    there = before is not None and any(d.id == before.id for d in o.deployments)
    return before if there else None
