"""What was asked of the simulator: every change in full, reads as counts by route."""

import hashlib
import json
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class AuditEntry(BaseModel):
    """One mutating call. No header, body or signed URL is kept."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    time: float
    """Seconds since the epoch, when the request came in."""

    method: str
    path: str
    resource: str
    """What was changed: model, import, endpoint, deployment or rollout."""

    id: str = ""
    name: str = ""
    """Bare name of the thing; of the model, for an import."""

    fields: list[str] = Field(default_factory=list)
    """Names of the fields that were sent."""

    status: int
    """HTTP status that the handler came to, or 0 when it never ran."""

    committed: bool
    """Whether something was changed."""

    fault: str | None = None
    """Effect of the fault that was applied."""

    validate_only: bool = False
    user_agent: str = ""
    key_hash: str = ""
    """First characters of the SHA-256 of the API key."""


class Audit:
    """The log.

    Args:
        path: file of JSON lines to append to, so that it survives the process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[AuditEntry] = []
        self.calls: Counter[str] = Counter()
        """Number of calls by method and route, such as `GET /v2/projects/{p}/models`."""

        self._path = path
        if path is not None and path.exists():
            lines = path.read_text().splitlines()
            self.entries = [AuditEntry.model_validate(json.loads(line)) for line in lines]

    def record(self, entry: AuditEntry) -> None:
        """Append an entry."""
        self.entries.append(entry)
        if self._path is not None:
            with self._path.open("a") as stream:
                stream.write(entry.model_dump_json(by_alias=True) + "\n")


def key_hash(key: str) -> str:
    """How a key is named in the log."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]
