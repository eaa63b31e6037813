"""Ceilings on cost from the environment."""

from __future__ import annotations

import pytest

from together_operator.config import Config, ConfigError, load
from together_operator.controllers import limits_of
from together_operator.reconcilers.spending import Limits

TOTAL, NAMESPACES = (
    "TOGETHER_OPERATOR_MAX_HOURLY_COST",
    "TOGETHER_OPERATOR_NAMESPACE_MAX_HOURLY_COST",
)


@pytest.mark.parametrize(
    ("environment", "limits"),
    [
        ({}, Limits()),
        ({TOTAL: "12.50"}, Limits(1250.0)),
        ({NAMESPACES: "a=10, b=0.5"}, Limits(None, {"a": 1000.0, "b": 50.0})),
        ({NAMESPACES: "a=10,*=5", TOTAL: "0"}, Limits(0.0, {"a": 1000.0}, 500.0)),
    ],
)
def test_ceilings_are_read_in_dollars(
    environment: dict[str, str], limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert limits_of(Config()) == limits


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (TOTAL, "ten", TOTAL),
        (TOTAL, "-1", TOTAL),
        (NAMESPACES, "team-a", "is not namespace=dollars"),
        (NAMESPACES, "team-a=-5", "is not namespace=dollars"),
        (NAMESPACES, "team-a=1e3", "is not namespace=dollars"),
    ],
)
def test_a_ceiling_that_is_no_number_ends_the_start(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=words):
        load()
