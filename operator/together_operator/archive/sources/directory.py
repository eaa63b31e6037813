"""A directory: a volume claim mounted into the Job, or a folder on a laptop."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from together_operator.archive.errors import (
    ArchiveError,
    PermissionRefused,
    SourceChanged,
    SourceUnacceptable,
    TemporaryFailure,
)
from together_operator.archive.selection import excluded_directory
from together_operator.archive.sources import Entry, RangeReader


class DirectorySource:
    """Files below `root`, symbolic links followed as long as they stay inside it.

    A snapshot in a Hugging Face cache (`models--*/snapshots/<rev>`) may also link into the cache's
    own `blobs` folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._paths: dict[str, str] = {}
        self._allowed: tuple[str, ...] = ()

    @property
    def uri(self) -> str:
        return f"file://{self._root.resolve()}"

    @property
    def revision(self) -> str | None:
        parent = self._root.resolve().parent
        in_cache = parent.name == "snapshots" and parent.parent.name.startswith("models--")
        return self._root.resolve().name if in_cache else None

    def contains(self, path: Path) -> bool:
        """Whether `path`, which need not exist, is below this directory."""
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self._root))

    def entries(self) -> Sequence[Entry]:
        try:
            real_root = os.path.realpath(self._root, strict=True)
        except OSError:
            raise SourceUnacceptable(f"{self._root} does not exist; name a directory") from None
        if not Path(real_root).is_dir():
            raise SourceUnacceptable(f"{self._root} is not a directory; name the model's directory")
        self._allowed = (real_root + os.sep,)
        if self.revision is not None:
            self._allowed += (str(Path(real_root).parent.parent / "blobs") + os.sep,)
        self._paths.clear()
        return list(self._walk(real_root, "", (real_root,)))

    def _walk(self, directory: str, prefix: str, ancestors: tuple[str, ...]) -> Iterator[Entry]:
        try:
            children = list(os.scandir(directory))
        except OSError as error:
            raise _unlisted(prefix or ".", error) from None
        for child in children:
            name = prefix + child.name
            path = self._resolve(child.path, name) if child.is_symlink() else child.path
            try:
                status = Path(path).stat()
            except OSError as error:
                raise _unlisted(name, error) from None
            if stat.S_ISDIR(status.st_mode):
                if excluded_directory(child.name):
                    self._paths[name + "/"] = path
                    yield Entry(name + "/", 0, "directory")
                    continue
                if path in ancestors:
                    raise SourceUnacceptable(
                        f"{name!r} links to a directory above itself; remove it"
                    )
                yield from self._walk(path, name + "/", (*ancestors, path))
            elif stat.S_ISREG(status.st_mode):
                self._paths[name] = path
                yield Entry(name, status.st_size, f"mtime:{status.st_mtime_ns}")
            else:
                raise SourceUnacceptable(
                    f"{name!r} is a {_kind(status.st_mode)}, not a file; move it out of the model"
                )

    def _resolve(self, path: str, name: str) -> str:
        try:
            real = os.path.realpath(path, strict=True)
        except OSError:
            raise SourceUnacceptable(
                f"{name!r} is a symbolic link to nothing; restore its target or remove it"
            ) from None
        if not (real + os.sep).startswith(self._allowed):
            raise SourceUnacceptable(
                f"{name!r} is a symbolic link that leaves {self._root}; copy the file into it"
            )
        return real

    @contextmanager
    def open(self, entry: Entry, offset: int, length: int) -> Iterator[RangeReader]:
        # The path was resolved while listing; a link that was swapped in since is not followed.
        try:
            descriptor = os.open(
                self._paths[entry.name], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except PermissionError:
            raise PermissionRefused(f"{entry.name!r}: no permission to read it") from None
        except OSError as error:
            raise SourceChanged(
                f"{entry.name!r} can't be opened any more ({_word(error)}); run again"
            ) from None
        try:
            if _identity(os.fstat(descriptor)) != (entry.size, entry.identity):
                raise _changed(entry)
            yield _FileRange(descriptor, entry, offset, length)
        finally:
            os.close(descriptor)

    def verify_unchanged(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            try:
                status = Path(self._paths[entry.name]).lstat()
            except OSError:
                raise _changed(entry) from None
            if _identity(status) != (entry.size, entry.identity):
                raise _changed(entry)


class _FileRange:
    def __init__(self, descriptor: int, entry: Entry, offset: int, length: int) -> None:
        self._descriptor = descriptor
        self._entry = entry
        self._offset = offset
        self._left = length

    def readinto(self, buffer: memoryview) -> int:
        if not self._left:
            return 0
        try:
            count = os.preadv(self._descriptor, [buffer[: self._left]], self._offset)
        except OSError as error:
            raise TemporaryFailure(
                f"{self._entry.name!r}: reading failed ({_word(error)})"
            ) from None
        if not count:
            raise _changed(self._entry)
        self._offset += count
        self._left -= count
        return count


def _identity(status: os.stat_result) -> tuple[int, str]:
    return status.st_size, f"mtime:{status.st_mtime_ns}"


def _changed(entry: Entry) -> SourceChanged:
    return SourceChanged(
        f"{entry.name!r} changed while it was archived; run again once it is still"
    )


def _unlisted(name: str, error: OSError) -> ArchiveError:
    if isinstance(error, PermissionError):
        return PermissionRefused(f"{name}: no permission to list it")
    if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
        return SourceChanged(f"{name!r} vanished while it was listed; run again once all is still")
    return TemporaryFailure(f"{name!r}: listing failed ({_word(error)})")


def _word(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
