"""Backoff: doubling, bounded, and apart for those who failed together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.domain.backoff import Backoff

BACKOFF = Backoff(base=2.0, cap=300.0)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 2.0), (2, 4.0), (3, 8.0), (8, 256.0), (9, 300.0), (10**9, 300.0), (0, 2.0), (-5, 2.0)],
)
def test_a_delay_doubles_up_to_the_cap(failures: int, seconds: float) -> None:
    assert BACKOFF.delay(failures, jitter=0.0) == seconds


@given(st.integers(), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_away_half_at_most(failures: int, jitter: float) -> None:
    whole = BACKOFF.delay(failures, 0.0)
    assert whole / 2 <= BACKOFF.delay(failures, jitter) <= whole


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_more_failures_never_wait_less(failures: int, jitter: float) -> None:
    assert BACKOFF.delay(failures, jitter) <= BACKOFF.delay(failures + 1, jitter)
