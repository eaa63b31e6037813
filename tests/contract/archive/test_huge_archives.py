"""Archives of sizes and counts that only ZIP64 and PAX can say, read by other people's tools."""

import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.unit.archive.samples import crc_of_zeros, write_sparse
from together_operator.archive.checksums import crc32
from together_operator.archive.formats.tar import TarFormat
from together_operator.archive.formats.zip import ZipFormat
from together_operator.archive.plan import make_plan
from together_operator.archive.sources import Entry

MIB = 1 << 20

# Sizes that only a plan can have in a test: the archive is written sparsely.
HUGE = [(4 << 30) - 1, 4 << 30, 5 << 30, (8 << 30) + 1]


@pytest.mark.parametrize("size", HUGE)
def test_a_huge_file_in_a_zip_is_found_by_python_and_unzip(tmp_path: Path, size: int) -> None:
    plan = make_plan(ZipFormat(), [Entry("config.json", 7, ""), Entry("w", size, "")])
    write_sparse(plan, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        found = {info.filename: (info.file_size, info.CRC) for info in opened.infolist()}
        with opened.open("w") as member:
            assert member.read(10) == bytes(10)
    assert found == {"config.json": (7, crc32(bytes(7))), "w": (size, crc_of_zeros(size))}
    listed = subprocess.run(
        ["unzip", "-l", str(tmp_path / "a.zip")], capture_output=True, check=True
    )
    assert str(size).encode() in listed.stdout


def test_unzip_verifies_a_file_of_over_4_gib(tmp_path: Path) -> None:
    plan = make_plan(ZipFormat(), [Entry("w", (4 << 30) + 1, ""), Entry("x", 9 * MIB, "")])
    write_sparse(plan, tmp_path / "a.zip")
    done = subprocess.run(
        ["unzip", "-tq", str(tmp_path / "a.zip")], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", HUGE)
def test_a_huge_file_in_a_tar_is_found_by_python_and_gnu_tar(tmp_path: Path, size: int) -> None:
    plan = make_plan(TarFormat(), [Entry("w", size, ""), Entry("z", 9 * MIB, "")])
    write_sparse(plan, tmp_path / "a.tar")
    with tarfile.open(tmp_path / "a.tar") as opened:
        assert {m.name: m.size for m in opened} == {"w": size, "z": 9 * MIB}
    listed = subprocess.run(
        ["tar", "-tvf", str(tmp_path / "a.tar")], capture_output=True, check=True
    )
    assert str(size).encode() in listed.stdout


def test_a_zip_of_more_than_65535_files_is_read_by_python_and_unzip(tmp_path: Path) -> None:
    entries = [Entry(f"{number:06d}", number % 3, "") for number in range(65_537)]
    write_sparse(make_plan(ZipFormat(), entries), tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert len(opened.infolist()) == 65_537
    done = subprocess.run(
        ["unzip", "-tqq", str(tmp_path / "a.zip")], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("count", [65_534, 65_535])
def test_the_number_of_files_at_the_limit_of_plain_zip(tmp_path: Path, count: int) -> None:
    write_sparse(
        make_plan(ZipFormat(), [Entry(f"{n:06d}", 0, "") for n in range(count)]), tmp_path / "a"
    )
    assert len(zipfile.ZipFile(tmp_path / "a").infolist()) == count
