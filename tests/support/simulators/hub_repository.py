"""A repository of the simulated hub: directories as commits, with git's and LFS's hashes."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

_LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".h5", ".onnx", ".pt", ".msgpack")
_LFS_SIZE = 10 * 1024 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file: `lfs_digest` is the SHA-256 of one that is kept in LFS."""

    path: str
    local: Path
    size: int
    blob_id: str
    lfs_digest: str | None


class Snapshot:
    """The files of one commit. Hashes are computed when first needed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        found = (path for path in directory.rglob("*") if path.is_file())
        self.paths = sorted(path.relative_to(directory).as_posix() for path in found)

    @cached_property
    def commit(self) -> str:
        """The commit's id: 40 hexadecimal digits that follow from the contents."""
        listing = "\n".join(f"{f.blob_id} {f.path}" for f in self._files.values())
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()

    def files(self) -> dict[str, RepoFile]:
        """The files by path."""
        return self._files

    def card(self) -> dict[str, Any]:
        """The metadata at the head of README.md."""
        readme = self.directory / "README.md"
        if not readme.exists():
            return {}
        text = readme.read_text()
        if not text.startswith("---\n"):
            return {}
        loaded = yaml.safe_load(text[4:].partition("\n---")[0])
        return loaded if isinstance(loaded, dict) else {}

    @cached_property
    def _files(self) -> dict[str, RepoFile]:
        return {path: _hash(path, self.directory / path) for path in self.paths}


class Repository:
    """A model repository with its revisions."""

    def __init__(self, name: str, *, private: bool = False, gated: bool = False) -> None:
        self.name = name
        self.private = private
        self.gated = gated
        self._snapshots: dict[str, Snapshot] = {}

    def commit(self, revision: str, directory: Path) -> None:
        """Let a branch or tag point to the present content of a directory.

        An earlier content can still be read by its commit id as long as its directory is there.
        """
        previous = self._snapshots.get(revision)
        if previous is not None:
            self._snapshots[previous.commit] = previous
        self._snapshots[revision] = Snapshot(directory)

    def snapshot(self, revision: str) -> Snapshot | None:
        """The files of a branch, tag or commit id."""
        if revision in self._snapshots:
            return self._snapshots[revision]
        return next((s for s in self._snapshots.values() if s.commit == revision), None)

    def by_digest(self, digest: str) -> RepoFile | None:
        """The LFS file with this SHA-256."""
        for snapshot in self._snapshots.values():
            for file in snapshot.files().values():
                if file.lfs_digest == digest:
                    return file
        return None


def _hash(path: str, local: Path) -> RepoFile:
    status = local.stat()
    return _hash_content(path, local, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_content(path: str, local: Path, size: int, _modified: int) -> RepoFile:
    """Hash a file once, however many hubs serve it; `_modified` is there for the cache's key."""
    if not path.endswith(_LFS_SUFFIXES) and size < _LFS_SIZE:
        return RepoFile(path, local, size, _git_blob(local.read_bytes()), None)
    digest = hashlib.sha256()
    with local.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    oid = digest.hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
    return RepoFile(path, local, size, _git_blob(pointer.encode()), oid)


def _git_blob(content: bytes) -> str:
    head = f"blob {len(content)}\0".encode()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()
