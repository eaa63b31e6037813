"""Before anything is created: is there room for it, where it may run?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from together_operator.domain.conditions import Health, Reason, Situation
from together_operator.domain.deployment.observed import Observed
from together_operator.domain.deployment.status import SCHEDULE, busy, stalled
from together_operator.domain.deployment.target import Target
from together_operator.domain.together import Deployment, DeploymentState, InstanceType, Placement

_QUOTA = re.compile(r"(?i)\b(quota|limit exceeded|credit)")
_NO_ROOM = re.compile(r"(?i)cannot place|no capacity|insufficient capacity|out of capacity")
_SHOWN = 4


def refusal(o: Observed, target: Target, replicas: int) -> Situation | None:
    """Why `replicas` of `target` can't be started now; None when nothing speaks against it."""
    if o.refused:
        reason = Reason.QUOTA_EXCEEDED if _QUOTA.search(o.refused) else Reason.REJECTED
        remedy = "Raise the quota at Together, or ask for less." if "quota" in o.refused else ""
        message = f"{o.refused.rstrip('.')}. {remedy or 'Change what the message names.'}"
        return stalled(SCHEDULE, reason, message)
    kind = next((t for t in o.instance_types if t.name == target.config.instance_type), None)
    if kind is None:
        return None  # the public list does not have everything
    regions = _usable_regions(kind, target.placement)
    if kind.headroom and not regions:
        offered = ", ".join(sorted(kind.headroom))
        wanted = ", ".join(target.placement.regions) if target.placement is not None else ""
        message = (
            f"{kind.name} is not offered in {wanted}, only in {offered}. Change "
            "spec.placement.regions, or ask for other hardware."
        )
        return stalled(SCHEDULE, Reason.NO_REGION, message)
    free, exact = free_replicas(kind, regions)
    if not exact or not regions or free >= replicas:
        return None
    where = ", ".join(f"{region} {kind.headroom[region]}" for region in regions)
    message = (
        f"Together has room for {free} of {replicas} replicas of {kind.name} now ({where}). "
        f"{available(o.instance_types)} It is tried again by itself."
    )
    return busy(SCHEDULE, Reason.NO_CAPACITY, message)


def waits_for_capacity(o: Observed, deployment: Deployment) -> Situation | None:
    """The situation of a deployment that Together can't place; None when it could."""
    waiting = {
        DeploymentState.PROVISIONING,
        DeploymentState.SCALING,
        DeploymentState.DEGRADED,
    }
    if deployment.state not in waiting or not _NO_ROOM.search(deployment.message):
        return None
    message = f"{deployment.message.rstrip('.')}. {available(o.instance_types)}".rstrip()
    return Situation(Health.PROGRESSING, Reason.NO_CAPACITY, message, SCHEDULE)


def available(kinds: Sequence[InstanceType]) -> str:
    """What there is room for now, the cheapest first; empty when nothing is known."""
    free = [(kind, free_replicas(kind, tuple(kind.headroom))[0]) for kind in kinds]
    roomy = sorted(
        ((kind, count) for kind, count in free if count > 0),
        key=lambda found: (found[0].cents_per_hour, found[0].name),
    )
    if not roomy:
        return "Nothing else has room now." if kinds else ""
    shown = ", ".join(f"{kind.name} ({count})" for kind, count in roomy[:_SHOWN])
    return f"Available now: {shown}."


def free_replicas(kind: InstanceType, regions: Sequence[str]) -> tuple[int, bool]:
    """Replicas that fit into `regions`, and whether that is all: a region may not say, or say
    "at least"."""
    counts = [kind.headroom.get(region) for region in regions]
    exact = all(count is not None for count in counts) and not kind.roomy.intersection(regions)
    return sum(count or 0 for count in counts), exact


def _usable_regions(kind: InstanceType, placement: Placement | None) -> tuple[str, ...]:
    offered = tuple(sorted(kind.headroom))
    if placement is None or not placement.regions or not placement.required:
        return offered
    return tuple(region for region in offered if region in placement.regions)
