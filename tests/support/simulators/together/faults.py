"""Faults on demand: what the network or the platform does wrong to chosen calls."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Effect = Literal[
    "status",
    "drop_before_commit",
    "drop_after_commit",
    "late_commit",
    "delay",
    "invalid_json",
    "html",
    "hidden",
]


class Fault(BaseModel):
    """A rule: which calls, how often, and what happens to them.

    Effects:
        status: answer `status` without doing anything (with `retry_after`, where set).
        drop_before_commit: hold for `seconds`, then cut the connection; nothing was done.
        drop_after_commit: do it, hold for `seconds`, then cut the connection.
        late_commit: cut the connection, and do it `seconds` later.
        delay: answer properly, `seconds` late.
        invalid_json: do it, and answer with broken JSON and a success status.
        html: do it, and answer with an HTML page and a success status, as a proxy would.
        hidden: do it and answer properly, but reads and lists don't show what was created for
            `seconds` (its name is taken at once).
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    effect: Effect
    method: str = ".*"
    path: str = ".*"
    body: str = ""
    """Regular expression that the request's body must hold."""

    skip: int = 0
    count: int | None = 1
    """How often it happens; None for ever."""

    status: int = Field(default=500, ge=400, le=599)
    message: str = "injected fault"
    retry_after: float | None = None
    """Seconds, sent as `Retry-After` and `retry-after-ms`."""

    seconds: float = 0.0
    """Seconds of the simulator's clock."""


class Faults:
    """The rules in force, in the order in which they were added."""

    def __init__(self) -> None:
        self.rules: list[Fault] = []

    def match(self, method: str, path: str, body: str = "") -> Fault | None:
        """The first rule for this call, which is thereby used once."""
        for rule in self.rules:
            if rule.count == 0 or not re.fullmatch(rule.method, method, re.IGNORECASE):
                continue
            if not re.search(rule.path, path) or not re.search(rule.body, body):
                continue
            if rule.skip > 0:
                rule.skip -= 1
                continue
            if rule.count is not None:
                rule.count -= 1
            return rule
        return None
