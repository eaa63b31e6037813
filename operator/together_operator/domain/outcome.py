"""What a reconcile says to the work queue: when this object wants to be looked at again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is under way: the next periodic resync is soon enough."""


@dataclass(frozen=True, slots=True)
class After:
    """Look again in `seconds`; 0 means as soon as a worker is free."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not be done; look again in `seconds`.

    `terminal` tells that only a person can end it. The object's condition says how; the slow
    repetition is there because the remedy is often outside of the object (a Secret, a right).
    """

    reason: str
    seconds: float
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """The object does not exist any more: forget it."""


Outcome = Done | After | Failed | Gone
