"""How the operator's log tells of a bug that it went on after."""

from __future__ import annotations

_EVENTS = ("comparison crashed", "reconcile crashed", "roll call crashed")


def is_crash(line: str) -> bool:
    """Whether a line of the log says that something failed as nothing is foreseen to."""
    return any(event in line for event in _EVENTS)
