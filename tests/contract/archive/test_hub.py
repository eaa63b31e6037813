"""Hugging Face repositories, read from the simulated hub by the real client library."""

import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import MINILM, TOKEN, HubSimulator, minilm_directory
from tests.support.simulators.together import Fault
from together_operator.archive.destinations.local_file import LocalFile
from together_operator.archive.errors import (
    ArchiveError,
    CorruptedError,
    PermissionRefused,
    SourceUnacceptable,
    TemporaryFailure,
)
from together_operator.archive.locations import HubLocation
from together_operator.archive.progress import Progress
from together_operator.archive.result import Result
from together_operator.archive.run import Workers, archive, prepare
from together_operator.archive.sources.hub import HubSource

FORMATS = ["zip", "tar", "tar.gz"]


def archive_repository(
    hub: HubSimulator,
    path: Path,
    repo: str = MINILM,
    revision: str | None = None,
    *,
    token: str | None = None,
    check: bool = True,
) -> Result:
    form = "tar.gz" if path.name.endswith(".tar.gz") else path.suffix[1:]
    source = HubSource(
        HubLocation(repo, revision), token=token, endpoint=hub.url, sleep=lambda _seconds: None
    )
    prepared = prepare(source, form, check=check)
    workers = Workers(4, 4, 2, threading.Event())
    return archive(prepared, source, LocalFile(path), Progress(), workers)


def test_the_archive_has_the_files_of_the_commit(hub_sim: HubSimulator, tmp_path: Path) -> None:
    result = archive_repository(hub_sim, tmp_path / "a.zip")
    commit = result.source_revision
    assert commit is not None
    assert len(commit) == 40
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        for name in opened.namelist():
            assert opened.read(name) == (minilm_directory() / name).read_bytes()
        assert "model.safetensors" in opened.namelist()
    archive_repository(hub_sim, tmp_path / "b.zip", revision=commit)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_token_goes_to_the_hub_and_not_to_its_content_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = HubSimulator()
    hub.add_repository("org/private", minilm_directory(), private=True)
    seen: list[tuple[str, bool]] = []
    answer = HubSimulator._content

    async def watch(self: HubSimulator, request: Any) -> Any:
        seen.append((request.path, "Authorization" in request.headers))
        return await answer(self, request)

    monkeypatch.setattr(HubSimulator, "_content", watch)
    with InThread(hub):
        archive_repository(hub, tmp_path / "a.zip", "org/private", token=TOKEN)
    assert seen
    assert not any(authorized for _, authorized in seen)


@pytest.mark.parametrize("form", FORMATS)
def test_content_that_breaks_off_or_fails_is_taken_up_again(
    hub_sim: HubSimulator, tmp_path: Path, form: str
) -> None:
    archive_repository(hub_sim, tmp_path / f"quiet.{form}")
    for effect, status in (("status", 503), ("status", 403), ("drop_before_commit", 500)):
        hub_sim.add_fault(Fault(effect=effect, path="/cdn/.*", status=status, skip=1, count=2))
    archive_repository(hub_sim, tmp_path / f"a.{form}")
    quiet, noisy = (tmp_path / f"{name}.{form}" for name in ("quiet", "a"))
    assert quiet.read_bytes() == noisy.read_bytes()


def test_content_that_keeps_failing_is_temporary(hub_sim: HubSimulator, tmp_path: Path) -> None:
    hub_sim.add_fault(Fault(effect="status", path="/cdn/.*", status=503, count=None))
    with pytest.raises(TemporaryFailure, match="kept failing") as caught:
        archive_repository(hub_sim, tmp_path / "a.zip")
    assert "Signature" not in str(caught.value)
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_bytes_that_are_not_what_the_hub_promises_are_never_archived(
    tmp_path: Path, form: str, name: str
) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    for file in minilm_directory().iterdir():
        if file.is_file():
            (root / file.name).write_bytes(file.read_bytes())
    hub = HubSimulator()
    hub.add_repository("org/repo", root)
    with InThread(hub):
        source = HubSource(HubLocation("org/repo", None), token=None, endpoint=hub.url)
        prepared = prepare(source, form)
        damaged = bytearray((root / name).read_bytes())
        damaged[len(damaged) // 2] ^= 1
        # Written in place, and with the old time: the hub goes on promising the old hash.
        time = (root / name).stat().st_mtime_ns
        (root / name).write_bytes(damaged)
        os.utime(root / name, ns=(time, time))
        with pytest.raises(CorruptedError, match=f"'{name}' does not have the checksum"):
            archive(
                prepared,
                source,
                LocalFile(tmp_path / f"a.{form}"),
                Progress(),
                Workers(4, 4, 2, threading.Event()),
            )
    assert not (tmp_path / f"a.{form}").exists()


def gated(hub: HubSimulator) -> str:
    hub.add_repository("org/gated", minilm_directory(), gated=True)
    return "org/gated"


def private(hub: HubSimulator) -> str:
    hub.add_repository("org/private", minilm_directory(), private=True)
    return "org/private"


@pytest.mark.parametrize(
    ("make", "revision", "error", "words"),
    [
        (gated, None, PermissionRefused, "set HF_TOKEN"),
        (private, None, PermissionRefused, "HF_TOKEN if it is private"),
        (lambda _: "org/none", None, PermissionRefused, "check the name"),
        (lambda _: MINILM, "nope", SourceUnacceptable, "no such revision"),
    ],
)
def test_a_repository_that_cannot_be_read_says_why(
    hub_sim: HubSimulator,
    tmp_path: Path,
    make: Callable[[HubSimulator], str],
    revision: str | None,
    error: type[ArchiveError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        archive_repository(hub_sim, tmp_path / "a.zip", make(hub_sim), revision)
