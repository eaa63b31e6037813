"""An archive that is there already: format, names, nesting, and the model inside.

Zip and tar are read by their headers; of a `.tar.gz` only the start can be, and that is said.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from together_operator.archive.check.finding import Finding, Listing
from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.locations import format_of
from together_operator.archive.selection import check_name

_MAX_ENTRIES = 200_000
# A hostile directory or header may claim any size; nothing honest needs more at once.
_MAX_READ = 64 << 20
_BLOCK = 256 << 10
# How much of a .tar.gz is decompressed to look at its first names.
_GZIP_LOOK = 32 << 20
_GZIP_MAGIC = b"\x1f\x8b"
# What is left of a block is copied for each member that ends in it.
_GZIP_BLOCK = 16 << 10


class RangeFile(io.RawIOBase):
    """A seekable file over `read(offset, length)`, with a small cache for small reads."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self.size = size
        self._position = 0
        self._cached_at, self._cached = 0, b""

    def read(self, size: int = -1) -> bytes:
        size = self.size - self._position if size < 0 else size
        size = max(0, min(size, self.size - self._position))
        if size > _MAX_READ:
            raise SourceUnacceptable("the archive's directory claims an absurd size; make it again")
        offset = self._position - self._cached_at
        if not 0 <= offset <= len(self._cached) - size:
            length = min(max(size, _BLOCK), self.size - self._position)
            self._cached_at, self._cached = self._position, self._read(self._position, length)
            offset = 0
        self._position += size
        return self._cached[offset : offset + size]

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def archive_findings(
    name: str, file: RangeFile, inspect: Callable[[Listing], list[Finding]]
) -> list[Finding]:
    """What is wrong with the archive as such, else with what is in it."""
    form = format_of(name)
    magic = file.read(6)
    file.seek(0)
    readers = {"zip": _zip_listing, "tar": _tar_listing, "tar.gz": _gzip_listing}
    if form is None:
        return [_format(name, "its name ends with none of .zip, .tar, .tar.gz")]
    if (form == "zip") != magic.startswith(b"PK") or (form == "tar.gz") != magic.startswith(
        _GZIP_MAGIC
    ):
        return [_format(name, f"its content is not {form}")]
    try:
        listing, complete = readers[form](file)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError):
        return [_format(name, f"it is not a readable {form} archive (truncated?)")]
    except _UnsupportedError as error:
        return [_format(name, str(error))]
    findings = list(_unsafe_names(listing))
    if not findings and complete:
        findings = list(_structure(listing)) or inspect(listing)
    if not complete:
        findings += _start(listing)
        findings.append(
            Finding(
                "archive/partial",
                "warning",
                "a .tar.gz can't be looked into without reading all of it; only its start was",
                "use zip to have the model itself checked",
            )
        )
    return findings


class _UnsupportedError(Exception):
    pass


def _format(name: str, problem: str) -> Finding:
    return Finding(
        "archive/format",
        "error",
        f"{name!r}: {problem}",
        "make it with `together-operator archive`",
    )


def _unsafe_names(listing: Listing) -> Iterator[Finding]:
    for name in listing:
        try:
            check_name(name)
        except SourceUnacceptable as error:
            yield Finding(
                "archive/unsafe-name", "error", str(error).partition("; ")[0], "make it again"
            )
            return


def _structure(listing: Listing) -> Iterator[Finding]:
    names, directory = list(listing), _common_directory(listing)
    if directory is not None:
        yield Finding(
            "structure/wrapped",
            "error",
            f"all files are in {directory!r}, not at the archive's root",
            "pack the directory's content, not the directory",
        )
    elif names and all(format_of(name) for name in names):
        yield Finding(
            "archive/nested",
            "error",
            f"the archive contains only another archive ({names[0]!r})",
            "pack the model's files themselves",
        )
    elif not names:
        yield Finding("structure/empty", "error", "the archive is empty", "pack the model's files")


def _start(listing: Listing) -> Iterator[Finding]:
    """What only the start of the files lets suspect: those that stand behind may be elsewhere."""
    directory = _common_directory(listing)
    if directory is not None:
        yield Finding(
            "structure/wrapped",
            "warning",
            f"the first files are all in {directory!r}, not at the archive's root",
            "if all others are too, pack the directory's content, not the directory",
        )


def _common_directory(listing: Listing) -> str | None:
    """The directory at the root that all files are in, if there is one."""
    first = {name.partition("/")[0] for name in listing}
    return first.pop() if len(first) == 1 and all("/" in name for name in listing) else None


def _zip_listing(file: RangeFile) -> tuple[Listing, bool]:
    archive = zipfile.ZipFile(file)
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > _MAX_ENTRIES:
        raise _UnsupportedError(f"it has {len(infos)} files")
    for info in infos:
        if info.flag_bits & 1:
            raise _UnsupportedError("it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _UnsupportedError("it uses a compression other than deflate")

    def read(name: str, offset: int, length: int) -> bytes:
        with archive.open(name) as member:
            member.seek(offset)
            return member.read(length)

    return Listing({info.filename: info.file_size for info in infos}, read), True


def _tar_listing(file: RangeFile) -> tuple[Listing, bool]:
    places: dict[str, tuple[int, int]] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            _add(places, member)
        file.seek(archive.offset)
        if not file.read(tarfile.BLOCKSIZE):
            raise EOFError  # tarfile does not mind; what followed would be missing

    def read(name: str, offset: int, length: int) -> bytes:
        start, size = places[name]
        file.seek(start + offset)
        return file.read(max(0, min(length, size - offset)))

    return Listing({name: size for name, (_, size) in places.items()}, read), True


def _add(places: dict[str, tuple[int, int]], member: tarfile.TarInfo) -> None:
    if member.issym() or member.islnk() or member.isdev():
        raise _UnsupportedError(f"{member.name!r} in it is a link or device, not a file")
    if member.isfile():
        # `tar -cf x.tar .` writes ./config.json, which extracts to the root.
        places[member.name.removeprefix("./")] = member.offset_data, member.size
    if len(places) > _MAX_ENTRIES:
        raise _UnsupportedError(f"it has more than {_MAX_ENTRIES} files")


def _gzip_start(file: RangeFile) -> tuple[bytearray, bool]:
    """What the first members decompress to, up to `_GZIP_LOOK` bytes, and whether that is all.

    bgzip and `cat a.gz b.gz` make many members. What follows the last one and is none is ignored,
    as gzip does.
    """
    start, rest = bytearray(), b""
    member = zlib.decompressobj(zlib.MAX_WBITS | 16)
    while len(start) < _GZIP_LOOK:
        if member.eof:
            rest += file.read(max(0, len(_GZIP_MAGIC) - len(rest)))
            if not rest.startswith(_GZIP_MAGIC):
                return start, True
            member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        rest = rest or file.read(_GZIP_BLOCK)
        if not rest:
            raise EOFError
        start += member.decompress(rest, _GZIP_LOOK - len(start))
        rest = member.unused_data if member.eof else member.unconsumed_tail
    return start, False


def _gzip_listing(file: RangeFile) -> tuple[Listing, bool]:
    start, complete = _gzip_start(file)
    places: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(start), mode="r:") as archive:
            for member in archive:
                _add(places, member)
    except tarfile.TarError:
        if complete:
            raise  # else it is only where the look ended

    def read(name: str, offset: int, length: int) -> bytes:
        begin, size = places[name]
        return bytes(start[begin + offset : begin + min(offset + length, size)])

    return Listing({name: size for name, (_, size) in places.items()}, read), complete
