"""S3 as the operator itself uses it: looking at sources, and signing URLs. Never on the event loop.

The calls are in `s3_calls`, which is imported with the first of them: boto3 takes 0.3 s to load.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from together_operator.adapters.strangers import Strangers
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.source import SourceFacts
from together_operator.ports import Credentials

if TYPE_CHECKING:
    from together_operator.adapters.s3_calls import S3Calls

T = TypeVar("T")

STRANGERS_AT_ONCE = 8
"""Calls to endpoints that users name. There may be many more reconciles at once: those whose turn
does not come within `PATIENCE` come back later, so that slow endpoints never hold all workers.
"""

PATIENCE = 10.0
"""Seconds that such a call waits for its turn."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class S3Archives:
    """`ArchiveStore` of the ports.

    Args:
        executor: bounded threads for calls to AWS and to the operator's own endpoint.
        addresses: where an endpoint that an object names may lead; another is an InputError.
        now: the wall clock, in UTC; compared with the end of credentials.
    """

    def __init__(
        self,
        executor: Executor,
        addresses: AddressPolicy,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._executor = executor
        self._addresses = addresses
        self._now = now
        self._strangers = Strangers(STRANGERS_AT_ONCE, PATIENCE)
        self._lock = threading.Lock()
        self._loaded: S3Calls | None = None

    async def head(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """Size in bytes and ETag of one object.

        Raises:
            SecretUnavailable: the credentials lack one of the two keys.
            NotFound, Forbidden, Unauthorized, RateLimited, Unavailable, Rejected.
        """
        return await self._run(location, lambda s3: s3.head(location, uri, credentials))

    async def list_prefix(
        self, location: S3Location, uri: str, credentials: Credentials
    ) -> SourceFacts:
        """Number of files, bytes and a digest of a prefix, directory markers left out.

        The digest is over each file's key below the prefix, size and ETag. Raises as `head`;
        a prefix without files is `NotFound`.
        """
        return await self._run(location, lambda s3: s3.list_prefix(location, uri, credentials))

    async def delete_archives(
        self,
        location: S3Location,
        folder: str,
        credentials: Credentials,
        *,
        keep_whole: bool = False,
    ) -> None:
        """Delete archives in a folder of ours, abort unfinished ones, and see that all are gone.

        With `keep_whole` only the unfinished ones. Raises as `head`, NotFound where there is no
        such bucket; Unavailable where one is still there.
        """
        await self._run(
            location,
            lambda s3: s3.delete_archives(location, folder, credentials, keep_whole=keep_whole),
        )

    async def presign(
        self, location: S3Location, uri: str, credentials: Credentials, seconds: int
    ) -> SecretStr:
        """A GET URL (SigV4) that stays valid for `seconds`, 7 days at most.

        Raises:
            InputError: the credentials themselves end earlier.
            SecretUnavailable, NotFound, Forbidden, Unauthorized, Unavailable: as `head`; on AWS
                the bucket is asked for its region.
            ValueError: more than 7 days were asked for.
        """
        return await self._run(location, lambda s3: s3.presign(location, uri, credentials, seconds))

    async def _run(self, location: S3Location, call: Callable[[S3Calls], T]) -> T:
        if location.endpoint_url:
            return await self._strangers.run(partial(self._call, call))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(self._call, call))

    def _call(self, call: Callable[[S3Calls], T]) -> T:
        return call(self._calls())

    def _calls(self) -> S3Calls:
        with self._lock:
            if self._loaded is None:
                from together_operator.adapters.s3_calls import S3Calls

                self._loaded = S3Calls(self._now, self._addresses)
            return self._loaded
