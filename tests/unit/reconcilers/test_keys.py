"""Keys, tokens and URLs out of Secrets: what is no key is told by its place, never by its value."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import SecretStr

from together_operator.adapters.core_v1 import CoreV1
from together_operator.adapters.kube import KubeSecrets
from together_operator.api.v1alpha1 import SecretKeyRef
from together_operator.config import ConfigError, load
from together_operator.domain.errors import SecretUnavailable, Unauthorized
from together_operator.reconcilers.account import UNUSED_SECONDS, Accounts, read_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kubernetes.aio import client

    from together_operator.ports import ModelProvider

LISTS = ("list_models", "list_imports", "list_endpoints")
REFERENCE = SecretKeyRef(name="keys", key="token")


class OneSecret:
    """`Secrets` with one of them."""

    def __init__(self, value: str) -> None:
        self._value = value

    async def read(self, namespace: str, name: str) -> Mapping[str, SecretStr]:
        """Its values."""
        del namespace, name
        return {"token": SecretStr(self._value)}


@pytest.mark.parametrize("value", ["hf_abc", "hf_abc\n", "  https://b.example.com/m.zip?a=b%20c  "])
async def test_blanks_around_a_value_are_nothing(value: str) -> None:
    found = await read_key(OneSecret(value), "team", REFERENCE)

    assert found.get_secret_value() == value.strip()


@pytest.mark.parametrize(
    "value", ["hf abc", "hf_abc\r\nX-Evil: 1", "hf_äbc", "hf_\x00abc", "hf\tabc"]
)
async def test_a_value_that_is_none_is_told_by_its_place(value: str) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        await read_key(OneSecret(value), "team", REFERENCE)

    assert str(caught.value) == (
        "Secret 'keys', key 'token': the value has characters that no token or URL has"
    )


def test_a_malformed_key_of_the_operators_own_ends_the_start_without_being_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp s3cret\r\nX-Evil: 1")

    with pytest.raises(ConfigError, match="TOGETHER_API_KEY") as caught:
        load()
    assert "s3cret" not in str(caught.value)


async def test_a_key_in_a_file_is_the_one_that_is_there_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "api-key"
    file.write_text("tgp_old\n")
    monkeypatch.setenv("TOGETHER_API_KEY_FILE", str(file))
    used = []

    def connect(key: SecretStr) -> ModelProvider:
        used.append(key.get_secret_value())
        return cast("ModelProvider", SimpleNamespace(**dict.fromkeys(LISTS)))

    accounts = Accounts(load().own_key, connect, OneSecret(""))
    old = await accounts.of("team", None)
    assert await accounts.of("team", None) is old

    file.write_text("tgp_new\n")
    assert await accounts.of("team", None) is not old
    assert used == ["tgp_old", "tgp_new"]

    file.unlink()
    with pytest.raises(Unauthorized, match=r"TOGETHER_API_KEY_FILE: .*No such file"):
        await accounts.of("team", None)


async def test_the_lists_of_a_key_that_was_replaced_are_forgotten() -> None:
    now, keys = [0.0], ["tgp_old"]

    def connect(key: SecretStr) -> ModelProvider:
        del key
        return cast("ModelProvider", SimpleNamespace(**dict.fromkeys(LISTS)))

    accounts = Accounts(lambda: SecretStr(keys[-1]), connect, OneSecret(""), lambda: now[0])
    old = weakref.ref(await accounts.of("team", None))
    keys.append("tgp_new")
    await accounts.of("team", None)
    assert old() is not None

    now[0] += UNUSED_SECONDS + 1
    keys.append("tgp_newest")
    newest = await accounts.of("team", None)
    gc.collect()
    assert old() is None
    assert await accounts.of("team", None) is newest


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b" \n", "the file is empty"),
        (b"tgp s3cret", "characters that no key has"),
        (b"tgp_s3cret\xff", "characters that no key has"),
    ],
)
def test_a_file_without_a_key_ends_the_start_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "api-key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("TOGETHER_API_KEY_FILE", str(file))

    with pytest.raises(ConfigError, match=f"TOGETHER_API_KEY_FILE: .*{problem}") as caught:
        load()
    assert "s3cret" not in str(caught.value)


def test_a_key_and_a_file_of_one_are_one_too_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "api-key").write_text("tgp_file")
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp_variable")
    monkeypatch.setenv("TOGETHER_API_KEY_FILE", str(tmp_path / "api-key"))

    with pytest.raises(ConfigError, match="are set: unset one"):
        load()


async def test_another_key_may_be_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    async def secret(self: CoreV1, namespace: str, name: str) -> dict[str, object]:
        del self, namespace, name
        return {"data": {"token": "aGZfYWJj", "keystore.p12": "MIL//g==", "broken": "a"}}

    monkeypatch.setattr(CoreV1, "secret", secret)
    secrets = KubeSecrets(cast("client.ApiClient", None))

    assert (await read_key(secrets, "team", REFERENCE)).get_secret_value() == "hf_abc"
    assert sorted(await secrets.read("team", "keys")) == ["broken", "keystore.p12", "token"]
    for key in ("keystore.p12", "broken"):
        with pytest.raises(SecretUnavailable, match=f"key '{key}': the value is not text"):
            await read_key(secrets, "team", SecretKeyRef(name="keys", key=key))
