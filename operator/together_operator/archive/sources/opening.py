"""A source from what a person wrote on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass

from together_operator.archive.errors import InvalidUsage
from together_operator.archive.locations import (
    HubLocation,
    LocalPath,
    S3Location,
    parse_source,
)
from together_operator.archive.sources import Source
from together_operator.archive.sources.directory import DirectorySource


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Where the S3 stores are; None leaves it to the environment. Those of the source fall back to
    those of the destination.
    """

    endpoint_url: str | None = None
    source_endpoint_url: str | None = None
    region: str | None = None
    source_region: str | None = None


def open_source(
    text: str,
    target: LocalPath | S3Location | None,
    options: StoreOptions,
    environ: Mapping[str, str],
) -> Source:
    """`target` is left out of the listing where it lies below an S3 prefix, and refused where it
    lies in a directory that is packed. Raises `InvalidUsage`.

    S3 and the hub are imported only when they are meant: each takes a third of a second.
    """
    location = parse_source(text)
    if isinstance(location, LocalPath):
        source = DirectorySource(location.path)
        if isinstance(target, LocalPath) and source.contains(target.path):
            # The next run would pack what this one has written.
            raise InvalidUsage(f"{target.path} is in the directory to pack; name a file outside it")
        return source
    if isinstance(location, HubLocation):
        from together_operator.archive.sources import hub

        return hub.open_repository(location, environ)
    if not location.is_prefix:
        raise InvalidUsage(f"{location} names an object; for a prefix, end it with '/'")
    from together_operator.archive import s3_wiring

    return s3_wiring.open_prefix(location, target, options, environ)
