"""Killed anywhere, started again: the same bytes, and nothing is sent twice that need not be."""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.contract.archive.conftest import BUCKET, MIB, FixtureStore
from tests.support.s3_fixture import Quirks
from tests.support.s3_fixture.operations import S3Error
from together_operator.archive.destinations.markers import MARKER_NUMBERS, is_ours, marker_sizes
from together_operator.archive.errors import ArchiveError, StoppedError
from together_operator.archive.layout import STREAM_PART

WORKERS = 2
FORMATS = ["zip", "tar", "tar.gz"]
marked_and_noted = pytest.mark.parametrize(
    "quirks",
    [Quirks(), Quirks(every_part_named=True)],
    ids=["unnamed parts are dropped", "every part is named"],
)
"""A store whose uploads begin with markers, and one where they are noted in an object."""

listing = pytest.mark.parametrize(
    "quirks",
    [Quirks(), Quirks(exact_prefix=True), Quirks(exact_prefix=True, every_part_named=True)],
    ids=["by prefix", "by key", "by key, all named"],
)
"""A store that lists uploads by prefix, and those that list one key's only, as MinIO does."""


def left_over(store: FixtureStore) -> list[str]:
    """Objects of uploads and probes."""
    return [key for key in set(store.keys()) if ".upload" in key or ".probe-" in key]


class Worker:
    """`together-operator archive` as a process of its own, as a Job runs it."""

    def __init__(self, store: FixtureStore, source: str, destination: str, log: Path) -> None:
        self.message = log
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "together_operator", "archive", source, destination),
                *("--endpoint-url", store.url, "--no-check", "--include", "*"),
                *("--concurrency", str(WORKERS), "--progress", "json"),
            ],
            env={**os.environ, **store.environ, "TERMINATION_MESSAGE_PATH": str(log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self) -> tuple[int, str, str]:
        out, errors = self.process.communicate(timeout=120)
        return self.process.returncode, out, errors


def interrupt_after(
    store: FixtureStore, worker: "list[Worker]", share: float, number: int, total: int
) -> None:
    """Send signal `number` to the worker when `share` of `total` bytes have been received."""
    done = threading.Event()

    def look(operation: str, _query: Mapping[str, str]) -> None:
        received = store.fixture.counters.bytes_in + store.fixture.counters.bytes_copied
        in_time = operation in ("UploadPart", "UploadPartCopy") and received >= share * total
        if in_time and worker and not done.is_set():
            done.set()
            worker[0].process.send_signal(number)

    store.fixture.before = look


def sent_bytes(store: FixtureStore) -> int:
    return store.fixture.counters.bytes_in


@marked_and_noted
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_killed_worker_is_resumed_to_the_same_bytes(
    store: FixtureStore, directory: Path, tmp_path: Path, archive_format: str, share: float
) -> None:
    store.archive(str(directory), f"s3://{BUCKET}/whole.{archive_format}", archive_format)
    whole = store.fixture.content(BUCKET, f"whole.{archive_format}")
    store.fixture.counters.bytes_in = 0
    workers: list[Worker] = []
    # A compressed archive is known to be under way only by whole parts.
    most = (len(whole) - 1) // STREAM_PART * STREAM_PART / len(whole)
    interrupt_after(store, workers, min(share, most), signal.SIGKILL, len(whole))
    destination = f"s3://{BUCKET}/out.{archive_format}"
    workers.append(Worker(store, str(directory), destination, tmp_path / "message"))
    assert workers[0].finish()[0] == -signal.SIGKILL
    store.fixture.before = lambda _operation, _query: None
    assert f"out.{archive_format}" not in set(store.keys())

    result = store.archive(str(directory), destination, archive_format, workers=WORKERS)
    assert store.fixture.content(BUCKET, f"out.{archive_format}") == whole
    overhead = MIB  # markers, probes and requests
    in_flight = (WORKERS + 2) * STREAM_PART
    assert sent_bytes(store) <= len(whole) + in_flight + overhead
    assert store.uploads() == []
    assert left_over(store) == []
    assert result.sent_bytes <= len(whole)


@marked_and_noted
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_killed_copy_is_resumed_to_the_same_bytes(
    full_store: FixtureStore, tmp_path: Path, share: float
) -> None:
    source, store = f"s3://{BUCKET}/source/", full_store
    store.archive(source, f"s3://{BUCKET}/whole.zip")
    whole = store.fixture.content(BUCKET, "whole.zip")
    workers: list[Worker] = []
    store.fixture.counters.bytes_in = store.fixture.counters.bytes_copied = 0
    interrupt_after(store, workers, share, signal.SIGKILL, len(whole))
    workers.append(Worker(store, source, f"s3://{BUCKET}/out.zip", tmp_path / "message"))
    assert workers[0].finish()[0] == -signal.SIGKILL
    store.fixture.before = lambda _operation, _query: None
    result = store.archive(source)
    assert store.fixture.content(BUCKET, "out.zip") == whole
    assert result.resumed
    assert result.copied_bytes + result.sent_bytes < len(whole)
    assert left_over(store) == []


def test_sigterm_keeps_what_was_sent_and_says_so(
    store: FixtureStore, directory: Path, tmp_path: Path, files: Mapping[str, bytes]
) -> None:
    total = sum(map(len, files.values()))
    workers: list[Worker] = []
    interrupt_after(store, workers, 0.4, signal.SIGTERM, total)
    destination = f"s3://{BUCKET}/archives/"
    workers.append(Worker(store, str(directory), destination, tmp_path / "message"))
    code, _, errors = workers[0].finish()
    assert (code, errors) == (75, "error: stopped on request; run again to go on from here\n")
    assert (tmp_path / "message").read_text() == (
        '{"error":"stopped on request; run again to go on from here","exitCode":75}'
    )
    store.fixture.before = lambda _operation, _query: None
    result = store.archive(str(directory), destination)
    assert result.resumed
    assert result.sent_bytes < total


def test_a_second_signal_ends_a_slow_run_at_once(
    store: FixtureStore, directory: Path, tmp_path: Path
) -> None:
    held, worker = threading.Event(), list[Worker]()

    def hold(operation: str, query: Mapping[str, str]) -> None:
        if operation == "UploadPart" and query["partNumber"] == "2" and not held.is_set():
            for _ in range(2):
                worker[0].process.send_signal(signal.SIGTERM)
                worker[0].process.poll()
                time.sleep(0.5)
            held.wait(60)

    store.fixture.before = hold
    worker.append(Worker(store, str(directory), f"s3://{BUCKET}/out.zip", tmp_path / "message"))
    code, _, errors = worker[0].finish()
    held.set()
    assert (code, errors) == (75, "error: stopped on request; run again to go on\n")
    assert json.loads((tmp_path / "message").read_text())["exitCode"] == 75


@listing
def test_an_unfinished_upload_below_a_prefix_is_found_however_the_store_lists(
    store: FixtureStore, directory: Path
) -> None:
    unfinished(store, directory, f"s3://{BUCKET}/archives/")
    result = store.archive(str(directory), f"s3://{BUCKET}/archives/")
    assert (result.resumed, result.sent_bytes) == (True, 0)
    assert store.uploads() == []
    assert left_over(store) == []


def exit_code(store: FixtureStore, source: str) -> int:
    try:
        store.archive(source, workers=1)
    except ArchiveError as error:
        return error.exit_code
    return 0


def small_model() -> dict[str, bytes]:
    return {"config.json": b"{}", "a.bin": bytes(14 * MIB), "b.bin": b"1" * (9 * MIB)}


@pytest.mark.parametrize(
    "quirks",
    [Quirks(), Quirks(every_part_named=True), Quirks(exact_prefix=True)],
    ids=["unnamed parts are dropped", "every part is named", "uploads are listed by key"],
)
@pytest.mark.parametrize("from_directory", [False, True], ids=["prefix", "directory"])
def test_whichever_request_is_the_last_one_the_next_run_makes_it_whole(
    store: FixtureStore, tmp_path: Path, fast_retries: None, from_directory: bool
) -> None:
    """The store refuses everything from the n-th request on, for every n."""
    store.put(small_model())
    for name, data in small_model().items():
        (tmp_path / name).write_bytes(data)
    source = str(tmp_path) if from_directory else f"s3://{BUCKET}/source/"
    store.archive(source, f"s3://{BUCKET}/whole.zip")
    whole = store.fixture.content(BUCKET, "whole.zip")
    for last in itertools.count():
        store.fixture.storage.uploads.clear()
        store.fixture.storage.buckets[BUCKET].objects.pop("out.zip", None)
        assert left_over(store) == []
        served = itertools.count()

        def refuse_after(_operation: str, _query: Mapping[str, str], last: int = last) -> None:
            if next(served) >= last:  # noqa: B023
                raise S3Error(403, "AccessDenied")

        store.fixture.before = refuse_after
        died = exit_code(store, source)
        assert died in (0, 75, 77)
        store.fixture.before = lambda _operation, _query: None
        for upload in store.fixture.storage.uploads.values():
            upload.initiated -= timedelta(days=2)
        result = store.archive(source, workers=1)
        assert store.fixture.content(BUCKET, "out.zip") == whole
        assert store.uploads() == []
        assert result.sent_bytes + result.copied_bytes <= len(whole)
        if not died:
            return


def test_a_stop_before_anything_was_sent_leaves_no_archive(
    full_store: FixtureStore,
) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        full_store.archive(f"s3://{BUCKET}/source/", stop=stop)
    assert "out.zip" not in set(full_store.keys())


def unfinished(store: FixtureStore, directory: Path, destination: str) -> None:
    """Leave an upload behind, as a worker that fails at its end does."""
    store.fixture.fail("CompleteMultipartUpload", "access_denied", times=1, skip=1)  # the probe's
    with pytest.raises(Exception, match="did not accept"):
        store.archive(str(directory), destination)
    assert len(store.uploads()) == 1


@marked_and_noted
@pytest.mark.parametrize("destination", [f"s3://{BUCKET}/out.zip", f"s3://{BUCKET}/archives/"])
def test_uploads_of_an_older_plan_are_aborted_and_those_of_others_are_not(
    store: FixtureStore, directory: Path, tmp_path: Path, destination: str
) -> None:
    unfinished(store, directory, destination)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    foreign = store.client.create_multipart_upload(Bucket=BUCKET, Key="out.zip")["UploadId"]
    copy = tmp_path / directory.name
    subprocess.run(["cp", "-r", str(directory), str(copy)], check=True)
    (directory / "config.json").touch()  # another mtime: another plan of the same source
    store.archive(str(directory), destination)
    assert store.uploads() == [foreign]
    assert left_over(store) == []


@marked_and_noted
def test_an_upload_of_another_source_below_the_same_prefix_is_left_alone(
    store: FixtureStore, directory: Path, tmp_path: Path
) -> None:
    unfinished(store, directory, f"s3://{BUCKET}/archives/")
    (tmp_path / "config.json").write_text("{}")
    noted = left_over(store)
    assert len(noted) == store.fixture.quirks.every_part_named
    store.archive(str(tmp_path), f"s3://{BUCKET}/archives/")
    assert len(store.uploads()) == 1
    assert left_over(store) == noted


@marked_and_noted
def test_an_upload_that_vanishes_is_a_temporary_failure(
    store: FixtureStore, directory: Path
) -> None:
    def abort_once(operation: str, query: Mapping[str, str]) -> None:
        probing = ".probe-" in query["key"]
        if operation == "UploadPart" and query["partNumber"] == "2" and not probing:
            store.fixture.storage.uploads.clear()

    store.fixture.before = abort_once
    with pytest.raises(Exception, match="somebody else ended this upload; run again") as caught:
        store.archive(str(directory))
    assert caught.value.exit_code == 75  # type: ignore[attr-defined]
    store.fixture.before = lambda _operation, _query: None
    store.archive(str(directory))
    assert left_over(store) == []


@marked_and_noted
def test_what_another_program_has_just_begun_is_left_alone(
    store: FixtureStore, directory: Path
) -> None:
    begun = store.client.create_multipart_upload(Bucket=BUCKET, Key="out.zip")["UploadId"]
    store.archive(str(directory))
    assert store.uploads() == [begun]


def test_markers_spell_the_plan_and_the_layout() -> None:
    one, other = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"2").hexdigest()
    sizes = marker_sizes(one, "stream")
    assert set(sizes) == set(MARKER_NUMBERS)
    assert all(1 <= size <= 65_536 for size in sizes.values())
    assert len({str(marker_sizes(*what)) for what in ((one, "a"), (one, "b"), (other, "a"))}) == 3
    assert is_ours(sizes)
    assert not is_ours({**sizes, 9_999: 5 * MIB})
    assert not is_ours({1: 5})
