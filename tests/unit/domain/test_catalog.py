"""Finding a base model: exactly, or with a hint that helps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from together_operator.domain.catalog import NEAREST, Unknown, resolve
from together_operator.domain.together import SupportedModel

LLAMA = SupportedModel("meta-llama/Llama-3.1-8B-Instruct", "ml_llama8")
LARGER = SupportedModel("meta-llama/Llama-3.1-70B-Instruct", "ml_llama70")
QWEN = SupportedModel("Qwen/Qwen2.5-7B-Instruct", "ml_qwen")
FP8 = SupportedModel("Qwen/Qwen2.5-7B-Instruct", "ml_qwen_fp8")
CATALOG = (LLAMA, LARGER, QWEN, SupportedModel("google/gemma-2-9b-it", "ml_gemma"))


@pytest.mark.parametrize(
    ("wanted", "catalog", "expected"),
    [
        pytest.param(LLAMA.name, CATALOG, LLAMA, id="by name"),
        pytest.param("ml_qwen", CATALOG, QWEN, id="by id"),
        pytest.param("ml_new", CATALOG, SupportedModel("ml_new", "ml_new"), id="an id not listed"),
        pytest.param(QWEN.name, (QWEN, QWEN), QWEN, id="listed twice with one id"),
    ],
)
def test_what_is_found(
    wanted: str, catalog: tuple[SupportedModel, ...], expected: SupportedModel
) -> None:
    assert resolve(wanted, catalog) == expected


def message(wanted: str | None, *catalog: SupportedModel) -> str:
    """What is said when nothing fits."""
    found = resolve(wanted, catalog)
    assert isinstance(found, Unknown), found
    return found.message


def test_a_misspelt_name_is_told_the_nearest_whatever_its_case() -> None:
    said = message("meta-llama/llama-3.1-8b-instruct", *CATALOG)
    assert "is not in Together's catalog" in said
    assert f"the nearest are {LLAMA.name}, {LARGER.name}" in said
    assert "spec.baseModel" in said


def test_no_more_than_three_are_named() -> None:
    many = [SupportedModel(f"org/model-{n}", f"ml_{n}") for n in range(50)]
    said = message("org/model", *many)
    assert sum(entry.name in said.replace(".", ",").split() for entry in many) <= NEAREST
    assert said.count("org/model-") == NEAREST


def test_a_name_like_nothing_in_the_catalog_is_told_so() -> None:
    assert "nothing there has a similar name" in message("zzz", *CATALOG)
    assert "nothing there has a similar name" in message("zzz")


def test_a_name_that_stands_for_several_ids_has_to_be_made_certain() -> None:
    said = message(QWEN.name, QWEN, FP8)
    assert "2 times" in said
    assert "ml_qwen, ml_qwen_fp8" in said


@pytest.mark.parametrize("wanted", [None, ""])
def test_without_a_name_examples_are_given(wanted: str | None) -> None:
    said = message(wanted, *CATALOG)
    assert "does not say which base model" in said
    assert QWEN.name in said


@given(st.text(max_size=40), st.lists(st.sampled_from([*CATALOG, FP8]), max_size=6))
def test_only_what_is_listed_under_the_very_name_is_found(
    wanted: str, catalog: list[SupportedModel]
) -> None:
    found = resolve(wanted, catalog)
    if isinstance(found, SupportedModel) and not wanted.startswith("ml_"):
        assert found.name == wanted
        assert found in catalog
