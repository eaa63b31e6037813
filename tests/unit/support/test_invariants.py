"""The check of watched versions can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.operator.invariants import status_changes, violations


def version(number: int, observed: int, **conditions: str) -> dict[str, Any]:
    return {
        "kind": "CustomModel",
        "metadata": {"name": "x", "generation": 1, "resourceVersion": str(number)},
        "status": {
            "observedGeneration": observed,
            "conditions": [{"type": kind, "status": value} for kind, value in conditions.items()],
        },
    }


NEW = version(1, -1)
GOOD = version(2, 1, Ready="False", Reconciling="True", Stalled="False")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (version(3, 1, Reconciling="True"), "no condition Ready"),
        (version(3, 1, Ready="False", Reconciling="True", Stalled="True"), "both true"),
        (version(3, 2, Ready="True"), "ahead of the generation"),
    ],
)
def test_a_version_that_breaks_a_rule_is_found(bad: dict[str, Any], words: str) -> None:
    assert list(violations([NEW, GOOD])) == []
    (found,) = violations([NEW, GOOD, bad])
    assert words in found


def test_only_changes_of_the_status_count() -> None:
    assert status_changes([NEW, GOOD, GOOD | {"spec": {}}, NEW]) == 2
