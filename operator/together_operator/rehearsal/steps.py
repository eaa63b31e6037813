"""What was done in a rehearsal, in order."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One change in the outside world. `subject` is kind and key, such as `CustomModel a/b`."""

    subject: str
    action: str
    detail: str = ""


@dataclass
class Recorder:
    """Collects steps on behalf of the object whose turn it is."""

    subject: str = ""
    steps: list[Step] = field(default_factory=list)

    def add(self, action: str, detail: str = "") -> None:
        """Remember one step."""
        self.steps.append(Step(self.subject, action, detail))
