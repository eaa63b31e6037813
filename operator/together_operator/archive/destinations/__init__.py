"""Where an archive goes, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from together_operator.archive.layout import Part
from together_operator.archive.plan import Plan


class PartBody(Protocol):
    """The bytes of one part, produced again on each call so that a try can be repeated.

    A block is valid until the next one is asked for.
    """

    size: int

    def blocks(self) -> Iterator[memoryview]: ...

    @property
    def crc(self) -> int | None:
        """CRC-32 of the whole body: known in advance, or after `blocks` ran to its end."""


@dataclass(frozen=True, slots=True)
class PresentPart:
    """A part that an earlier run has sent; `crc` as the store computed it, if it did."""

    size: int
    crc: int | None
    etag: str = ""


class Upload(Protocol):
    """One archive on its way. Methods are called from several threads."""

    layout: Sequence[Part]
    present: Mapping[int, PresentPart]

    def put(self, part: Part, body: PartBody) -> None: ...

    def complete(self, crc: int | None) -> None:
        """Make the archive visible and prove it against the plan. `crc` is that of the whole."""

    def abort(self) -> None:
        """Forget everything that was sent; for an archive that will never be right."""

    def close(self) -> None:
        """Let go of local resources; what was sent stays for the next run."""


class Destination(Protocol):
    @property
    def uri(self) -> str: ...

    def find_finished(self, plan: Plan) -> bool:
        """Whether this very archive is there already, complete and of the right size."""

    def begin(self, plan: Plan) -> Upload:
        """A new upload, or the unfinished one of the same plan."""
