"""Taking deployments down, one step a reconcile: stop, out of the split, delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from together_operator.domain.deployment.actions import (
    Action,
    ActOnRollout,
    DeleteDeployment,
    DeleteRollout,
    ScaleDeployment,
    SetTraffic,
)
from together_operator.domain.together import DOWN, Deployment, Endpoint
from together_operator.domain.together_rollouts import Rollout, RolloutState, RolloutVerb


@dataclass(frozen=True, slots=True)
class Step:
    """The next step: what it is in words, what to do (None: wait), and whether it is quick."""

    words: str
    action: Action | None
    at_once: bool = False


def ending(rollout: Rollout, why: str) -> Step:
    """The next step to the end of a rollout that is open."""
    if rollout.state is RolloutState.PENDING:
        gone = DeleteRollout(rollout.endpoint_id, rollout.id)
        return Step(f"Deleting rollout {rollout.id}", gone, at_once=True)
    if rollout.state is RolloutState.CANCELLING:
        return Step(f"Rollout {rollout.id} is being canceled", None)
    cancel = ActOnRollout(rollout.endpoint_id, rollout.id, RolloutVerb.CANCEL, why)
    return Step(f"Canceling rollout {rollout.id}", cancel)


def taking_down(endpoint: Endpoint, deployments: Sequence[Deployment]) -> Step:
    """The next step to the end of `deployments`, of which there is at least one."""
    up = [d for d in deployments if d.state not in DOWN]
    running = next((d for d in up if d.max_replicas > 0), None)
    if running is not None:
        stop = ScaleDeployment(endpoint.id, running.id, 0)
        return Step(f"Stopping deployment {running.name}", stop, at_once=len(up) > 1)
    if up:
        return Step(f"Stopping deployment {up[0].name}", None)
    gone = {deployment.id for deployment in deployments}
    rest = tuple(share for share in endpoint.traffic if share.deployment_id not in gone)
    first = deployments[0]
    if len(rest) != len(endpoint.traffic):
        unrouted = SetTraffic(endpoint.id, rest, endpoint.etag)
        return Step(f"Taking {first.name} out of the traffic split", unrouted, at_once=True)
    return Step(f"Deleting deployment {first.name}", DeleteDeployment(endpoint.id, first.id))
