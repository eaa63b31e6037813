"""ModelDeployments at each point of a change, and what a look then finds. Times are around NOW."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.unit.domain.situations import NOW, PROCESS, told
from together_operator.api.v1alpha1 import (
    CustomModel,
    DeploymentSource,
    ModelDeployment,
    RolloutPhase,
    RolloutStatus,
    RolloutStrategy,
)
from together_operator.domain.deployment import decide
from together_operator.domain.deployment.actions import DeploymentPlan
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.target import (
    Target,
    asked_target,
    attempt_digest,
    wanted_target,
)
from together_operator.domain.outcome import Outcome
from together_operator.domain.plan import FINALIZER
from together_operator.domain.together import (
    Config,
    Deployment,
    DeploymentState,
    Endpoint,
    InstanceType,
    TrafficShare,
)
from together_operator.domain.together_rollouts import Rollout, RolloutState

SMALL = Config("cr_small", "proj_platform", "nvidia-l40s-48gb", 1, "balanced")
LARGE = Config("cr_large", "proj_platform", "nvidia-h100-80gb", 1, "balanced")
PRICES = (
    InstanceType(
        SMALL.instance_type, "L40S", 1, 149.0, headroom={"us": 4}, roomy=frozenset({"us"})
    ),
    InstanceType(
        LARGE.instance_type, "H100", 1, 399.0, headroom={"us": 4}, roomy=frozenset({"us"})
    ),
)
OLD, NEW = "dep_old", "dep_new"


def model(name: str = "b", revision: str = "rv_1", *, ready: bool = True) -> CustomModel:
    """A CustomModel whose id at Together is `ml_<name>`."""
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "Ready" if ready else "Importing",
        "message": "",
        "lastTransitionTime": NOW,
    }
    status = {
        "phase": "Ready" if ready else "Importing",
        "conditions": [condition],
        "model": {"id": f"ml_{name}", "name": f"acme/{name}", "revision": revision},
    }
    return CustomModel.model_validate(
        {
            "metadata": {"name": name, "namespace": "team", "generation": 1},
            "spec": {"source": {"huggingFace": {"repo": "org/model"}}},
            "status": status,
        }
    )


def object_serving_a(
    spec: Mapping[str, Any] | None = None, *, annotations: Mapping[str, str] | None = None
) -> ModelDeployment:
    """An object that serves model a, and whose spec asks for model b unless it says otherwise."""
    return ModelDeployment.model_validate(
        {
            "metadata": {
                "name": "serve",
                "namespace": "team",
                "uid": "uid-1",
                "generation": 2,
                "finalizers": [FINALIZER],
                "annotations": dict(annotations or {}),
            },
            "spec": {"modelRef": {"name": "b"}, "replicas": 1, **(spec or {})},
            "status": {
                "observedGeneration": 1,
                "phase": "Ready",
                "endpoint": {"id": "ep_1", "name": "acme/team-serve"},
                "model": {"id": "ml_a", "name": "acme/a", "revision": "rv_1"},
                "deployment": {
                    "id": OLD,
                    "name": "serve-serve-old",
                    "state": "READY",
                    "config": SMALL.id,
                    "hardware": SMALL.instance_type,
                    "revision": "rv_1",
                },
                "replicas": 1,
                "readyReplicas": 1,
                "cost": {"perReplicaHour": "1.49", "perHour": "1.49"},
            },
        }
    )


def old(state: str = "READY", ready: int = 1, **facts: Any) -> Deployment:
    """The deployment that serves model a."""
    bounds = {"min_replicas": 1, "max_replicas": 1, **facts}
    return Deployment(
        id=OLD,
        name="acme/team-serve/serve-serve-old",
        endpoint_id="ep_1",
        state=DeploymentState(state),
        model="projects/proj_1/models/ml_a/revisions/rv_1",
        config=SMALL.resource,
        hardware=SMALL.instance_type,
        ready_replicas=ready,
        scheduled_replicas=ready,
        **bounds,
    )


def look(md: ModelDeployment, *deployments: Deployment, **facts: Any) -> Observed:
    """An observation; the old deployment has the traffic unless `traffic` says otherwise."""
    traffic = facts.pop("traffic", {OLD: 100.0})
    shares = tuple(TrafficShare(id_, weight) for id_, weight in traffic.items())
    found: dict[str, Any] = {
        "model": model(md.spec.model_ref.name if md.spec.model_ref else ""),
        "configs": (SMALL, LARGE),
        "instance_types": PRICES,
        "endpoint": Endpoint("ep_1", "acme/team-serve", "proj_1", "etag-1", shares),
        **facts,
    }
    return Observed(md, PROCESS, deployments=deployments, **found)


def target_of(o: Observed) -> Target:
    """What the spec asks for."""
    wanted = wanted_target(o)
    assert isinstance(wanted, Target)
    return wanted


def new(o: Observed, state: str = "STOPPED", ready: int = 0, **facts: Any) -> Deployment:
    """The deployment that the spec asks for, as it is at Together."""
    wanted = target_of(o)
    bounds = {"min_replicas": ready, "max_replicas": ready, **facts}
    return Deployment(
        id=NEW,
        name=f"acme/team-serve/{wanted.name}",
        endpoint_id="ep_1",
        state=DeploymentState(state),
        model=wanted.served.resource,
        config=wanted.config.resource,
        hardware=wanted.config.instance_type,
        ready_replicas=ready,
        scheduled_replicas=ready,
        **bounds,
    )


def begun(o: Observed, phase: RolloutPhase = RolloutPhase.RUNNING, **fields: Any) -> Observed:
    """The same when status has the change to what the spec asks for."""
    wanted, spec = target_of(o), o.md.spec
    progress = RolloutStatus(
        phase=phase,
        strategy=fields.pop("strategy", spec.rollout.strategy),
        digest=attempt_digest(wanted, spec),
        target=wanted.record.model_copy(update={"id": NEW}),
        model=wanted.served.status,
        **fields,
    )
    status = o.md.status.model_copy(update={"rollout": progress})
    return replace(o, md=o.md.model_copy(update={"status": status}))


SOURCE = DeploymentSource(
    model="projects/proj_1/models/ml_a/revisions/rv_1",
    model_name="acme/a",
    config=SMALL.resource,
    hardware=SMALL.instance_type,
)
"""What the old deployment can be made again from."""


def replaced_by_b(o: Observed, phase: RolloutPhase = RolloutPhase.REPLACING) -> Observed:
    """The same when status has the change by Recreate to what the spec asks for."""
    asked, spec = asked_target(o), o.md.spec
    assert isinstance(asked, Target)
    noted = RolloutStatus(
        phase=phase,
        strategy=RolloutStrategy.RECREATE,
        digest=attempt_digest(asked, spec),
        target=asked.record,
        model=asked.served.status,
        source=SOURCE,
        message="b failed: out of memory",
    )
    status = o.md.status.model_copy(update={"rollout": noted})
    return replace(o, md=o.md.model_copy(update={"status": status}))


def rollout(state: str, **facts: Any) -> Rollout:
    """The rollout from the old to the new deployment."""
    return Rollout("rol_1", "ep_1", OLD, NEW, RolloutState(state), **facts)


def expect(
    observed: Observed, says: tuple[str, str, str], outcome: Outcome, action: object = None
) -> DeploymentPlan:
    """Decide; the plan has to say, schedule and do just this. `action` is a type or an action."""
    plan = decide(observed, NOW)
    shown = f"action {plan.action}\noutcome {plan.outcome}\nstatus {plan.status.to_body()}"
    assert told(plan.status) == says, shown
    assert plan.outcome == outcome, shown
    done = type(plan.action) if isinstance(action, type) else plan.action
    assert done == action, shown
    return plan
