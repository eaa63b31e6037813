"""Archives of every shape, read back by Python, GNU tar and unzip."""

import hashlib
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.archive.samples import MemorySource, archive_to_file
from together_operator.archive.errors import SourceUnacceptable
from together_operator.archive.formats.tar import TarFormat
from together_operator.archive.selection import select
from together_operator.archive.sources import Entry

FORMATS = ["zip", "tar", "tar.gz"]
MIB = 1 << 20

component = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"),
    min_size=1,
    max_size=40,
).filter(lambda text: text not in (".", "..") and len(text.encode()) <= 255)
names = st.lists(component, min_size=1, max_size=4).map("/".join)
sizes = st.one_of(st.sampled_from([0, 1, 511, 512, 513]), st.integers(0, 3000))


def acceptable(files: dict[str, bytes]) -> bool:
    """Whether the selection keeps every one of these names."""
    try:
        kept = select([Entry(name, len(data), "") for name, data in files.items()], ["*"]).kept
    except SourceUnacceptable:
        return False
    return len(kept) == len(files)


def archived(files: dict[str, bytes], path: Path, archive_format: str) -> Path:
    archive_to_file(MemorySource(files), path, archive_format)
    return path


def read_with_python(path: Path, archive_format: str) -> dict[str, bytes]:
    if archive_format == "zip":
        with zipfile.ZipFile(path) as opened:
            assert opened.testzip() is None
            return {info.filename: opened.read(info) for info in opened.infolist()}
    with tarfile.open(path, "r:gz" if archive_format == "tar.gz" else "r:") as opened_tar:
        return {
            member.name: opened_tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in opened_tar
        }


def extract(path: Path, into: Path, archive_format: str) -> dict[str, bytes]:
    """By GNU tar or unzip; what is there afterwards."""
    into.mkdir()
    if archive_format == "zip":
        # -V: else unzip takes everything from a ";" on for a version number of VMS.
        command = ["unzip", "-V", "-q", "-o", str(path), "-d", str(into)]
    else:
        command = ["tar", "-xf", str(path), "-C", str(into)]
    done = subprocess.run(command, capture_output=True, check=False, env={"LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr
    return {
        file.relative_to(into).as_posix(): file.read_bytes()
        for file in into.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("archive_format", FORMATS)
@given(files=st.dictionaries(names, sizes.map(lambda n: bytes(i % 251 for i in range(n)))))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_acceptable_names_and_sizes_come_back_from_python(
    tmp_path: Path, archive_format: str, files: dict[str, bytes]
) -> None:
    files = {name: data for name, data in files.items() if acceptable({name: data})}
    kept = {entry.name for entry in select_or_none(files)}
    files = {name: data for name, data in files.items() if name in kept}
    if not files or not acceptable(files):
        return
    path = archived(files, tmp_path / f"a.{archive_format}", archive_format)
    assert read_with_python(path, archive_format) == files


def select_or_none(files: dict[str, bytes]) -> list[Entry]:
    try:
        return list(select([Entry(name, len(data), "") for name, data in files.items()]).kept)
    except SourceUnacceptable:
        return []


@pytest.mark.parametrize("archive_format", FORMATS)
@given(files=st.dictionaries(names, sizes.map(bytes), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_acceptable_names_and_sizes_come_back_from_gnu_tar_and_unzip(
    tmp_path_factory: pytest.TempPathFactory, archive_format: str, files: dict[str, bytes]
) -> None:
    kept = {entry.name for entry in select_or_none(files)}
    files = {name: data for name, data in files.items() if name in kept}
    if not files:
        return
    directory = tmp_path_factory.mktemp("extract")
    path = archived(files, directory / f"a.{archive_format}", archive_format)
    assert extract(path, directory / "out", archive_format) == files


SPECIAL_NAMES = {
    "of 99 bytes": "n" * 99,
    "of 100 bytes": "n" * 100,
    "of 101 bytes": "n" * 101,
    "of 255 bytes": "n" * 255,
    "of 256 bytes with a directory": "d" * 100 + "/" + "n" * 155,
    "of 257 bytes with a directory": "d" * 100 + "/" + "n" * 156,
    "of 600 bytes": "/".join(["d" * 199] * 3),
    "composed": "caf\u00e9.txt",
    "decomposed": "cafe\u0301.txt",
    "with spaces and signs": "a b+c%20d#e?f&g=h;i'j\"k.txt",
    "with a leading dash": "-rf",
    "in Chinese": "\u6a21\u578b/\u914d\u7f6e.json",
    "an emoji": "\U0001f917.txt",
}


@pytest.mark.parametrize("archive_format", FORMATS)
@pytest.mark.parametrize("name", SPECIAL_NAMES.values(), ids=SPECIAL_NAMES)
def test_a_special_name_is_kept_as_it_is(tmp_path: Path, archive_format: str, name: str) -> None:
    files = {name: b"content", "config.json": b"{}"}
    path = archived(files, tmp_path / f"a.{archive_format}", archive_format)
    assert read_with_python(path, archive_format) == files
    assert extract(path, tmp_path / "out", archive_format) == files


@pytest.mark.parametrize("archive_format", FORMATS)
def test_both_unicode_forms_and_both_cases_can_stand_side_by_side(
    tmp_path: Path, archive_format: str
) -> None:
    files = {"caf\u00e9": b"1", "cafe\u0301": b"2", "README": b"3", "readme": b"4"}
    path = archived(files, tmp_path / f"a.{archive_format}", archive_format)
    assert read_with_python(path, archive_format) == files
    assert extract(path, tmp_path / "out", archive_format) == files


@pytest.mark.parametrize("archive_format", FORMATS)
@pytest.mark.parametrize(
    "size", [0, 1, 511, 512, 513, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 13 * MIB, 40 * MIB + 7]
)
def test_a_file_of_any_size_comes_back(tmp_path: Path, archive_format: str, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    files = {"config.json": b"{}", "weights": data}
    path = archived(files, tmp_path / f"a.{archive_format}", archive_format)
    assert read_with_python(path, archive_format) == files
    assert extract(path, tmp_path / "out", archive_format) == files


@pytest.mark.parametrize("archive_format", FORMATS)
def test_the_same_files_in_any_order_and_with_any_workers_give_the_same_bytes(
    tmp_path: Path, archive_format: str
) -> None:
    files = {f"shard-{n}": bytes([n]) * (18 * MIB + n) for n in range(3)} | {
        f"small-{n}": bytes([n]) * n for n in range(50)
    }
    digests = set()
    for number, workers in enumerate((1, 2, 7)):
        order = dict(sorted(files.items(), reverse=number == 1))
        path = tmp_path / f"{number}.{archive_format}"
        archive_to_file(MemorySource(order), path, archive_format, workers=workers)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("archive_format", FORMATS)
def test_extracted_files_belong_to_nobody_and_have_mode_0644(
    tmp_path: Path, archive_format: str
) -> None:
    path = archived({"a": b"1"}, tmp_path / f"a.{archive_format}", archive_format)
    if archive_format == "zip":
        info = zipfile.ZipFile(path).infolist()[0]
        assert (info.external_attr >> 16, info.date_time) == (0o100644, (1980, 1, 1, 0, 0, 0))
    else:
        with tarfile.open(path) as opened:
            member = opened.getmembers()[0]
        assert (member.mode, member.uid, member.gid, member.mtime) == (0o644, 0, 0, 0)


def test_a_plain_name_needs_no_pax_record() -> None:
    assert TarFormat().header_size(Entry("d" * 100 + "/" + "n" * 99, 8 << 30, "")) > 512
    assert TarFormat().header_size(Entry("d" * 100 + "/" + "n" * 99, (8 << 30) - 1, "")) == 512
