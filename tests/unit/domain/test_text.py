"""Numbers for people."""

from __future__ import annotations

import pytest

from together_operator.domain.text import cents_of, dollars, human_duration, human_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0KiB"),
        (1536, "1.5KiB"),
        (5 * 1024**2, "5.0MiB"),
        (1.2 * 1024**3, "1.2GiB"),
        (2 * 1024**4, "2.0TiB"),
        (3000 * 1024**5, "3000.0PiB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172799, "47h"),
        (172800, "2d"),
    ],
)
def test_durations_are_as_kubectl_shows_ages(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "0.00"), (336, "3.36"), (5, "0.05"), (1e6, "10000.00")]
)
def test_dollars(cents: float, text: str) -> None:
    assert dollars(cents) == text


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("3.36", 336.0),
        ("0", 0.0),
        (None, None),
        ("", None),
        ("much", None),
        ("-1.00", None),
        ("nan", None),
        ("inf", None),
    ],
)
def test_dollars_that_a_status_names_may_be_forged(text: str | None, amount: float | None) -> None:
    assert cents_of(text) == (None if amount is None else pytest.approx(amount))
