"""What the environment says about archive Jobs and about where users may lead them."""

from __future__ import annotations

import pytest

from together_operator.app import worker_of
from together_operator.config import Config, ConfigError, load
from together_operator.domain.addresses import AddressPolicy
from together_operator.domain.archive_manifest import Certificates, Worker

PREFIX = "TOGETHER_OPERATOR_"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_nothing_is_allowed_and_nothing_passed_on_by_default() -> None:
    assert worker_of(Config()) == Worker("together-operator:latest")


def test_everything_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        f"{PREFIX}ARCHIVE_IMAGE": "r.test/worker:1",
        f"{PREFIX}ALLOWED_ADDRESSES": "127.0.0.0/8, ::1",
        f"{PREFIX}ARCHIVE_CA_CONFIG_MAP": "bundle",
        f"{PREFIX}ARCHIVE_CA_KEY": "root.pem",
        "HF_ENDPOINT": "https://mirror.test",
        "HTTPS_PROXY": "http://proxy.test:3128",
        "NO_PROXY": ".corp",
    }.items():
        monkeypatch.setenv(name, value)

    assert worker_of(Config()) == Worker(
        "r.test/worker:1",
        "https://mirror.test",
        AddressPolicy.parse("127.0.0.0/8,::1"),
        {"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": ".corp"},
        Certificates(config_map="bundle", key="root.pem"),
    )


def test_a_network_that_is_none_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ALLOWED_ADDRESSES", "127.0.0.0/8,minio")

    with pytest.raises(ConfigError, match=f"{PREFIX}ALLOWED_ADDRESSES.*'minio' is neither"):
        load()
