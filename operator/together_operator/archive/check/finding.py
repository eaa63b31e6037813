"""What a check says, and what it looks at."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]
# Nothing that a check reads as JSON is honestly larger; an index of 100,000 tensors has 8 MiB.
MAX_JSON = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is stable (`safetensors/truncated`); an error means that an import would fail."""

    rule: str
    severity: Severity
    problem: str
    remedy: str

    def document(self) -> dict[str, str]:
        return asdict(self)


class UnreadableJsonError(Exception):
    """`args[0]` says in a few words why."""


class Listing:
    """File names with sizes in bytes, and `read(name, offset, length)`, which may return less only
    at a file's end.
    """

    def __init__(self, sizes: Mapping[str, int], read: Callable[[str, int, int], bytes]) -> None:
        self.sizes = sizes
        self.read = read

    def __contains__(self, name: str) -> bool:
        return name in self.sizes

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.sizes))

    def json(self, name: str) -> dict[str, object]:
        """A JSON object. Raises `UnreadableJsonError`."""
        size = self.sizes[name]
        if size > MAX_JSON:
            raise UnreadableJsonError(f"has {size} bytes, which no such file honestly has")
        return parse_object(self.read(name, 0, size))


def parse_object(data: bytes) -> dict[str, object]:
    """Raises `UnreadableJsonError` unless `data` is one JSON object in UTF-8."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise UnreadableJsonError("is not valid JSON") from None
    if not isinstance(document, dict):
        raise UnreadableJsonError("is not a JSON object")
    return document
