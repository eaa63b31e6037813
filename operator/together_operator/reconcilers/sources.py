"""Looking at a CustomModel's source, and what Together is given of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from pydantic import SecretStr

from together_operator.api.v1alpha1 import CustomModel, S3Location
from together_operator.domain.archive_manifest import Worker
from together_operator.domain.conditions import Reason
from together_operator.domain.errors import InputError, NotFound, OperatorError, Unavailable
from together_operator.domain.source import (
    SourceFacts,
    check_addresses,
    check_presigned,
    may_change,
    needs_archive,
    presigned_facts,
    problems,
    source_digest,
)
from together_operator.ports import (
    ArchiveStore,
    BehindUrl,
    Credentials,
    Hub,
    InRepository,
    Inspector,
    InStore,
    Jobs,
    Place,
    Secrets,
)
from together_operator.reconcilers.account import Accounts, read_key
from together_operator.reconcilers.driver import World
from together_operator.reconcilers.rounds import Rounds

log = structlog.get_logger(__name__)

URL_SECONDS = 120 * 60
"""Together needs a URL for 100 minutes from the import's start; twenty more are the margin."""

LOOK_SECONDS = 300.0
"""For everything that a look at one source asks: a bit more than two calls to a slow endpoint with
their turns (`adapters.strangers`, 130 s and 150 s). Other calls have bounds for each answer only.
"""


@dataclass
class Outside:
    """The systems that a CustomModel touches besides its own object.

    Args:
        worker: what archive Jobs are made of.
        inspector: looks into sources before anything is started; None: nobody does.
        source_seconds: between looks at a source that has been imported; 0: none is looked at.
    """

    accounts: Accounts
    secrets: Secrets
    jobs: Jobs
    archives: ArchiveStore
    hub: Hub
    worker: Worker
    inspector: Inspector | None = None
    source_seconds: float = 0.0


@dataclass
class Sources:
    """See the module."""

    world: World
    outside: Outside
    objects: Callable[[], int]
    """How many CustomModels there are."""

    _rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        started = self.world.process.started
        self._rounds = Rounds(self.outside.source_seconds, started, self.objects)

    async def look(self, cm: CustomModel) -> SourceFacts:
        """What is there, once it was found to be what Together takes.

        Raises:
            InputError: it is not; the message names every problem with its remedy.
            Unavailable: it takes too long.
        """
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                return await self._inspected(cm)
        except TimeoutError:
            raise Unavailable("the source takes too long to answer") from None

    async def _inspected(self, cm: CustomModel) -> SourceFacts:
        check_addresses(cm.spec, self.outside.worker.addresses)
        facts, place = await self._look(cm)
        known, digest = cm.status.source, source_digest(cm.spec)
        if known is not None and (known.digest, known.revision or "") == (digest, facts.revision):
            return facts  # it was inspected before it was recorded
        if place is not None and self.outside.inspector is not None:
            node = await self._largest_node(cm)
            found = await self.outside.inspector.inspect(place, facts.revision, node)
            if found:
                raise InputError(Reason.SOURCE_INVALID, problems(found))
        return facts

    def is_due(self, cm: CustomModel) -> bool:
        """Whether an imported source should be looked at again, to see if it has changed."""
        return may_change(cm.spec) and self.is_turn_of(cm.metadata.uid)

    def is_turn_of(self, uid: str) -> bool:
        """Whether it is an object's turn, if its source may change at all."""
        return self._rounds.is_due(uid, self.world.now())

    async def look_again(self, cm: CustomModel) -> SourceFacts | None:
        """What became of an imported source; None where that can't be told: the model is there."""
        self._rounds.looked(cm.metadata.uid, self.world.now())
        try:
            return await self.look(cm)
        except OperatorError as error:
            log.warning("cannot look at the source again", object=cm.key, error=str(error))
            return None

    async def credentials(self, cm: CustomModel, location: S3Location) -> Credentials:
        """What may read or write there."""
        if location.credentials_secret_ref is None:
            return None
        name = location.credentials_secret_ref.name
        return await self.outside.secrets.read(cm.metadata.namespace, name)

    async def is_archive_there(self, cm: CustomModel) -> bool:
        """False when the archive of a Job was deleted by somebody: it has to be packed again."""
        archive, settings = cm.status.archive, cm.spec.archive
        if settings is None or archive is None or archive.uri is None:
            return True
        credentials = await self.credentials(cm, settings.destination)
        try:
            await self.outside.archives.head(settings.destination, archive.uri, credentials)
        except NotFound:
            return False
        return True

    async def remote_url(self, cm: CustomModel) -> tuple[SecretStr, SecretStr | None]:
        """What Together shall fetch, signed anew for every attempt, and the token for it."""
        source, archive = cm.spec.source, cm.status.archive
        if needs_archive(cm.spec):
            assert cm.spec.archive is not None  # the CRD's rule for sources that are packed
            uri = (archive.uri if archive is not None else None) or ""
            return await self._signed(cm, cm.spec.archive.destination, uri), None
        if source.hugging_face is not None:
            url = f"https://huggingface.co/{source.hugging_face.repo}"
            return SecretStr(url), await self._token(cm)
        if source.s3 is not None:
            return await self._signed(cm, source.s3, source.s3.uri), None
        given = await self._presigned(cm)
        check_presigned(given, self.outside.worker.addresses)
        presigned_facts(given, self.world.now())
        return given, None

    async def _signed(self, cm: CustomModel, location: S3Location, uri: str) -> SecretStr:
        credentials = await self.credentials(cm, location)
        return await self.outside.archives.presign(location, uri, credentials, URL_SECONDS)

    async def _look(self, cm: CustomModel) -> tuple[SourceFacts, Place | None]:
        """Identity of what is there, and where it can be inspected before it is fetched."""
        source = cm.spec.source
        if source.hugging_face is not None:
            hub, token = source.hugging_face, await self._token(cm)
            facts = await self.outside.hub.look(hub.repo, token, hub.revision)
            return facts, InRepository(hub.repo, facts.revision, token)
        if source.s3 is not None:
            credentials = await self.credentials(cm, source.s3)
            archives = self.outside.archives
            read: Callable[..., Awaitable[SourceFacts]]
            read = archives.list_prefix if needs_archive(cm.spec) else archives.head
            facts = await read(source.s3, source.s3.uri, credentials)
            return facts, InStore(source.s3, source.s3.uri, credentials)
        if source.persistent_volume_claim is not None:
            return SourceFacts(revision=""), None  # the Job looks into the volume
        url = await self._presigned(cm)
        check_presigned(url, self.outside.worker.addresses)
        return presigned_facts(url, self.world.now()), BehindUrl(url)

    async def _token(self, cm: CustomModel) -> SecretStr | None:
        source = cm.spec.source.hugging_face
        if source is None or source.token_secret_ref is None:
            return None
        return await read_key(self.outside.secrets, cm.metadata.namespace, source.token_secret_ref)

    async def _presigned(self, cm: CustomModel) -> SecretStr:
        source = cm.spec.source.presigned_url
        if source is None:
            raise InputError(Reason.SOURCE_INVALID, "spec.source names no source")
        return await read_key(self.outside.secrets, cm.metadata.namespace, source.secret_key_ref)

    async def _largest_node(self, cm: CustomModel) -> int | None:
        """Bytes of accelerator memory, if Together's price list can be had and says it."""
        try:
            reference = cm.spec.api_key_secret_ref
            account = await self.outside.accounts.of(cm.metadata.namespace, reference)
            types = await account.instance_types()
        except OperatorError:
            return None
        sizes = [t.gpu_memory_gib * t.count for t in types if t.gpu_memory_gib is not None]
        return int(max(sizes) * 2**30) if sizes else None
