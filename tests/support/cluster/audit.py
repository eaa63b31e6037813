"""The API server's audit log: who asked what of it."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*"]},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True)
class AuditEntry:
    """One request: a watch has an entry when it starts and one when it ends, others have one."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    """HTTP status that was answered."""
    stage: str
    """ResponseComplete, or ResponseStarted for a watch or a followed log."""
    uri: str
    user_agent: str
    time: dt.datetime
    raw: dict[str, Any]
    """The whole audit event."""


def read_audit_log(path: Path, skip: int = 0) -> Iterator[AuditEntry]:
    """Yield the requests that the API server has answered, oldest first, without the first ones.

    The server writes an event before it ends its answer, so that the log always has the requests
    whose answer a client has seen.
    """
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= skip and line.endswith("\n"):
                yield _entry(json.loads(line))


def _entry(event: dict[str, Any]) -> AuditEntry:
    reference = event.get("objectRef", {})
    return AuditEntry(
        user=event["user"].get("username", ""),
        verb=event["verb"],
        group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        stage=event["stage"],
        uri=event["requestURI"],
        user_agent=event.get("userAgent", ""),
        time=dt.datetime.fromisoformat(event["stageTimestamp"]),
        raw=event,
    )
