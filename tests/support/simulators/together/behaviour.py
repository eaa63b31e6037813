"""How the simulated platform behaves beyond the normal: no capacity, failing imports, stale lists.

Set through `POST /_sim/behaviour` (camelCase JSON) or `TogetherSimulator.behave(...)`.
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Settings(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class ImportRule(_Settings):
    """What imports into models of a matching name end in, `count` times (None: for ever).

    A `held` one goes on once the rule is not in force any more; `count` does not bound it.
    """

    model: str = ".*"
    outcome: Literal["error", "failed", "stuck", "held"]
    message: str = "worker lost connection to storage backend"
    count: int | None = 1

    def matches(self, name: str) -> bool:
        """Whether the rule still applies, to a model of this bare name."""
        return self.count != 0 and re.fullmatch(self.model, name) is not None

    def use(self) -> None:
        """Count an application."""
        if self.count is not None:
            self.count -= 1


class DeploymentRule(_Settings):
    """What the next starts of deployments of a matching name end in."""

    name: str = ".*"
    outcome: Literal["failed", "degraded"]
    message: str = "engine exited with code 1 while loading weights"
    log_excerpt: str = "RuntimeError: CUDA out of memory"
    count: int | None = 1

    def matches(self, name: str) -> bool:
        """Whether the rule still applies, to a deployment of this bare name."""
        return self.count != 0 and re.fullmatch(self.name, name) is not None

    def use(self) -> None:
        """Count an application."""
        if self.count is not None:
            self.count -= 1


class RolloutRule(_Settings):
    """Lets the metric gate of a step (from 0) of canaries to a matching target fail."""

    target: str = ".*"
    step: int = 0
    metric: str = "router_error_rate"
    message: str = "router_error_rate 0.31 is above the threshold"
    count: int | None = 1

    def matches(self, target: str, step: int, metrics: list[str]) -> bool:
        """Whether the rule applies: only what has a gate on the metric can fail by it."""
        named = re.fullmatch(self.target, target) is not None
        return self.count != 0 and named and step == self.step and self.metric in metrics

    def use(self) -> None:
        """Count an application."""
        if self.count is not None:
            self.count -= 1


class Behaviour(_Settings):
    """All switches, with the values of a platform on a good day."""

    capacity: dict[str, int] = Field(default_factory=dict)
    """Replicas that fit, by instance type; one that is not named is never short."""

    quota: int | None = None
    """Replicas that the project may have at once; None is no limit."""

    no_capacity_state: Literal["PROVISIONING", "DEGRADED"] = "PROVISIONING"
    """Both have been seen for a deployment that can't be placed."""

    imports: list[ImportRule] = Field(default_factory=list)
    exhausted_status: Literal["FAILED", "ERROR"] = "FAILED"
    """Status of an import that has no restarts left."""

    deployments: list[DeploymentRule] = Field(default_factory=list)
    rollouts: list[RolloutRule] = Field(default_factory=list)
    list_lag_seconds: float = 0.0
    """Lists show creations and deletions this many seconds of the clock late."""

    unrouted_error: Literal["routing_error", "endpoint_not_configured"] = "routing_error"
    """What inference answers for an endpoint without a weight: 503 or (newer) 400."""

    max_page: int = 500
    """Largest `limit` that lists accept."""

    v1_closed: bool = False
    """The account was moved to v2: v1 creates and starts no endpoints any more."""

    leak_urls: bool = False
    """Put the whole signed URL into messages of imports, as a careless service would."""

    def merge(self, changes: dict[str, object]) -> "Behaviour":
        """A copy with some switches set, given by their camelCase or Python names."""
        document = self.model_dump(by_alias=True) | {
            to_camel(name) if "_" in name else name: value for name, value in changes.items()
        }
        return Behaviour.model_validate(document)
