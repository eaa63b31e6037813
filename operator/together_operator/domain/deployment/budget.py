"""Money: what a ModelDeployment may cost, what it reserves, and what it costs right now.

Amounts are US cents an hour by Together's list price. What runs, is being started, or may be added
by autoscaling counts; so do both deployments while one takes over from the other. Nothing that
runs is stopped for its price: a ceiling only keeps more from being started.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from together_operator.api.v1alpha1 import (
    Cost,
    ModelDeploymentStatus,
    RolloutPhase,
    RolloutStrategy,
)
from together_operator.domain.conditions import Reason, Situation
from together_operator.domain.deployment.actions import (
    CreateDeployment,
    DeploymentPlan,
    ScaleDeployment,
)
from together_operator.domain.deployment.hardware import NoChoice
from together_operator.domain.deployment.observed import (
    DEPLOYMENT_INTENT,
    Ceiling,
    Observed,
)
from together_operator.domain.deployment.scaling import Scaling, wanted_scaling
from together_operator.domain.deployment.status import (
    AFFORD,
    SCHEDULE,
    failed,
    known_price,
    planned,
    stalled,
)
from together_operator.domain.deployment.target import Target, is_calm, wanted_target
from together_operator.domain.deployment.unseen import why_unseen
from together_operator.domain.outcome import After
from together_operator.domain.plan import has_finalizer, is_deleting
from together_operator.domain.text import cents_of, dollars
from together_operator.domain.together import Deployment, DeploymentState

_HALF_A_CENT = 0.5
_GROWING = frozenset({RolloutPhase.PREPARING, RolloutPhase.RUNNING, RolloutPhase.PAUSED})


def unaffordable(o: Observed, now: datetime) -> DeploymentPlan | None:
    """The row for an object whose first deployment can't be had for the money: create nothing.

    A spec that no config fits is told here, too: before there is an endpoint.
    """
    if o.deployments or wanted_scaling(o.md, now).high == 0:
        return None
    target = wanted_target(o)
    if isinstance(target, NoChoice):
        return failed(o, now, stalled(SCHEDULE, Reason.NO_CONFIG, target.message))
    if target is None:
        return None
    return refusal(o, now, target.cents_per_hour, wanted_scaling(o.md, now), 0.0)


def refusal(
    o: Observed, now: datetime, cents: float | None, wanted: Scaling, besides: float
) -> DeploymentPlan | None:
    """The plan that says why `wanted` at `cents` a replica is not started; None when it may be."""
    problem = too_dear(o, cents, wanted, besides)
    if problem is None:
        return None
    # No failure: what frees money wakes it, and a look at the prices costs nothing.
    return planned(o, now, problem, After(o.process.poll * 6))


def too_dear(o: Observed, cents: float | None, wanted: Scaling, besides: float) -> Situation | None:
    """Why `wanted` at `cents` a replica may not be started; None when it may be.

    Args:
        besides: what other deployments of this object cost meanwhile, in cents an hour.
    """
    ceilings = _ceilings(o)
    if not ceilings:
        return None
    if cents is None:
        message = (
            "Together's price list has no price for this hardware, so that it can't be held "
            f"against {ceilings[0].name}: choose other hardware, or remove the ceiling."
        )
        return stalled(AFFORD, Reason.PRICE_UNKNOWN, message)
    cost = cents * wanted.high + besides
    for ceiling in ceilings:
        if ceiling.used + cost > ceiling.limit + _HALF_A_CENT:
            return stalled(AFFORD, Reason.OVER_BUDGET, _message(ceiling, cost, wanted))
    return None


def too_dear_beside(o: Observed, target: Target) -> Situation | None:
    """The same for a target that runs beside what serves now, until traffic has moved."""
    alone = o.md.spec.rollout.strategy is RolloutStrategy.RECREATE or not any(
        d.ready_replicas for d in o.deployments
    )
    besides = 0.0 if alone else reserved(o)
    return too_dear(o, target.cents_per_hour, _in_a_change(o, o.now), besides)


def _in_a_change(o: Observed, now: datetime) -> Scaling:
    """What is wanted, and the most that a target has in any step on the way there."""
    wanted, rollout = wanted_scaling(o.md, now), o.md.spec.rollout
    if rollout.strategy is not RolloutStrategy.CANARY or rollout.canary is None:
        return wanted
    most = max((step.replicas or 0 for step in rollout.canary.steps), default=0)
    return replace(wanted, high=max(wanted.high, most))


def _message(ceiling: Ceiling, cost: float, wanted: Scaling) -> str:
    taken = f", of which ${dollars(ceiling.used)} are taken by others" if ceiling.used else ""
    return (
        f"{wanted.text[:1].upper()}{wanted.text[1:]} would cost ${dollars(cost)} an hour, but "
        f"{ceiling.name} allows ${dollars(ceiling.limit)}{taken}. Nothing was started: lower "
        "replicas or the hardware, or raise the ceiling."
    )


def _ceilings(o: Observed) -> tuple[Ceiling, ...]:
    own = o.md.spec.max_hourly_cost
    if own is None:
        return o.ceilings
    return Ceiling("spec.maxHourlyCost", float(own) * 100, 0.0), *o.ceilings


def price_of(o: Observed, deployment: Deployment) -> float | None:
    """List price of a replica of a deployment, in cents an hour."""
    record = o.md.status.deployment
    hardware = deployment.hardware or (record.hardware if record is not None else None) or ""
    listed = next((t.cents_per_hour for t in o.instance_types if t.name == hardware), None)
    return listed if listed is not None else known_price(o.md)


def reserved(o: Observed) -> float:
    """What the object's deployments may cost as they are now, in cents an hour."""
    return sum(_most(d) * (price_of(o, d) or 0.0) for d in o.deployments)


def _most(deployment: Deployment) -> int:
    if deployment.state is DeploymentState.FAILED:
        return deployment.scheduled_replicas
    return max(deployment.max_replicas, deployment.scheduled_replicas)


def billed(o: Observed) -> float | None:
    """What Together bills for the object right now, in cents an hour; None: not looked at."""
    if o.deployments or not o.md.status.deployment:
        return sum(d.scheduled_replicas * (price_of(o, d) or 0.0) for d in o.deployments)
    return told_cost(o.md.status) if is_calm(o) else None


def told_cost(status: ModelDeploymentStatus) -> float:
    """What a status says that all replicas cost, in cents an hour."""
    return (cents_of(status.cost.per_hour) if status.cost is not None else None) or 0.0


def refused_growth(
    o: Observed, now: datetime, deployment: Deployment, wanted: Scaling
) -> DeploymentPlan | None:
    """The plan that keeps a deployment as it is, because more replicas would cost too much."""
    failed = deployment.state is DeploymentState.FAILED
    if wanted.high <= (_most(deployment) if failed else deployment.max_replicas):
        return None
    price = price_of(o, deployment)
    besides = reserved(o) - _most(deployment) * (price or 0.0)
    return refusal(o, now, price, wanted, besides)


def with_reservation(o: Observed, now: datetime, plan: DeploymentPlan) -> DeploymentPlan:
    """The plan whose status says what the object reserves from now on."""
    looked_at_nothing = plan.action is None and plan.status == o.md.status
    if looked_at_nothing or not has_finalizer(o.md):
        return plan
    cents = _reservation(o, now, plan)
    cost = plan.status.cost
    if cost is None and cents == 0:
        return plan
    said = (cost or Cost()).model_copy(update={"reserved_per_hour": dollars(cents)})
    return replace(plan, status=plan.status.model_copy(update={"cost": said}))


def _reservation(o: Observed, now: datetime, plan: DeploymentPlan) -> float:
    if why_unseen(o) is not None:
        return reserved_in(o.md.status)  # what can't be seen is billed all the same
    live = reserved(o)
    action = plan.action
    if isinstance(action, ScaleDeployment) and action.scaling is not None:
        scaled = next((d for d in o.deployments if d.id == action.deployment_id), None)
        if scaled is not None:
            grown = max(_most(scaled), action.scaling.high) - _most(scaled)
            return live + grown * (price_of(o, scaled) or 0.0)
    if is_deleting(o.md):
        return max(live, _announced(o))
    rollout = plan.status.rollout
    if rollout is not None and rollout.phase in _GROWING and o.target is not None:
        # It grows step by step, and by then others must not have taken what it needs.
        grows = max(0, _in_a_change(o, now).high - _most(o.target))
        return max(live + grows * (price_of(o, o.target) or 0.0), _announced(o))
    begins = rollout is not None and rollout.phase is RolloutPhase.PREPARING
    if isinstance(action, CreateDeployment) or begins or not o.deployments:
        return max(live + _coming(o, now, plan), _announced(o))
    if rollout is not None and rollout.source is not None:
        # One goes so that another can come: nobody else may take its money meanwhile.
        return max(live, _coming(o, now, plan), _announced(o))
    return max(live, _announced(o))


def _coming(o: Observed, now: datetime, plan: DeploymentPlan) -> float:
    """What is about to be started. An object that a person has to mend starts nothing."""
    stalled_now = any(c.type == "Stalled" and c.status == "True" for c in plan.status.conditions)
    paused = next((c.reason for c in plan.status.conditions if c.type == "Ready"), "")
    if stalled_now or paused == Reason.SUSPENDED:
        return 0.0
    target = wanted_target(o)
    if not isinstance(target, Target) or target.cents_per_hour is None:
        return 0.0
    changes = o.deployment is not None
    wanted = _in_a_change(o, now) if changes else wanted_scaling(o.md, now)
    return target.cents_per_hour * wanted.high


def _announced(o: Observed) -> float:
    """What a create that may have happened was going to cost; it counts until it is found."""
    if o.intent(DEPLOYMENT_INTENT) is None:
        return 0.0
    return reserved_in(o.md.status)


def reserved_in(status: ModelDeploymentStatus) -> float:
    """What a status says that its object reserves, in cents an hour."""
    return (cents_of(status.cost.reserved_per_hour) if status.cost is not None else None) or 0.0


def is_over_budget(plan: DeploymentPlan) -> bool:
    """True for a plan that waits for money."""
    ready = next((c for c in plan.status.conditions if c.type == "Ready"), None)
    return ready is not None and ready.reason == Reason.OVER_BUDGET
