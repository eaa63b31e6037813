"""Progress of an archive Job: from the worker's lines to what people see, which never falls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from together_operator.api.v1alpha1 import Progress
from together_operator.domain.conditions import MAX_MESSAGE
from together_operator.domain.text import human_duration, human_size

_MAX_INT64 = 2**63 - 1


def parse_progress(line: str | None) -> Progress | None:
    """Progress from one line of the worker's output; None if it isn't one."""
    try:
        data = json.loads(line or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("type") != "progress":
        return None
    done, total = amount(data, "doneBytes"), amount(data, "totalBytes")
    return _told(
        Progress(
            stage=word(data, "stage") or "Archive",
            done_bytes=done,
            total_bytes=total,
            percent=min(100 * done // total, 100) if done is not None and total else None,
            bytes_per_second=amount(data, "bytesPerSecond"),
            eta_seconds=amount(data, "etaSeconds"),
        )
    )


def advanced(before: Progress | None, seen: Progress | None, now: datetime) -> Progress | None:
    """What to show of one attempt after `seen`, the worker's latest word (None: it said nothing).

    A pod that goes on for another one lists and counts first, and may find that parts under way
    were lost: what is shown waits for it to catch up. `moved_at` is when it last got on; a line
    that is repeated word for word is not a sign of life.
    """
    if seen is None:
        return before
    if before is None:
        return _told(seen.model_copy(update={"moved_at": now}))
    behind = (seen.done_bytes or 0) < (before.done_bytes or 0)
    moved = (
        (seen.done_bytes or 0) > (before.done_bytes or 0)
        or seen.stage != before.stage
        or (bool(seen.bytes_per_second) and _pace(seen) != _pace(before))
    )
    shown = {
        "done_bytes": before.done_bytes if behind else seen.done_bytes,
        "total_bytes": before.total_bytes if behind else seen.total_bytes,
        "percent": max((p for p in (before.percent, seen.percent) if p is not None), default=None),
        "moved_at": now if moved else before.moved_at,
    }
    return _told(seen.model_copy(update=shown))


def _pace(progress: Progress) -> tuple[int | None, int | None]:
    return progress.bytes_per_second, progress.eta_seconds


def _told(progress: Progress) -> Progress:
    """With the words for people, such as `63% 1.2GiB/s 4m`."""
    speed, eta = progress.bytes_per_second, progress.eta_seconds
    words = [
        f"{progress.percent}%" if progress.percent is not None else "",
        f"{human_size(speed)}/s" if speed else "",
        human_duration(eta) if eta is not None else "",
    ]
    return progress.model_copy(update={"text": " ".join(filter(None, words)) or None})


def amount(data: Mapping[str, Any], key: str) -> int | None:
    """A count that the CRD accepts. The image is the user's to choose: nothing is taken as is."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MAX_INT64 else None


def word(data: Mapping[str, Any], key: str) -> str | None:
    """A text of bounded length, if there is one that is not empty."""
    value = data.get(key)
    return value[:MAX_MESSAGE] if isinstance(value, str) and value else None
