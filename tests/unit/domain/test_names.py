"""Names: within each system's limits, readable, and never the same for two things."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.domain.names import (
    MAX_LABEL,
    MAX_REMOTE_NAME,
    derived_name,
    remote_name,
    short_hash,
)

names = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", fullmatch=True)
namespaces = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
REMOTE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
DNS = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


def test_a_remote_name_is_namespace_and_name() -> None:
    assert remote_name("team", "llama") == "team-llama"


def test_a_remote_name_of_just_the_limit_is_not_cut() -> None:
    name = "n" * (MAX_REMOTE_NAME - len("team-"))
    assert remote_name("team", name) == f"team-{name}"


def test_long_remote_names_that_begin_the_same_differ() -> None:
    long = "n" * 120
    one, two = remote_name("team", long + "1"), remote_name("team", long + "2")
    assert one != two
    assert one.startswith("team-nnn")


@given(namespaces, names)
def test_every_remote_name_is_one_that_together_takes(namespace: str, name: str) -> None:
    made = remote_name(namespace, name)
    assert len(made) <= MAX_REMOTE_NAME
    assert REMOTE.fullmatch(made)


@given(names, st.integers(20, MAX_LABEL))
def test_every_derived_name_fits_its_limit_and_is_a_dns_name(name: str, limit: int) -> None:
    made = derived_name(name, "serve", "cluster", "uid", limit=limit)
    assert len(made) <= limit
    assert DNS.fullmatch(made)
    assert made.endswith(f"-serve-{short_hash('cluster', 'uid')}")


def test_a_derived_name_begins_with_the_object_s() -> None:
    assert derived_name("llama", "archive", "uid") == f"llama-archive-{short_hash('uid')}"


@pytest.mark.parametrize(
    ("one", "two"),
    [(("ab", "c"), ("a", "bc")), (("a",), ("a", "")), (("a", "b"), ("b", "a"))],
)
def test_parts_are_told_apart(one: tuple[str, ...], two: tuple[str, ...]) -> None:
    assert short_hash(*one) != short_hash(*two)


def test_a_hash_is_ten_hex_digits_that_never_change() -> None:
    assert short_hash("cluster", "uid") == "37c05d0089"
