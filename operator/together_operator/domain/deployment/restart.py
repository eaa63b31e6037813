"""A start of what Together stopped or gave up: whether a person asks for it, and until when."""

from __future__ import annotations

from datetime import datetime

from together_operator.api.v1alpha1 import ModelDeploymentStatus
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.scaling import (
    Scaling,
    in_doubt,
    is_idle,
    is_start_due,
    may_idle,
    wanted_scaling,
    was_asked_for,
)
from together_operator.domain.plan import has_finalizer, is_deleting, is_retried
from together_operator.domain.together import DOWN, Deployment, DeploymentState


def is_to_start_again(o: Observed, deployment: Deployment, wanted: Scaling) -> bool:
    """True for one that Together stopped or gave up, and that a person wants to have again."""
    known = o.md.status.scaling
    if wanted.high > 0 and deployment.state in DOWN and is_start_due(known):
        return True
    return _is_asked_for(o, wanted, deployment.state, idle=is_idle(deployment, wanted, known))


def with_start_kept(
    o: Observed, now: datetime, status: ModelDeploymentStatus
) -> ModelDeploymentStatus:
    """Status that keeps what a person asks for, where this look does not come to start it.

    What it asked by, a new generation or a retry, counts as seen once status is written.
    """
    if is_deleting(o.md) or not has_finalizer(o.md):
        return status
    wanted, known, record = wanted_scaling(o.md, now), o.md.status.scaling, o.md.status.deployment
    if o.deployment is not None:
        state, idle = o.deployment.state.value, is_idle(o.deployment, wanted, known)
    else:  # it could not be looked at: what was known of it
        state = (record.state if record is not None else None) or ""
        stopped = state == DeploymentState.STOPPED
        idle = stopped and may_idle(wanted) and was_asked_for(known, wanted)
    if not _is_asked_for(o, wanted, state, idle=idle):
        return status
    due = in_doubt(status.scaling, Scaling(0, 0, wanted.tuning))
    return status.model_copy(update={"scaling": due})


def _is_asked_for(o: Observed, wanted: Scaling, state: str, *, idle: bool) -> bool:
    """True when a person asks by a retry, or, of one that has failed, by a spec that was changed
    twice since the last look and asks for what it asked before: replicas were 0, and nobody saw it.

    What idles has not failed: two changes of something else are no reason to let it cost again.
    """
    failed = state == DeploymentState.FAILED
    if wanted.high == 0 or not (idle or failed):
        return False
    twice = o.md.metadata.generation - o.md.status.observed_generation > 1
    unseen = failed and twice and was_asked_for(o.md.status.scaling, wanted)
    return unseen or is_retried(o.md, o.md.status.last_retry)
