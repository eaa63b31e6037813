"""Times as Kubernetes writes them."""

from __future__ import annotations

import datetime as dt


def now() -> str:
    """The time in whole seconds, as in a status."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def precise_now() -> str:
    """The time in microseconds, as in a Lease or a log."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
