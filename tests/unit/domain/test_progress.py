"""Progress as people see it: it never falls for one attempt, and tells a Job that is stuck."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.situations import NOW, seconds
from together_operator.api.v1alpha1 import Progress
from together_operator.domain.progress import advanced

LATER = NOW + seconds(5)


def seen(done: int, speed: int = 10, eta: int | None = 9, stage: str = "Archive") -> Progress:
    """What a line of the worker says of an archive of 100 bytes."""
    total = 0 if stage == "Listing" else 100
    return Progress(
        stage=stage,
        done_bytes=done,
        total_bytes=total,
        percent=done if total else None,
        bytes_per_second=speed,
        eta_seconds=eta,
    )


def shown(progress: Progress) -> Progress:
    """The same, as it was stored at NOW."""
    stored = advanced(None, progress, NOW)
    assert stored is not None
    return stored


HALF = shown(seen(50))
LISTED = advanced(HALF, seen(0, 0, None, "Listing"), NOW)
assert LISTED is not None


@pytest.mark.parametrize(
    ("before", "line", "text", "moved"),
    [
        pytest.param(HALF, seen(60), "60% 10B/s 9s", True, id="it gets on"),
        pytest.param(HALF, seen(50), "50% 10B/s 9s", False, id="the same line again"),
        pytest.param(HALF, seen(50, 0, None), "50%", False, id="it stands still"),
        pytest.param(HALF, seen(0, 0, None, "Listing"), "50%", True, id="a new pod lists"),
        pytest.param(LISTED, seen(0, 0, None), "50%", True, id="a new pod begins to count"),
        pytest.param(HALF, seen(40, 20, 3), "50% 20B/s 3s", True, id="it catches up"),
        pytest.param(
            shown(seen(50, stage="Verifying")),
            seen(50, 0, None),
            "50%",
            True,
            id="another stage is a sign of life",
        ),
        pytest.param(
            shown(seen(0, 0, None, "Listing")), seen(0), "0% 10B/s 9s", True, id="it begins"
        ),
    ],
)
def test_row(before: Progress, line: Progress, text: str, moved: bool) -> None:
    after = advanced(before, line, LATER)
    assert after is not None
    assert after.text == text
    assert after.moved_at == (LATER if moved else NOW)


def test_silence_changes_nothing() -> None:
    assert advanced(HALF, None, LATER) == HALF
    assert advanced(None, None, LATER) is None


lines = st.one_of(
    st.none(),
    st.builds(
        seen,
        st.integers(0, 100),
        st.integers(0, 50),
        st.none() | st.integers(0, 1000),
        st.sampled_from(["Archive", "Listing", "Verifying"]),
    ),
)


@given(st.lists(lines))
def test_neither_percent_nor_bytes_ever_fall(said: list[Progress | None]) -> None:
    progress: Progress | None = None
    for number, line in enumerate(said):
        after = advanced(progress, line, NOW + seconds(number))
        if progress is not None:
            assert after is not None
            assert (after.percent or 0) >= (progress.percent or 0)
            assert (after.done_bytes or 0) >= (progress.done_bytes or 0)
            assert progress.moved_at is not None
            assert after.moved_at is not None
            assert after.moved_at >= progress.moved_at
        progress = after
