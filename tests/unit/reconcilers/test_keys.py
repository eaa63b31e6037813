"""Keys, tokens and URLs out of Secrets: what is no key is told by its place, never by its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from together_operator.api.v1alpha1 import SecretKeyRef
from together_operator.config import ConfigError, load
from together_operator.domain.errors import SecretUnavailable
from together_operator.reconcilers.account import read_key

if TYPE_CHECKING:
    from collections.abc import Mapping

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
