"""Conditions of an object, as a client reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Body = Mapping[str, Any]


def condition(body: Body, kind: str) -> Mapping[str, Any]:
    """The condition `kind` of an object; empty when it has none."""
    conditions = body.get("status", {}).get("conditions", ())
    return next((found for found in conditions if found["type"] == kind), {})


def reason(body: Body | None) -> str:
    """Reason of the condition `Ready`; empty for what is not there or has none."""
    return str(condition(body or {}, "Ready").get("reason", ""))


def is_ready(body: Body) -> bool:
    """Ready by the rules of kstatus: for the generation that the object has."""
    observed = body.get("status", {}).get("observedGeneration")
    ready = condition(body, "Ready").get("status") == "True"
    return ready and observed == body["metadata"]["generation"]
