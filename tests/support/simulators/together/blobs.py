"""Imported files on disk, each content once, named by its S3-style ETag."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from tests.support.simulators.together.records import StoredFile

_PART = 20 * 1024 * 1024
"""Part size that the API's own direct upload uses, and so its ETags."""


class Blobs:
    """A directory of contents."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def adopt(self, path: str, local: Path) -> StoredFile:
        """Move a downloaded file here; `path` is its name in the model."""
        stored = StoredFile(path=path, size=local.stat().st_size, etag=etag_of(local))
        target = self.open_path(stored)
        if target.exists():
            local.unlink()
        else:
            local.replace(target)
        return stored

    def open_path(self, file: StoredFile) -> Path:
        """Where the content is."""
        return self._directory / f"{file.etag}-{file.size}"

    def count(self) -> int:
        """Number of contents."""
        return sum(1 for _ in self._directory.iterdir())

    def remove_unused(self, gone: Iterable[StoredFile], kept: Iterable[StoredFile]) -> None:
        """Remove the contents of `gone` that none of `kept` has."""
        wanted = {self.open_path(file) for file in kept}
        for blob in {self.open_path(file) for file in gone} - wanted:
            blob.unlink(missing_ok=True)


def etag_of(path: Path) -> str:
    """MD5 of a file, or of its parts' MD5s with their number, as S3 has it."""
    parts: list[bytes] = []
    with path.open("rb") as stream:
        while chunk := stream.read(_PART):
            parts.append(hashlib.md5(chunk, usedforsecurity=False).digest())
    if len(parts) <= 1:
        return parts[0].hex() if parts else hashlib.md5(b"", usedforsecurity=False).hexdigest()
    whole = hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(parts)}"
