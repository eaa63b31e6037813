"""Whether a body says by itself that nothing is to do, without a typed copy of it. Pure.

After a restart this is what is asked of every object, thousands of which have settled. It is
stricter than the typed `is_settled` of either kind, and the next resync looks at everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from together_operator.domain.plan import FINALIZER, MAX_RETRY_VALUE, RETRY_ANNOTATION

_SETTLED = frozenset(("Ready", "Stopped"))
_UNDER_WAY = ("intent", "retry", "rollout", "nextChange")
"""Fields of a status that mean that a moment comes at which something is to do."""

_TIMED = ("schedule", "ttl")
"""Fields of a spec by which time alone can ask for a change."""


def is_settled(body: Mapping[str, Any]) -> bool:
    """True when status is about this generation and asks for nothing before the next resync."""
    metadata, status = body["metadata"], body.get("status") or {}
    spec = body.get("spec") or {}
    return (
        status.get("observedGeneration") == metadata.get("generation")
        and status.get("phase") in _SETTLED
        # A restored object's status was written for another one, whose things it names.
        and status.get("objectUID") in (None, metadata.get("uid"))
        and FINALIZER in metadata.get("finalizers", ())
        and not metadata.get("deletionTimestamp")
        and not any(status.get(name) for name in _UNDER_WAY)
        and not any(spec.get(name) for name in _TIMED)
        and not _is_retried(metadata, status)
        and any((status.get(name) or {}).get("id") for name in ("model", "endpoint"))
    )


def _is_retried(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    wanted = (metadata.get("annotations") or {}).get(RETRY_ANNOTATION)
    return wanted is not None and wanted[:MAX_RETRY_VALUE] != status.get("lastRetry")
