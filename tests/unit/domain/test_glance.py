"""A glance at a body: never says settled where the typed decision would have something to do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.domain import situations as s
from together_operator.domain.custom_model import observed
from together_operator.domain.glance import is_settled
from together_operator.domain.plan import MAX_RETRY_VALUE, RETRY_ANNOTATION

READY = s.imported()


def body(**changes: Any) -> dict[str, Any]:
    document = READY.model_dump(by_alias=True, mode="json", exclude_none=True)
    for path, value in changes.items():
        *parents, last = path.split("__")
        at = document
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return document


def ready(**changes: Any) -> dict[str, Any]:
    generation = READY.metadata.generation
    return body(**{"status__phase": "Ready", "status__observedGeneration": generation, **changes})


def test_a_ready_object_has_settled() -> None:
    assert is_settled(ready())


def test_a_retry_that_was_honoured_is_over() -> None:
    long = "x" * 300
    asked = {"metadata__annotations": {RETRY_ANNOTATION: long}}
    assert is_settled(ready(**asked, status__lastRetry=long[:MAX_RETRY_VALUE]))


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata__generation": 99},
        {"metadata__finalizers": []},
        {"metadata__deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"metadata__annotations": {RETRY_ANNOTATION: "2"}, "status__lastRetry": "1"},
        {"metadata__annotations": {RETRY_ANNOTATION: "2"}},
        {"status": {}},
        {"status__phase": "Failed"},
        {"status__intent": {"kind": "Model", "name": "x"}},
        {"status__retry": {"failures": 1}},
        {"status__model": {}},
        {"status__rollout": {"id": "rol_1"}},
        {"status__nextChange": {"time": "2026-01-01T00:00:00Z"}},
        {"spec__schedule": [{"start": "0 8 * * *"}]},
        {"spec__ttl": "24h"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_has_something_to_do_has_not_settled(changes: dict[str, Any]) -> None:
    assert not is_settled(ready(**changes))


@pytest.mark.parametrize(
    "cm",
    [s.custom_model(), s.found(), s.importing("RUNNING"), s.importing("FAILED"), s.imported()],
)
def test_a_glance_is_never_content_where_the_typed_look_is_not(cm: Any) -> None:
    glance = is_settled(cm.model_dump(by_alias=True, mode="json", exclude_none=True))
    assert observed.is_settled(cm) or not glance
