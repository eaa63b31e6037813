"""Would Together accept this? Pure rules over a listing and a way to read ranges of its files.

Only headers are read: a few KiB a file, whatever the weights weigh. `inspect_files` is what the
archiver, `together-operator check` and the operator's `SourceReady` share.
"""

from collections.abc import Sequence

from together_operator.archive.check.adapter import adapter_findings
from together_operator.archive.check.finding import Finding, Listing, Severity
from together_operator.archive.check.model import LARGEST_NODE_BYTES, model_findings
from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.sources import Entry, Source

__all__ = [
    "LARGEST_NODE_BYTES",
    "Finding",
    "Listing",
    "Severity",
    "inspect_files",
    "inspect_source",
    "refuse_unacceptable",
]


def inspect_files(
    listing: Listing, *, largest_node_bytes: int = LARGEST_NODE_BYTES
) -> list[Finding]:
    """Every problem, errors first. `largest_node_bytes`: accelerator memory of the largest node."""
    if "adapter_config.json" in listing or "adapter_model.safetensors" in listing:
        found = adapter_findings(listing)
    else:
        found = model_findings(listing, largest_node_bytes)
    return sorted(found, key=lambda finding: finding.severity != "error")


def inspect_source(source: Source, entries: Sequence[Entry]) -> list[Finding]:
    """`inspect_files` over chosen entries of a source."""
    by_name = {entry.name: entry for entry in entries}

    def read(name: str, offset: int, length: int) -> bytes:
        out = bytearray(length)
        view, position = memoryview(out), 0
        with source.open(by_name[name], offset, length) as reader:
            while count := reader.readinto(view[position:]):
                position += count
        return bytes(out[:position])

    return inspect_files(Listing({entry.name: entry.size for entry in entries}, read))


def refuse_unacceptable(findings: Sequence[Finding]) -> None:
    """Raises `SourceUnacceptable` with the first error and the number of further ones."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more; see `check`)" if len(errors) > 1 else ""
        raise SourceUnacceptable(f"{errors[0].problem}; {errors[0].remedy}{more}")
