"""A Hugging Face repository at one commit: metadata by `huggingface_hub`, bytes by range."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from huggingface_hub import HfApi, get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from together_operator.archive.errors import (
    ArchiveError,
    PermissionRefused,
    SourceUnacceptable,
    TemporaryFailure,
)
from together_operator.archive.locations import HubLocation
from together_operator.archive.network import only, policy_of
from together_operator.archive.sources import Entry, RangeReader
from together_operator.domain.addresses import AddressPolicy

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

# In a row without a byte; the pauses between them add up to a minute and a half.
_TRIES = 8
_READ_TIMEOUT_SECONDS = 60.0


def open_repository(location: HubLocation, environ: Mapping[str, str]) -> "HubSource":
    """Token and endpoint from `HF_TOKEN` and `HF_ENDPOINT`, as everywhere."""
    return HubSource(
        location,
        token=environ.get("HF_TOKEN") or None,
        endpoint=environ.get("HF_ENDPOINT") or None,
        policy=policy_of(environ),
    )


class HubSource:
    """`sleep` (seconds) is called between tries.

    The endpoint is trusted; `policy` is for where it redirects to.
    """

    def __init__(
        self,
        location: HubLocation,
        *,
        token: str | None,
        endpoint: str | None,
        policy: AddressPolicy | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._policy = policy
        self._location = location
        self._token = token
        self._api = HfApi(endpoint=endpoint, token=token or False)
        self._sleep = sleep
        self._commit: str | None = None
        self._addresses: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def uri(self) -> str:
        return str(self._location)

    @property
    def revision(self) -> str | None:
        return self._commit

    def entries(self) -> Sequence[Entry]:
        repo = self._location.repo
        try:
            info = self._api.model_info(repo, revision=self._location.revision, files_metadata=True)
        except Exception as error:  # noqa: BLE001
            raise _translated(error, str(self._location)) from None
        self._commit = info.sha
        return [_entry(sibling) for sibling in info.siblings or []]

    @contextmanager
    def open(self, entry: Entry, offset: int, length: int) -> Iterator[RangeReader]:
        reader = _HubRange(self, entry, offset, length)
        try:
            yield reader
        finally:
            reader.close()

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        """A commit does not change, and each file's hash was verified while it was read."""

    def address(self, entry: Entry) -> str:
        """Where the bytes are: often a signed URL of a CDN, so never to be shown."""
        with self._lock:
            known = self._addresses.get(entry.name)
        if known is None:
            url = hf_hub_url(
                self._location.repo,
                entry.name,
                revision=self._commit,
                endpoint=self._api.endpoint,
            )
            try:
                known = get_hf_file_metadata(url, token=self._token or False).location
            except Exception as error:  # noqa: BLE001
                raise _translated(error, repr(entry.name)) from None
            with self._lock:
                self._addresses[entry.name] = known
        return known

    def forget_address(self, entry: Entry) -> None:
        """It may have expired."""
        with self._lock:
            self._addresses.pop(entry.name, None)

    def headers(self, address: str) -> dict[str, str]:
        """The token goes to the hub itself only."""
        known = self._is_own(address) and self._token
        return {"Authorization": f"Bearer {self._token}"} if known else {}

    def connecting(self, address: str) -> AbstractContextManager[None]:
        """Inside of it, connections for this address go where they may."""
        if self._is_own(address):
            return nullcontext()
        return only(self._policy, address, "where the hub keeps the file")

    def _is_own(self, address: str) -> bool:
        return urlsplit(address).netloc == urlsplit(self._api.endpoint).netloc

    def pause(self, tries: int) -> None:
        self._sleep(min(20.0, 0.5 * 2**tries))


class _HubRange:
    """A GET that goes on where it broke off."""

    def __init__(self, source: HubSource, entry: Entry, offset: int, length: int) -> None:
        self._source = source
        self._entry = entry
        self._offset = offset
        self._left = length
        self._tries = 0
        self._response: Any = None  # httpx's, of whichever generation huggingface_hub has
        self._chunks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        while self._left:
            if not self._rest:
                self._rest = memoryview(self._next_chunk())
            count = min(len(self._rest), len(buffer), self._left)
            buffer[:count] = self._rest[:count]
            self._rest = self._rest[count:]
            self._offset += count
            self._left -= count
            if count:
                self._tries = 0
                return count
        return 0

    def _next_chunk(self) -> bytes:
        try:
            if self._response is None and not self._connect():
                return b""
            chunk = next(self._chunks, b"")
        except ArchiveError:
            raise
        except Exception as error:  # noqa: BLE001
            chunk = b""
            self._break(type(error).__name__)
        else:
            if not chunk:
                self._break("ended early")
        return chunk

    def _connect(self) -> bool:
        """False when the answer was not the range; the pause before the next try is over then."""
        address = self._source.address(self._entry)
        session = get_session()
        request = session.build_request(
            "GET",
            address,
            headers={
                "Range": f"bytes={self._offset}-{self._offset + self._left - 1}",
                "Accept-Encoding": "identity",
                **self._source.headers(address),
            },
            timeout=_READ_TIMEOUT_SECONDS,
        )
        with self._source.connecting(address):
            self._response = session.send(request, stream=True, follow_redirects=False)
        status = self._response.status_code
        whole = status == 200 and not self._offset
        if status != 206 and not whole:
            self._source.forget_address(self._entry)
            self._break(f"status {status}")
            return False
        self._chunks = self._response.iter_raw(256 << 10)
        return True

    def _break(self, why: str) -> None:
        self.close()
        self._tries += 1
        if self._tries >= _TRIES:
            raise TemporaryFailure(f"reading {self._entry.name!r} kept failing ({why}); run again")
        self._source.pause(self._tries)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
            self._chunks = iter(())


def _entry(sibling: "RepoSibling") -> Entry:
    if sibling.size is None:
        raise TemporaryFailure(f"the hub does not say the size of {sibling.rfilename!r}")
    if sibling.lfs is not None:
        return Entry(sibling.rfilename, sibling.size, f"sha256:{sibling.lfs.sha256}")
    return Entry(sibling.rfilename, sibling.size, f"git:{sibling.blob_id}")


def _translated(error: Exception, what: str) -> ArchiveError:
    """From huggingface_hub's errors, whose texts quote URLs and remote bodies."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if isinstance(error, GatedRepoError):
        return PermissionRefused(f"{what}: gated; accept its terms and set HF_TOKEN")
    if isinstance(error, RepositoryNotFoundError) or status in (401, 403):
        return PermissionRefused(
            f"{what}: not found or not allowed; check the name, and HF_TOKEN if it is private"
        )
    if isinstance(error, (RevisionNotFoundError, HFValidationError)) or status == 404:
        return SourceUnacceptable(f"{what}: no such revision or file; check the name")
    if isinstance(error, HfHubHTTPError):
        return TemporaryFailure(f"{what}: the hub answers {status}; run again")
    return TemporaryFailure(f"{what}: {type(error).__name__}; check HF_ENDPOINT, run again")
