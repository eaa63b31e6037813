"""The routes of rollouts."""

from typing import Any

from tests.support.simulators.together import rollout_spec
from tests.support.simulators.together.clock import rfc3339
from tests.support.simulators.together.errors import invalid
from tests.support.simulators.together.records import Endpoint, Rollout, RolloutStep
from tests.support.simulators.together.web import Call, Handler

_FILTERS = {
    "": (True, False),
    "ROLLOUT_FILTER_ACTIVE": (True,),
    "ROLLOUT_FILTER_TERMINAL": (False,),
}


def view(rollout: Rollout) -> dict[str, Any]:
    """A rollout as the API shows it."""
    shown: dict[str, Any] = {
        "id": rollout.id,
        "endpointId": rollout.endpoint_id,
        "sourceDeploymentId": rollout.source_id,
        "targetDeploymentId": rollout.target_id,
        "strategy": f"ROLLOUT_STRATEGY_TYPE_{rollout.strategy}",
        "state": f"ROLLOUT_STATE_{rollout.state}",
        "etag": rollout.etag,
        "createdAt": rfc3339(rollout.created_at),
        "currentTrafficPercent": rollout.traffic,
        "status": {
            "totalSteps": len(rollout.steps),
            "updatedAt": rfc3339(rollout.updated_at),
            "steps": [_step(number, step) for number, step in enumerate(rollout.steps)],
        },
    }
    if rollout.step is not None:
        shown["currentStep"] = rollout.step
    if rollout.started_at is not None:
        shown["startedAt"] = rfc3339(rollout.started_at)
    if rollout.completed_at is not None:
        shown["completedAt"] = rfc3339(rollout.completed_at)
    if rollout.paused_at is not None and "PAUSED" in rollout.state:
        shown["pauseInfo"] = {
            "pausedAt": rfc3339(rollout.paused_at),
            "reason": rollout.paused_because,
        }
    if rollout.category:
        shown["status"]["condition"] = {
            "category": f"ROLLOUT_FAILURE_CATEGORY_{rollout.category}",
            "message": rollout.message,
            "atStep": rollout.step or 0,
            "observedAt": rfc3339(rollout.updated_at),
        }
    return shown


def _step(number: int, step: RolloutStep) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "stepIndex": number,
        "targetTrafficPercent": step.traffic,
        "state": f"ROLLOUT_STEP_STATE_{step.state}",
    }
    if step.started_at is not None:
        shown["startedAt"] = rfc3339(step.started_at)
    if step.completed_at is not None:
        shown["completedAt"] = rfc3339(step.completed_at)
    if step.failure:
        shown["failureReason"] = step.failure
    return shown


def _rollout(call: Call) -> tuple[Endpoint, Rollout]:
    endpoint = call.platform.endpoints.get(call.project, call.path("endpoint"))
    return endpoint, call.platform.rollouts.get(endpoint, call.path("rollout"))


async def create(call: Call) -> dict[str, Any]:
    """POST rollouts."""
    endpoint = call.platform.endpoints.get(call.project, call.path("endpoint"))
    rollout = call.platform.rollouts.create(endpoint, call.body)
    call.created("rollout", rollout, endpoint.name)
    return view(rollout)


async def preview(call: Call) -> dict[str, Any]:
    """POST rollouts/preview-defaults."""
    endpoint = call.platform.endpoints.get(call.project, call.path("endpoint"))
    deployments = call.platform.deployments
    source = deployments.get(endpoint, call.body.get("sourceDeploymentId", ""))
    target = deployments.get(endpoint, call.body.get("targetDeploymentId", ""))
    fields = rollout_spec.read(call.body, source, target)
    spec = {
        **call.body,
        "finalSourceReplicas": fields["final_source"],
        "finalTargetReplicas": fields["final_target"],
    }
    return {
        "spec": spec,
        "sourceReplicas": source.desired,
        "targetReplicas": target.desired,
        "targetMinReplicas": target.autoscaling["minReplicas"],
        "targetMaxReplicas": target.autoscaling["maxReplicas"],
        "estimatedEffectiveSteps": [
            {"traffic": step.traffic, "replicas": step.replicas} for step in fields["steps"]
        ],
        "warnings": [],
    }


async def listing(call: Call) -> dict[str, Any]:
    """GET rollouts, newest first."""
    endpoint = call.platform.endpoints.get(call.project, call.path("endpoint"))
    wanted = _FILTERS.get(call.query("filter"))
    if wanted is None:
        raise invalid(f"filter: use one of {', '.join(filter(None, _FILTERS))}")
    return call.page(
        call.platform.store.rollouts,
        view,
        where=lambda rollout: rollout.endpoint_id == endpoint.id and rollout.open in wanted,
    )


async def get(call: Call) -> dict[str, Any]:
    """GET rollouts/{id}."""
    return view(_rollout(call)[1])


async def delete(call: Call) -> dict[str, Any]:
    """DELETE rollouts/{id}."""
    endpoint, rollout = _rollout(call)
    call.platform.rollouts.check_etag(rollout, call.query("etag"))
    call.platform.rollouts.delete(rollout)
    call.changed("rollout", rollout.id, endpoint.name)
    return {}


async def act(call: Call) -> dict[str, Any]:
    """POST rollouts/{id}/{verb}."""
    endpoint, rollout = _rollout(call)
    rollouts, verb = call.platform.rollouts, call.path("verb")
    rollouts.check_etag(rollout, call.body.get("etag"))
    if verb == "start":
        rollouts.start(endpoint, rollout)
    elif verb == "pause":
        rollouts.pause(rollout, call.body.get("reason", ""))
    elif verb == "resume":
        rollouts.resume(rollout)
    elif verb == "promote":
        rollouts.promote(rollout)
    else:
        rollouts.cancel(rollout, call.body)
    call.changed("rollout", rollout.id, endpoint.name)
    return view(rollout)


_R = "/v2/projects/{project}/endpoints/{endpoint}/rollouts"
ROUTES: list[tuple[str, str, Handler]] = [
    ("POST", _R, create),
    ("GET", _R, listing),
    ("POST", _R + "/preview-defaults", preview),
    ("GET", _R + "/{rollout}", get),
    ("DELETE", _R + "/{rollout}", delete),
    ("POST", _R + "/{rollout}/{verb:start|pause|resume|promote|cancel}", act),
]
