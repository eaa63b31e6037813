"""How many runs were made, and the floor that their number may not fall below."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

FLOOR = Path(__file__).with_name("floor.json")
"""What the last version of this suite made; a later one may only raise it."""


@dataclass
class Tally:
    """Numbers of runs by what befell them, and of violations."""

    made: dict[str, int] = field(default_factory=dict)
    possible: dict[str, int] = field(default_factory=dict)
    violations: int = 0

    def add(self, what: str, made: int, possible: int, violations: int) -> None:
        """Runs of one test."""
        self.made[what] = self.made.get(what, 0) + made
        self.possible[what] = self.possible.get(what, 0) + possible
        self.violations += violations

    def lines(self) -> list[str]:
        """For the end of a test run."""
        floor = floors()
        numbers = [
            f"{what} {made} (of {self.possible[what]}; floor {floor.get(what, 0)})"
            for what, made in self.made.items()
        ]
        return [", ".join(numbers), f"violations: {self.violations}"]


def floors() -> dict[str, int]:
    """The stored floors."""
    found: dict[str, int] = json.loads(FLOOR.read_text())
    return found


TALLY = Tally()
