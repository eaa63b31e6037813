"""Exponential backoff with jitter, from the number of failures in a row.

The count lives in `status.retry`, so a restart neither forgets it nor starts a herd.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: `base` doubles with each failure up to `cap`.

    Jitter takes up to half of a delay away, so that objects which failed together come back apart.
    """

    base: float
    cap: float

    def delay(self, failures: int, jitter: float) -> float:
        """Seconds to wait after `failures` (1 or more) in a row; `jitter` is from 0 up to 1."""
        # 2**60 is far past any cap; the bound keeps a forged count from overflowing a float.
        full = min(self.cap, self.base * 2.0 ** min(max(failures - 1, 0), 60))
        return full * (1 - jitter / 2)

    def longest(self, jitter: float) -> float:
        """Seconds to wait where only a person can mend it, however few the failures were."""
        return self.cap * (1 - jitter / 2)
