"""What a run hands back: to people, to the operator, and as the pod's termination message."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from together_operator.archive.selection import Excluded

# Kubernetes cuts a container's termination message at 4,096 bytes.
_TERMINATION_LIMIT = 4096
_DEFAULT_TERMINATION_LOG = "/dev/termination-log"
_NAMED_EXCLUSIONS = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """Sizes in bytes; `digest` is the plan's, `sha256:<hex>`; `crc32` the archive's in hex."""

    uri: str
    format: str
    size_bytes: int
    digest: str
    files: int
    source_revision: str | None
    sent_bytes: int
    copied_bytes: int
    seconds: float
    resumed: bool
    excluded: tuple[Excluded, ...] = ()
    crc32: str | None = None

    def document(self) -> dict[str, object]:
        return {
            "uri": self.uri,
            "format": self.format,
            "sizeBytes": self.size_bytes,
            "digest": self.digest,
            "files": self.files,
            "sourceRevision": self.source_revision,
            "sentBytes": self.sent_bytes,
            "copiedBytes": self.copied_bytes,
            "seconds": round(self.seconds, 3),
            "resumed": self.resumed,
            "crc32": self.crc32,
            "excludedCount": len(self.excluded),
        }

    def line(self) -> str:
        """The last line of `--progress json`."""
        excluded = [asdict(item) for item in self.excluded[:_NAMED_EXCLUSIONS]]
        return json.dumps({"type": "result", **self.document(), "excluded": excluded})


def write_termination_message(environ: Mapping[str, str], document: Mapping[str, object]) -> None:
    """Leave `document` as compact JSON where Kubernetes looks for it, if there is such a place."""
    path = Path(environ.get("TERMINATION_MESSAGE_PATH") or _DEFAULT_TERMINATION_LOG)
    if "TERMINATION_MESSAGE_PATH" not in environ and not os.access(path, os.W_OK):
        return
    text = json.dumps(document, separators=(",", ":"))
    if len(text) > _TERMINATION_LIMIT:
        text = json.dumps({key: value for key, value in document.items() if key != "uri"})
    path.write_text(text[:_TERMINATION_LIMIT])
