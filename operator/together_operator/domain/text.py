"""Numbers for people: sizes, durations, dollars; and what a key is made of."""

from __future__ import annotations

import math
import re

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def human_size(size: float) -> str:
    """Bytes in the largest unit below 1024 of it: `1.2GiB`."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            return f"{size:.0f}{unit}" if unit == "B" else f"{size:.1f}{unit}"
        size /= 1024
    raise AssertionError("the last unit always returns")


def human_duration(seconds: float) -> str:
    """Seconds in one unit, as kubectl shows ages: `45s`, `4m`, `3h`, `2d`."""
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}m"
    if whole < 172800:
        return f"{whole // 3600}h"
    return f"{whole // 86400}d"


def dollars(cents: float) -> str:
    """US cents as decimal dollars: `3.36`."""
    return f"{cents / 100:.2f}"


def cents_of(dollars: str | None) -> float | None:
    """Decimal dollars as US cents; None for what is no amount of money, as a forged status has."""
    try:
        amount = float(dollars or "")
    except ValueError:
        return None
    return amount * 100 if 0 <= amount < math.inf else None


_PRINTABLE = re.compile(r"[\x21-\x7e]+")


def is_printable(text: str) -> bool:
    """Whether it can be sent as a key or in a URL: visible ASCII, without blanks or line ends."""
    return _PRINTABLE.fullmatch(text) is not None
