"""Where an archive goes, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from together_operator.archive.errors import TemporaryFailure
from together_operator.archive.layout import Part
from together_operator.archive.plan import FileRange, Plan


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
    """One archive on its way. `put` and `copy` are called from several threads."""

    layout: Sequence[Part]
    """How the archive is to be cut; empty when it is compressed and its size is not known."""
    present: Mapping[int, PresentPart]

    @property
    def copies(self) -> bool:
        """Whether the store copies at all."""

    def can_copy(self, index: int) -> bool:
        """Whether the store can bring bulk parts of entry `index` by itself."""

    def known_crc(self, index: int) -> int | None:
        """The CRC-32 of entry `index` as the store keeps it; asked only where `can_copy`."""

    def put(self, part: Part, body: PartBody) -> None: ...

    def copy(self, part: Part, bulk: FileRange) -> int | None:
        """Let the store copy a range; returns its CRC-32 if the store says so."""

    def complete(self, parts: Sequence[Part], crc: int | None) -> None:
        """Make the archive visible and prove it against `parts` and `crc`, that of the whole."""

    def abort(self) -> None:
        """Forget everything that was sent; for an archive that can never become right."""

    def close(self) -> None:
        """Let go of local resources; what was sent stays for the next run."""


class Destination(Protocol):
    @property
    def uri(self) -> str: ...

    def find_finished(self, plan: Plan) -> int | None:
        """The size in bytes of this very archive, if it is there already and complete."""

    def begin(self, plan: Plan, *, equal_parts: bool = False) -> Upload:
        """A new upload, or the unfinished one of the same plan. `equal_parts`: see below."""


class EqualPartsNeededError(TemporaryFailure):
    """The store turned out to take parts of one size only; begin again with `equal_parts`."""
