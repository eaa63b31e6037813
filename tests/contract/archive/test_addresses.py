"""An archive Job connects to no address that the operator refuses; a person's own run does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.contract.archive.conftest import BUCKET, FixtureStore
from together_operator.archive.locations import HubLocation
from together_operator.archive.network import AddressRefused
from together_operator.archive.sources import Entry
from together_operator.archive.sources.hub import HubSource
from together_operator.cli import cli
from together_operator.domain.addresses import VARIABLE, AddressPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def run(
    full_store: FixtureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[CliRunner, Mapping[str, str], Path]:
    """The command as a Job runs it."""
    monkeypatch.chdir(tmp_path)
    message = tmp_path / "message"
    environ = {**full_store.environ, "TERMINATION_MESSAGE_PATH": str(message)}
    return CliRunner(), environ, message


def archive(
    runner: CliRunner, environ: Mapping[str, str], source: str, *options: str, allowed: str | None
) -> Result:
    words = ["archive", source, f"s3://{BUCKET}/out.zip", "--progress", "json", "--no-check"]
    extra = {} if allowed is None else {VARIABLE: allowed}
    return runner.invoke(cli, [*words, *options], env={**environ, **extra})


@pytest.mark.parametrize("allowed", [None, "127.0.0.0/8"])
def test_loopback_is_fine_for_a_person_and_where_it_is_allowed(
    allowed: str | None,
    run: tuple[CliRunner, Mapping[str, str], Path],
    full_store: FixtureStore,
) -> None:
    runner, environ, _ = run
    done = archive(
        runner,
        environ,
        f"s3://{BUCKET}/source/",
        *("--endpoint-url", full_store.url, "--region", "us-east-1"),
        allowed=allowed,
    )

    assert done.exit_code == 0, done.output
    assert full_store.keys("out.zip") == ["out.zip"]


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_job_refuses_an_address_that_is_not_allowed(
    side: str,
    run: tuple[CliRunner, Mapping[str, str], Path],
    full_store: FixtureStore,
    directory: Path,
) -> None:
    runner, environ, message = run
    source = f"s3://{BUCKET}/source/" if side == "source" else str(directory)
    requests = full_store.fixture.counters.requests.total()

    done = archive(runner, environ, source, "--endpoint-url", full_store.url, allowed="")

    assert done.exit_code == 65, "another try can't help"
    assert f"{full_store.url} leads to an address that is loopback" in done.output
    assert json.loads(message.read_text())["error"] in done.output
    assert full_store.fixture.counters.requests.total() == requests


def test_where_the_hub_redirects_to_is_judged_and_the_hub_itself_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = HubSource(
        HubLocation("org/model", "main"),
        token=None,
        endpoint="http://127.0.0.1:1",
        policy=AddressPolicy(),
        sleep=lambda _: None,
    )
    entry = Entry("model.safetensors", 10, "sha256:0")

    monkeypatch.setattr(source, "address", lambda _: "http://127.0.0.1:2/signed")
    with source.open(entry, 0, 10) as reader, pytest.raises(AddressRefused, match="loopback"):
        reader.readinto(memoryview(bytearray(10)))

    with source.connecting("http://127.0.0.1:1/org/model"):
        pass


def test_a_job_says_which_certificates_are_not_there(
    run: tuple[CliRunner, Mapping[str, str], Path], directory: Path, tmp_path: Path
) -> None:
    runner, environ, _ = run
    bundle = str(tmp_path / "ca.crt")

    done = archive(runner, {**environ, "SSL_CERT_FILE": bundle}, str(directory), allowed="")

    assert done.exit_code == 75, "they may come"
    assert f"there are no certificates at {bundle} (SSL_CERT_FILE)" in done.output
