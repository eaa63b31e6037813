"""Archives that are made to cost whoever looks into them more than they are worth."""

from __future__ import annotations

import struct
import tarfile
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from together_operator.archive.check import archive_file, inspect_files
from together_operator.archive.check.archive_file import RangeFile, archive_findings

if TYPE_CHECKING:
    from together_operator.archive.check.finding import Finding

MIB = 2**20


def zip_directory(entries: int) -> bytes:
    """Nothing but a central directory, with the shortest entries that there can be."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *(20, 3, 20, 0), *(0,) * 7, 1, *(0,) * 6)
    names = (bytes([97 + number % 26]) for number in range(entries))
    directory = b"".join(entry + name for name in names)
    count = min(entries, 0xFFFF)
    return directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), 0, 0)


def tar_headers(entries: int) -> bytes:
    """Empty files, as many as wanted."""
    headers = (tarfile.TarInfo(f"{n}").tobuf(tarfile.USTAR_FORMAT) for n in range(entries))
    return b"".join(headers) + bytes(1024)


def look(name: str, data: bytes) -> tuple[list[Finding], int]:
    """Findings, and the bytes that were taken at most beside the archive itself."""
    file = RangeFile(lambda offset, length: data[offset : offset + length], len(data))
    tracemalloc.start()
    try:
        found = archive_findings(name, file, inspect_files)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_directory_of_a_zip_takes_memory_in_proportion_to_its_size() -> None:
    data = zip_directory(20_000)
    _, taken = look("model.zip", data)

    # The operator reads 12 MiB at once at most, and looks into two sources at a time.
    assert taken < 16 * len(data)


@pytest.mark.parametrize(("name", "make"), [("m.zip", zip_directory), ("m.tar", tar_headers)])
def test_an_archive_of_too_many_files_is_refused(
    name: str, make: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_file, "_MAX_ENTRIES", 100)
    assert callable(make)
    found, _ = look(name, make(2_000))

    assert [finding.rule for finding in found] == ["archive/format"]


def test_a_tar_of_a_million_empty_files_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_file, "_MAX_ENTRIES", 100)
    data = tar_headers(20_000)
    read: list[int] = []

    def counted(offset: int, length: int) -> bytes:
        read.append(length)
        return data[offset : offset + length]

    archive_findings("m.tar", RangeFile(counted, len(data)), inspect_files)

    assert sum(read) < MIB
