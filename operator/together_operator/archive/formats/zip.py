"""Stored zip (APPNOTE 6.3.10): no data descriptors, ZIP64 only where a field would overflow."""

import struct
from collections.abc import Sequence

from together_operator.archive.sources import Entry

_DOS_EPOCH = 0x0021  # 1980-01-01, the earliest date that the format has
_UTF8_NAME = 0x0800
_MADE_BY_UNIX = 3 << 8
_REGULAR_0644 = 0o100644 << 16
_MAX_16 = 0xFFFF
_MAX_32 = 0xFFFFFFFF
_ZIP64_TAG = 1
_VERSION_PLAIN, _VERSION_ZIP64 = 20, 45

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END64 = struct.Struct("<IQHHIIQQQQ")
_END64_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")


class ZipFormat:
    name = "zip"
    needs_crc = True

    def header_size(self, entry: Entry) -> int:
        return _LOCAL.size + len(entry.name.encode()) + (20 if _is_large(entry) else 0)

    def header(self, entry: Entry, crc: int) -> bytes:
        name = entry.name.encode()
        large = _is_large(entry)
        extra = struct.pack("<HHQQ", _ZIP64_TAG, 16, entry.size, entry.size) if large else b""
        size = _MAX_32 if large else entry.size
        return (
            _LOCAL.pack(
                0x04034B50,
                _VERSION_ZIP64 if large else _VERSION_PLAIN,
                _flags(name),
                0,  # stored
                0,
                _DOS_EPOCH,
                crc,
                size,
                size,
                len(name),
                len(extra),
            )
            + name
            + extra
        )

    def padding(self, entry: Entry) -> int:  # noqa: ARG002
        return 0

    def trailer_size(self, entries: Sequence[Entry], offsets: Sequence[int]) -> int:
        directory = sum(
            _CENTRAL.size + len(entry.name.encode()) + len(_central_extra(entry, offset))
            for entry, offset in zip(entries, offsets, strict=True)
        )
        start = self._directory_start(entries, offsets)
        zip64 = _needs_end64(len(entries), directory, start)
        return directory + (_END64.size + _END64_LOCATOR.size if zip64 else 0) + _END.size

    def trailer(
        self, entries: Sequence[Entry], offsets: Sequence[int], crcs: Sequence[int]
    ) -> bytes:
        out = bytearray()
        for entry, offset, crc in zip(entries, offsets, crcs, strict=True):
            out += _central(entry, offset, crc)
        start = self._directory_start(entries, offsets)
        size, count = len(out), len(entries)
        if _needs_end64(count, size, start):
            out += _END64.pack(
                0x06064B50,
                _END64.size - 12,
                _MADE_BY_UNIX | _VERSION_ZIP64,
                _VERSION_ZIP64,
                0,
                0,
                count,
                count,
                size,
                start,
            )
            out += _END64_LOCATOR.pack(0x07064B50, 0, start + size, 1)
        out += _END.pack(
            0x06054B50,
            0,
            0,
            min(count, _MAX_16),
            min(count, _MAX_16),
            min(size, _MAX_32),
            min(start, _MAX_32),
            0,
        )
        return bytes(out)

    def _directory_start(self, entries: Sequence[Entry], offsets: Sequence[int]) -> int:
        return offsets[-1] + self.header_size(entries[-1]) + entries[-1].size


def _is_large(entry: Entry) -> bool:
    return entry.size >= _MAX_32


def _flags(name: bytes) -> int:
    return 0 if name.isascii() else _UTF8_NAME


def _needs_end64(count: int, size: int, start: int) -> bool:
    return count >= _MAX_16 or size >= _MAX_32 or start >= _MAX_32


def _central_extra(entry: Entry, offset: int) -> bytes:
    fields = [entry.size, entry.size] if _is_large(entry) else []
    if offset >= _MAX_32:
        fields.append(offset)
    if not fields:
        return b""
    return struct.pack(f"<HH{len(fields)}Q", _ZIP64_TAG, 8 * len(fields), *fields)


def _central(entry: Entry, offset: int, crc: int) -> bytes:
    name = entry.name.encode()
    extra = _central_extra(entry, offset)
    version = _VERSION_ZIP64 if extra else _VERSION_PLAIN
    size = min(entry.size, _MAX_32)
    return (
        _CENTRAL.pack(
            0x02014B50,
            _MADE_BY_UNIX | version,
            version,
            _flags(name),
            0,
            0,
            _DOS_EPOCH,
            crc,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_0644,
            min(offset, _MAX_32),
        )
        + name
        + extra
    )
