"""What a change of the served model did to requests and to the bill, for the end of a test run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One change, from the new spec until the object had settled again.

    Args:
        strategy: of the rollout.
        outcome: what serves in the end.
        sent: requests in that time.
        failed: those without an answer.
        dollars: what Together billed in that time.
        price: dollars an hour of what ran before.
        hours: how long it took, on the simulator's clock.
        at_once: the most deployments that were on the endpoint at the same time.
    """

    strategy: str
    outcome: str
    sent: int
    failed: int
    dollars: float
    price: float
    hours: float
    at_once: int

    @property
    def ratio(self) -> float:
        """The bill against that of going on without a change."""
        return self.dollars / (self.price * self.hours)

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.strategy:9}  {self.outcome:34}  {self.sent:8}  {self.failed:6}  "
            f"{self.dollars:7.2f}  {self.ratio:6.2f}  {self.at_once:7}"
        )


HEADING = (
    f"{'strategy':9}  {'what was changed, and what came':34}  {'requests':>8}  {'failed':>6}  "
    f"{'dollars':>7}  {'factor':>6}  {'at once':>7}"
)
LEGEND = (
    "dollars: spent during the change, on the simulator's clock; factor: that bill against the one "
    "of going on unchanged; at once: the most deployments on the endpoint"
)
CHANGES: list[Change] = []
"""Those of this test run."""
