"""Directories as they are found on volumes and laptops."""

import os
import socket
from pathlib import Path

import pytest

from tests.unit.archive.samples import archive_to_file
from together_operator.archive.errors import (
    PermissionRefused,
    SourceChanged,
    SourceUnacceptable,
)
from together_operator.archive.sources.directory import DirectorySource


@pytest.fixture
def model(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    (root / "sub").mkdir(parents=True)
    (root / "config.json").write_text("{}")
    (root / "sub" / "deep.txt").write_text("deep")
    return root


def names(root: Path) -> list[str]:
    return sorted(entry.name for entry in DirectorySource(root).entries())


def content(root: Path, name: str) -> bytes:
    source = DirectorySource(root)
    entry = next(entry for entry in source.entries() if entry.name == name)
    out = bytearray(entry.size)
    with source.open(entry, 0, entry.size) as reader:
        assert reader.readinto(memoryview(out)) == entry.size
    return bytes(out)


def test_nested_files_are_named_from_the_root(model: Path) -> None:
    assert names(model) == ["config.json", "sub/deep.txt"]


def test_links_inside_are_followed_to_files_and_directories(model: Path) -> None:
    (model / "link.txt").symlink_to("sub/deep.txt")
    (model / "linked").symlink_to("sub")
    assert names(model) == ["config.json", "link.txt", "linked/deep.txt", "sub/deep.txt"]
    assert content(model, "linked/deep.txt") == b"deep"


def test_hard_links_are_files(model: Path) -> None:
    os.link(model / "config.json", model / "hard.json")
    assert content(model, "hard.json") == b"{}"


def test_a_dangling_link_is_refused(model: Path) -> None:
    (model / "gone").symlink_to("nothing")
    with pytest.raises(SourceUnacceptable, match="'gone' is a symbolic link to nothing"):
        names(model)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_a_link_that_leaves_the_root_is_refused(model: Path, target: str) -> None:
    (model.parent / "outside").write_text("secret")
    (model / "sub" / "leak").symlink_to(target if target[0] == "/" else f"../{target}")
    with pytest.raises(SourceUnacceptable, match="leaves"):
        names(model)


def test_a_sibling_whose_name_begins_alike_is_outside(model: Path) -> None:
    (model.parent / "model2").mkdir()
    (model.parent / "model2" / "x").write_text("secret")
    (model / "x").symlink_to("../model2/x")
    with pytest.raises(SourceUnacceptable, match="leaves"):
        names(model)


def test_a_link_cycle_is_refused(model: Path) -> None:
    (model / "sub" / "up").symlink_to("..")
    with pytest.raises(SourceUnacceptable, match="directory above itself"):
        names(model)


def test_a_snapshot_of_the_hugging_face_cache_may_link_to_its_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--repo"
    snapshot = repository / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "digest").write_text("blob")
    (snapshot / "config.json").symlink_to("../../blobs/digest")
    assert content(snapshot, "config.json") == b"blob"
    assert DirectorySource(snapshot).revision == "0123abc"
    (snapshot / "leak").symlink_to("../../refs")
    (repository / "refs").write_text("x")
    with pytest.raises(SourceUnacceptable, match="leaves"):
        names(snapshot)


def test_pipes_sockets_and_devices_are_refused_without_being_opened(model: Path) -> None:
    os.mkfifo(model / "pipe")
    with pytest.raises(SourceUnacceptable, match="'pipe' is a named pipe"):
        names(model)
    (model / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(model / "s"))
        with pytest.raises(SourceUnacceptable, match="'s' is a socket"):
            names(model)


def test_a_link_to_itself_is_no_directory(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    source = DirectorySource(loop)
    assert not source.contains(tmp_path / "out.zip")
    with pytest.raises(SourceUnacceptable, match="does not exist"):
        source.entries()


def test_what_is_no_directory_is_refused(model: Path) -> None:
    with pytest.raises(SourceUnacceptable, match="does not exist"):
        names(model / "nothing")
    with pytest.raises(SourceUnacceptable, match="not a directory"):
        names(model / "config.json")


def test_an_unreadable_file_is_a_matter_of_permission(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    source = DirectorySource(model)
    entry = source.entries()[0]
    monkeypatch.setattr(os, "open", refuse)  # root may read everything, and tests may run as root
    with (
        pytest.raises(PermissionRefused, match="no permission to read"),
        source.open(entry, 0, 1),
    ):
        pass


def change_content(file: Path) -> None:
    file.write_bytes(b"other")


def change_only_the_time(file: Path) -> None:
    os.utime(file, ns=(1, 1))


def truncate(file: Path) -> None:
    os.truncate(file, 1)


def replace_by_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "change", [change_content, change_only_the_time, truncate, replace_by_link, Path.unlink]
)
def test_a_file_that_changes_after_the_listing_is_noticed(model: Path, change: "object") -> None:
    source = DirectorySource(model)
    entries = source.entries()
    change(model / "config.json")  # type: ignore[operator]
    with pytest.raises(SourceChanged):
        source.verify_unchanged(entries)
    entry = next(entry for entry in entries if entry.name == "config.json")
    with pytest.raises(SourceChanged), source.open(entry, 0, 2):
        pass


@pytest.mark.parametrize("gone", ["file", "directory"])
def test_what_vanishes_while_it_is_listed_is_noticed(
    model: Path, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model / "a-directory").mkdir()
    (model / "a-file").write_text("x")
    scan = os.scandir

    def listing(directory: str) -> list["os.DirEntry[str]"]:
        found = list(scan(directory))
        if directory == str(model):
            (model / "a-file").unlink() if gone == "file" else (model / "a-directory").rmdir()
        return found

    monkeypatch.setattr(os, "scandir", listing)
    with pytest.raises(SourceChanged, match=f"'a-{gone}.* vanished while it was listed"):
        DirectorySource(model).entries()


def test_a_file_that_is_truncated_while_it_is_read_is_noticed(model: Path) -> None:
    source = DirectorySource(model)
    entry = next(entry for entry in source.entries() if entry.name == "config.json")
    with source.open(entry, 0, 2) as reader:
        os.truncate(model / "config.json", 0)
        with pytest.raises(SourceChanged):
            reader.readinto(memoryview(bytearray(2)))


def test_another_mtime_gives_the_same_archive(model: Path, tmp_path: Path) -> None:
    archive_to_file(DirectorySource(model), tmp_path / "1.zip", "zip")
    os.utime(model / "config.json", ns=(7, 7))
    archive_to_file(DirectorySource(model), tmp_path / "2.zip", "zip")
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
