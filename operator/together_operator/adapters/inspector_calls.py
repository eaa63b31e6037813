"""The blocking looks into sources, bounded in bytes and time, and their errors translated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from together_operator.archive.check import LARGEST_NODE_BYTES, Finding, Listing, inspect_files
from together_operator.archive.check.archive_file import RangeFile, archive_findings
from together_operator.archive.check.remote import open_remote
from together_operator.archive.errors import (
    ArchiveError,
    PermissionRefused,
    TemporaryFailure,
)
from together_operator.archive.locations import HubLocation, format_of
from together_operator.archive.network import AddressRefused
from together_operator.archive.selection import select
from together_operator.archive.sources import Entry, Source
from together_operator.archive.sources.hub import HubSource
from together_operator.archive.sources.opening import StoreOptions
from together_operator.domain import errors
from together_operator.domain.addresses import VARIABLE, AddressPolicy
from together_operator.domain.conditions import Reason
from together_operator.ports import BehindUrl, InRepository, InStore, Place

if TYPE_CHECKING:
    from together_operator.adapters.inspector_stores import Stores

SECONDS = 60.0
"""For one source. The largest models have some hundred shards, with two requests each."""

MAX_BYTES = 64 << 20
"""Read of one source: all headers and the index of a model with 100,000 tensors have 20 MiB."""

MAX_READ = 12 << 20
"""At once. A parsed header takes ten times its size, and a compressed one may be a bomb."""

_MAGIC = {b"PK": ".zip", b"\x1f\x8b": ".tar.gz"}


class _TooMuchError(Exception):
    """The look has reached a bound: what fetches the source will check it."""


@dataclass
class _Budget:
    """What a look may still read, and until when."""

    ends: float = field(default_factory=lambda: time.monotonic() + SECONDS)
    left: int = MAX_BYTES

    def spend(self, length: int) -> None:
        """Before a read of `length` bytes."""
        self.left -= length
        if length > MAX_READ or self.left < 0 or time.monotonic() > self.ends:
            raise _TooMuchError

    def pause(self, seconds: float) -> None:
        """Between tries."""
        if time.monotonic() + seconds > self.ends:
            raise _TooMuchError
        time.sleep(seconds)


class Inspections:
    """One look after the other, in whichever thread calls."""

    def __init__(self, hub_endpoint: str, addresses: AddressPolicy) -> None:
        self._hub_endpoint = hub_endpoint
        self._addresses = addresses
        self._lock = threading.Lock()
        self._stores: Stores | None = None

    def inspect(self, place: Place, largest_node: int | None) -> list[str]:
        """Each problem with its remedy. Raises errors of `domain.errors`."""
        budget = _Budget()
        bound = largest_node or LARGEST_NODE_BYTES

        def rules(listing: Listing) -> list[Finding]:
            # What a compressed archive gives is more than what is read of it.
            bounded = Listing(listing.sizes, _bounded(listing.read, budget))
            return inspect_files(bounded, largest_node_bytes=bound)

        try:
            with _errors():
                found = self._findings(place, budget, rules)
        except _TooMuchError:
            return []
        bad = (finding for finding in found if finding.severity == "error")
        return [f"{finding.problem}: {finding.remedy}" for finding in bad]

    def _findings(
        self, place: Place, budget: _Budget, rules: Callable[[Listing], list[Finding]]
    ) -> Sequence[Finding]:
        if isinstance(place, BehindUrl):
            restricted = {VARIABLE: str(self._addresses)}
            name, file = open_remote(place.url.get_secret_value(), StoreOptions(), restricted)
            return _in_archive(name, file, budget, rules)
        if isinstance(place, InRepository):
            token = place.token.get_secret_value() if place.token is not None else None
            location = HubLocation(place.repo, place.commit)
            return _in_files(
                HubSource(
                    location,
                    token=token,
                    endpoint=self._hub_endpoint,
                    policy=self._addresses,
                    sleep=budget.pause,
                ),
                rules,
            )
        return self._store_findings(place, budget, rules)

    def _store_findings(
        self, place: InStore, budget: _Budget, rules: Callable[[Listing], list[Finding]]
    ) -> Sequence[Finding]:
        with self._lock:
            if self._stores is None:
                # boto3 takes as long to load as all the rest; only sources in S3 need it.
                from together_operator.adapters.inspector_stores import Stores

                self._stores = Stores(self._addresses)
        with self._stores.opened(place) as (folder, entry):
            if entry is None:
                return _in_files(folder, rules)
            read = partial(_read, folder, entry)
            return _in_archive(entry.name, RangeFile(read, entry.size), budget, rules)


def _in_files(source: Source, rules: Callable[[Listing], list[Finding]]) -> list[Finding]:
    """The files that the worker would pack, or that Together would take."""
    chosen = {entry.name: entry for entry in select(source.entries()).kept}
    sizes = {name: entry.size for name, entry in chosen.items()}
    return rules(Listing(sizes, lambda name, at, size: _read(source, chosen[name], at, size)))


def _in_archive(
    name: str, file: RangeFile, budget: _Budget, rules: Callable[[Listing], list[Finding]]
) -> list[Finding]:
    def read(offset: int, length: int) -> bytes:
        budget.spend(length)
        file.seek(offset)
        return file.read(length)

    if format_of(name) is None:
        # A signed URL may lead to an archive by any name.
        start = read(0, 2)
        name += next((end for magic, end in _MAGIC.items() if start == magic), ".tar")
    return archive_findings(name, RangeFile(read, file.size), rules)


def _bounded(
    read: Callable[[str, int, int], bytes], budget: _Budget
) -> Callable[[str, int, int], bytes]:
    def bounded(name: str, offset: int, length: int) -> bytes:
        budget.spend(length)
        return read(name, offset, length)

    return bounded


def _read(source: Source, entry: Entry, offset: int, length: int) -> bytes:
    out = bytearray(length)
    view, position = memoryview(out), 0
    with source.open(entry, offset, length) as reader:
        while count := reader.readinto(view[position:]):
            position += count
    return bytes(out[:position])


@contextmanager
def _errors() -> Iterator[None]:
    """The worker's errors become ours; their messages quote no remote body and no signed URL."""
    try:
        yield
    except AddressRefused as error:
        raise errors.InputError(Reason.ADDRESS_REFUSED, str(error)) from None
    except PermissionRefused as error:
        raise errors.Forbidden(str(error)) from None
    except TemporaryFailure as error:
        raise errors.Unavailable(str(error)) from None
    except ArchiveError as error:
        raise errors.InputError(Reason.SOURCE_INVALID, str(error)) from None
