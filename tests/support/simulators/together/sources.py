"""Fetching what an import names: an archive behind a URL, or a repository of the hub.

The fetch is real, over HTTP. What goes wrong is either final (`SourceRefused`) or may pass
(`SourceUnavailable`), after which the platform tries again by itself.
"""

import asyncio
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

import aiohttp

_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_CHUNK = 1024 * 1024
Progress = Callable[[int, int | None], None]
"""Called with the bytes fetched so far and the total, where it is known."""


class SourceRefusedError(Exception):
    """The source said no, or holds the wrong thing: trying again can't help."""


class SourceUnavailableError(Exception):
    """The source can't be reached or answered with an error of its own."""


class Fetcher:
    """Fetches sources into directories.

    Args:
        hub_url: base URL that stands in for https://huggingface.co.
    """

    def __init__(self, session: aiohttp.ClientSession, hub_url: str | None) -> None:
        self._session = session
        self._hub_url = hub_url.rstrip("/") if hub_url else None

    def repository(self, url: str) -> str | None:
        """`org/name` when the URL is a repository of the hub, else None."""
        parts = urlsplit(url)
        hub = urlsplit(self._hub_url).netloc if self._hub_url else None
        path = PurePosixPath(parts.path.strip("/"))
        if (parts.hostname in _HUB_HOSTS or parts.netloc == hub) and len(path.parts) == 2:
            return str(path)
        return None

    async def fetch(
        self, url: str, token: str | None, into: Path, progress: Progress
    ) -> dict[str, Path]:
        """Bring the files of a source into a directory; gives local copies by their path.

        Raises:
            SourceRefusedError: e.g. 403, 404, not an archive.
            SourceUnavailableError: e.g. connection refused, 503, cut short.
        """
        repository = self.repository(url)
        try:
            if repository is not None:
                return await self._fetch_repository(repository, token, into, progress)
            archive = into / "archive"
            await self._download(url, archive, {}, progress)
            return await asyncio.to_thread(unpack, archive, into / "files")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SourceUnavailableError(f"connection failed ({type(error).__name__})") from error

    async def _fetch_repository(
        self, repository: str, token: str | None, into: Path, progress: Progress
    ) -> dict[str, Path]:
        if self._hub_url is None:
            raise SourceUnavailableError("huggingface.co can't be reached")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        info = f"{self._hub_url}/api/models/{quote(repository)}"
        async with self._session.get(info, params={"blobs": "true"}, headers=headers) as response:
            _check(response.status, f"repository {repository}")
            document = await response.json()
        sizes = {s["rfilename"]: s.get("size") or 0 for s in document["siblings"]}
        total = sum(sizes.values())
        before = 0
        files: dict[str, Path] = {}

        def advance(done: int, _: int | None) -> None:
            progress(before + done, total)

        for number, (name, size) in enumerate(sorted(sizes.items())):
            local = into / f"file-{number}"
            url = f"{self._hub_url}/{quote(repository)}/resolve/{document['sha']}/{quote(name)}"
            await self._download(url, local, headers, advance)
            files[name] = local
            before += size
        return files

    async def _download(
        self, url: str, target: Path, headers: dict[str, str], progress: Progress
    ) -> None:
        async with self._session.get(url, headers=headers) as response:
            _check(response.status, "remote URL")
            total, done = response.content_length, 0
            with target.open("wb") as stream:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    stream.write(chunk)
                    done += len(chunk)
                    progress(done, total)


def _check(status: int, what: str) -> None:
    reasons = {401: "unauthorized", 403: "forbidden", 404: "not found", 410: "gone"}
    if status in reasons:
        raise SourceRefusedError(f"{what} answered {status} ({reasons[status]})")
    if status >= 500 or status == 429:
        raise SourceUnavailableError(f"{what} answered {status}")
    if status != 200:
        raise SourceRefusedError(f"{what} answered {status}")


def unpack(archive: Path, into: Path) -> dict[str, Path]:
    """Unpack a .zip, .tar or .tar.gz, whichever the content is.

    Raises:
        SourceRefusedError: it is none of them, is damaged, or has unsafe names.
    """
    into.mkdir()
    try:
        if zipfile.is_zipfile(archive):
            files = _unzip(archive, into)
        elif tarfile.is_tarfile(archive):
            files = _untar(archive, into)
        else:
            raise SourceRefusedError("unsupported archive format, expected .zip, .tar or .tar.gz")
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise SourceRefusedError(f"the archive is damaged: {error}") from error
    archive.unlink()
    if not files:
        raise SourceRefusedError("the archive is empty")
    return files


def _unzip(archive: Path, into: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    with zipfile.ZipFile(archive) as opened:
        for number, info in enumerate(opened.infolist()):
            if info.is_dir():
                continue
            local = into / str(number)
            with opened.open(info) as source, local.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            files[_safe(info.filename)] = local
    return files


def _untar(archive: Path, into: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    with tarfile.open(archive) as opened:
        for number, member in enumerate(opened):
            source = opened.extractfile(member) if member.isfile() else None
            if source is None:
                continue
            local = into / str(number)
            with local.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            files[_safe(member.name)] = local
    return files


def _safe(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise SourceRefusedError(f"the archive holds an unsafe path: {name!r}")
    return str(path)
