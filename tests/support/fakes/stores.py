"""Where weights come from and archives go: S3 and Hugging Face."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pydantic import SecretStr

from tests.support.fakes.network import Wire
from together_operator.api.v1alpha1 import S3Location
from together_operator.domain import errors
from together_operator.domain.source import SourceFacts
from together_operator.ports import Credentials

HUB = "https://huggingface.co/"
SIGNED = "https://s3.test/"
_ACCESS_KEY = "AWS_ACCESS_KEY_ID"


@dataclass
class Repository:
    """A repository at Hugging Face. `token`, where set, is what reading it takes."""

    commit: str
    base_model: str | None
    token: str | None = None


@dataclass
class Stores:
    """Everything that is stored outside. `access_key`, where set, is what reading S3 takes."""

    loop: asyncio.AbstractEventLoop
    objects: dict[str, tuple[str, int]] = field(default_factory=dict)
    """ETag and bytes by `s3://bucket/key`."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    access_key: str | None = None
    no_buckets: set[str] = field(default_factory=set)
    """Buckets that somebody has removed, as `s3://bucket/`; only cleaning up meets that."""

    signed: dict[str, tuple[str, float]] = field(default_factory=dict)
    """What a signed URL gives access to, and until when."""

    _serial: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def put(self, uri: str, size: int = 100, etag: str = "") -> None:
        """Store an object."""
        self.objects[uri] = (etag or f"etag-{next(self._serial)}", size)

    def below(self, prefix: str) -> dict[str, tuple[str, int]]:
        """Objects of a prefix."""
        folder = prefix if prefix.endswith("/") else f"{prefix}/"
        return {uri: v for uri, v in self.objects.items() if uri.startswith(folder)}

    def digest(self, prefix: str) -> str:
        """Identity of what a prefix holds."""
        return "-".join(etag for etag, _ in self.below(prefix).values())

    def sign(self, uri: str, seconds: float) -> str:
        """A URL that gives access to an object."""
        url = f"{SIGNED}{uri.removeprefix('s3://')}?X-Amz-Signature=sig{len(self.signed)}"
        self.signed[url] = (uri, self.loop.time() + seconds)
        return url

    def fetch(self, url: str, token: str | None) -> None:
        """What Together does with a URL; errors.RemoteError with the reason why it can't."""
        if url.startswith(HUB):
            repository = self.repositories.get(url.removeprefix(HUB))
            if repository is None:
                raise errors.NotFound("the repository answered 404")
            if repository.token not in {None, token}:
                raise errors.Unauthorized(f"{url.removeprefix(HUB)} answered 401")
            return
        if not url.startswith(SIGNED):
            raise errors.Unavailable(f"{urlsplit(url).hostname} can't be reached")
        uri, until = self.signed.get(url, ("", 0.0))
        if self.loop.time() > until or uri not in self.objects:
            raise errors.Forbidden(f"{urlsplit(url).hostname} answered 403")

    def content_of(self, url: str) -> str:
        """Identity of what a URL without a signature gives access to."""
        if url.startswith(HUB):
            return self.repositories[url.removeprefix(HUB)].commit
        return self.objects[f"s3://{url.removeprefix(SIGNED)}"][0]

    def check(self, credentials: Credentials) -> None:
        """Refuse credentials that are not the present ones."""
        given = credentials.get(_ACCESS_KEY) if credentials is not None else None
        if self.access_key is not None and (
            given is None or given.get_secret_value() != self.access_key
        ):
            raise errors.Forbidden("S3: the access key is not known", status=403)


class FakeArchives:
    """`ArchiveStore`."""

    def __init__(self, stores: Stores, wire: Wire) -> None:
        self._stores = stores
        self._wire = wire

    async def head(self, location: S3Location, uri: str, credentials: Credentials) -> SourceFacts:
        """Size and ETag of one object."""
        del location

        def answer(_: float) -> SourceFacts:
            self._stores.check(credentials)
            if uri not in self._stores.objects:
                raise errors.NotFound("S3: there is no such object", status=404)
            etag, size = self._stores.objects[uri]
            return SourceFacts(revision=etag, files=1, size_bytes=size)

        return await self._wire.read("s3.head", answer)

    async def list_prefix(
        self, location: S3Location, uri: str, credentials: Credentials
    ) -> SourceFacts:
        """Files, bytes and a digest of a prefix."""
        del location

        def answer(_: float) -> SourceFacts:
            self._stores.check(credentials)
            found = self._stores.below(uri)
            if not found:
                raise errors.NotFound("S3: there is nothing below this prefix", status=404)
            size = sum(size for _, size in found.values())
            return SourceFacts(self._stores.digest(uri), files=len(found), size_bytes=size)

        return await self._wire.read("s3.list_prefix", answer)

    async def delete_archives(
        self,
        location: S3Location,
        folder: str,
        credentials: Credentials,
        *,
        keep_whole: bool = False,
    ) -> None:
        """Delete everything in a folder; nothing is ever unfinished there."""
        del location

        def effect() -> None:
            self._stores.check(credentials)
            if any(folder.startswith(bucket) for bucket in self._stores.no_buckets):
                raise errors.NotFound(f"{folder}: NoSuchBucket", status=404)
            for uri in self._stores.below(folder) if not keep_whole else ():
                del self._stores.objects[uri]

        await self._wire.write("s3.delete_archives", effect, errors.Unavailable)

    async def presign(
        self, location: S3Location, uri: str, credentials: Credentials, seconds: int
    ) -> SecretStr:
        """A signed URL."""
        del location

        def answer(_: float) -> SecretStr:
            self._stores.check(credentials)
            return SecretStr(self._stores.sign(uri, seconds))

        return await self._wire.read("s3.presign", answer)


class FakeHub:
    """`Hub`."""

    def __init__(self, stores: Stores, wire: Wire) -> None:
        self._stores = stores
        self._wire = wire

    async def look(
        self, repo: str, token: SecretStr | None, revision: str | None = None
    ) -> SourceFacts:
        """Commit, files, size and base model of a repository; every revision is its one commit."""

        def answer(_: float) -> SourceFacts:
            found = self._stores.repositories.get(repo)
            if found is None:
                raise errors.NotFound("Hugging Face: there is no such repository", status=404)
            given = token.get_secret_value() if token is not None else None
            if found.token not in {None, given}:
                raise errors.Unauthorized("Hugging Face: the token is not valid", status=401)
            return SourceFacts(found.commit, 3, 1000, found.base_model)

        return await self._wire.read("hub.look", answer)
