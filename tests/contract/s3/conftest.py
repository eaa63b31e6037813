"""Fixtures of the S3 adapter's tests: a store, a thread pool, and an AWS environment of its own."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.simulators.s3 import S3Simulator
from together_operator.adapters.s3 import S3Archives
from together_operator.api.v1alpha1 import CredentialsSecretRef, S3Location
from together_operator.domain.addresses import AddressPolicy

BUCKET = "models"
SECRET = "s3-credentials"
HERE = AddressPolicy.parse("127.0.0.0/8,::1")
"""Where the simulators are."""


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing of the machine's own AWS configuration, and no look at a metadata service."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Where blocking calls run."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def archives(threads: ThreadPoolExecutor) -> S3Archives:
    """The adapter."""
    return S3Archives(threads, HERE)


@pytest.fixture
def store(s3_sim: S3Simulator) -> S3Simulator:
    """A store with an empty bucket."""
    s3_sim.create_bucket(BUCKET)
    return s3_sim


@pytest.fixture
def location(store: S3Simulator) -> S3Location:
    """The store, as a spec says it."""
    return S3Location(
        region=store.region,
        endpoint_url=store.url,
        credentials_secret_ref=CredentialsSecretRef(name=SECRET),
    )


@pytest.fixture
def credentials(store: S3Simulator) -> dict[str, SecretStr]:
    """The values of a Secret that the store lets in."""
    return keys(store.access_key_id, store.secret_access_key)


def keys(access_key_id: str, secret_access_key: str) -> dict[str, SecretStr]:
    """Values as a Secret holds them."""
    return {
        "AWS_ACCESS_KEY_ID": SecretStr(access_key_id),
        "AWS_SECRET_ACCESS_KEY": SecretStr(secret_access_key),
    }


@pytest.fixture
def short_lived(
    aws_environment: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[S3Simulator, list[datetime]], Path]:
    """Make the ambient identity one of sessions that end, by boto3's own `credential_process`."""

    def install(store: S3Simulator, ends: list[datetime]) -> Path:
        asked = tmp_path / "asked"
        answers = [
            json.dumps(
                {
                    "Version": 1,
                    "AccessKeyId": store.access_key_id,
                    "SecretAccessKey": store.secret_access_key,
                    "SessionToken": f"session-{number}",
                    "Expiration": end.astimezone(UTC).isoformat(),
                }
            )
            for number, end in enumerate(ends)
        ]
        script = tmp_path / "identity.py"
        script.write_text(
            "from pathlib import Path\n"
            f"answers, asked = {answers!r}, Path({str(asked)!r})\n"
            "before = len(asked.read_text()) if asked.exists() else 0\n"
            "asked.write_text('x' * (before + 1))\n"
            "print(answers[min(before, len(answers) - 1)])\n"
        )
        config = Path(os.environ["AWS_CONFIG_FILE"])
        config.write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
        return asked

    return install
