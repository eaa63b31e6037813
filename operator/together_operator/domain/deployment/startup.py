"""What an endpoint's events tell of a start: its phases with their times, and crashes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from together_operator.api.v1alpha1 import StartupPhase
from together_operator.domain.text import human_duration
from together_operator.domain.together import Deployment
from together_operator.domain.together_rollouts import EndpointEvent

PHASE_CHANGED = "pod.startup_phase_changed"
CRASHED = "pod.crashed"
TYPES = (PHASE_CHANGED, CRASHED, "pod.oom_killed", "pod.image_pull_failed")
"""Events that are asked for."""

FIRST_PHASE = "PullingImage"
COMPLETE = "StartupComplete"
MAX_EXCERPT = 240
"""Characters of a log excerpt in a message."""


def startup_phases(events: Sequence[EndpointEvent]) -> tuple[StartupPhase, ...]:
    """Phases of the newest start, oldest first; of several replicas, the first to get there."""
    times: dict[str, StartupPhase] = {}
    for event in sorted(events, key=lambda event: event.created_at):
        if event.type != PHASE_CHANGED or not event.reason:
            continue
        if event.reason == FIRST_PHASE and COMPLETE in times:
            times = {}
        times.setdefault(event.reason, StartupPhase(phase=event.reason, time=event.created_at))
    return tuple(times.values())[-16:]


def startup_words(phases: Sequence[StartupPhase]) -> str:
    """`LoadingWeights since 12:03:11 (PullingImage 60s, Starting 25s)`; empty without phases."""
    if not phases:
        return ""
    took = ", ".join(
        f"{before.phase} {human_duration((after.time - before.time).total_seconds())}"
        for before, after in pairwise(phases)
    )
    words = f"{phases[-1].phase} since {phases[-1].time:%H:%M:%S} UTC"
    return f"{words} ({took})" if took else words


def crash_words(events: Sequence[EndpointEvent]) -> str:
    """How often it crashed, why, and what its log said last; empty when it did not."""
    crashes = [event for event in events if event.type != PHASE_CHANGED]
    if not crashes:
        return ""
    last = max(crashes, key=lambda event: event.created_at)
    times = f" {len(crashes)} times" if len(crashes) > 1 else ""
    words = f"{last.reason or last.type}{times}: {last.message.rstrip('.')}"
    excerpt = last.log_excerpt[-MAX_EXCERPT:]
    return f"{words}; its log ends with: {excerpt}" if excerpt else words


def told_by(deployment: Deployment, events: Sequence[EndpointEvent]) -> str:
    """Everything worth saying about a deployment that is not ready."""
    state = deployment.message.rstrip(".")
    crash = crash_words(events)
    if crash:
        return crash if state and state in crash else f"{state}. {crash}".lstrip(". ")
    phases = startup_words(startup_phases(events))
    return f"{state}: {phases}" if state and phases else state or phases
