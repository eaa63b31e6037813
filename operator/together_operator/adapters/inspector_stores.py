"""Sources in S3 as the checks see them. Apart from the others, since boto3 is slow to load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from together_operator.adapters.s3_calls import translated
from together_operator.adapters.s3_clients import Clients
from together_operator.archive.locations import S3Location
from together_operator.archive.sources import Entry
from together_operator.archive.sources.s3 import S3Source
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.source import is_archive_uri
from together_operator.ports import InStore


class Stores:
    """Opens places; connections are shared by all looks. Every call blocks."""

    def __init__(self, addresses: AddressPolicy) -> None:
        self._clients = Clients(addresses)

    @contextmanager
    def opened(self, place: InStore) -> Iterator[tuple[S3Source, Entry | None]]:
        """The folder, and the archive in it if the place is one.

        Raises:
            errors.OperatorError: it can't be looked at, also while it is read.
        """
        bucket, _, key = place.uri.removeprefix("s3://").partition("/")
        with translated(place.uri):
            identity = self._clients.identity(place.location, place.credentials)
            client = self._clients.client(identity, place.location, bucket)
            if not is_archive_uri(place.uri):
                prefix = key if not key or key.endswith("/") else f"{key}/"
                yield S3Source(client, S3Location(bucket, prefix)), None
                return
            folder, _, name = key.rpartition("/")
            source = S3Source(client, S3Location(bucket, f"{folder}/" if folder else ""))
            yield source, source.entry(name)
