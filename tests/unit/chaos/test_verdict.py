"""The storm's verdict: it has to see what went wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.chaos.verdict import Allowed, duplicates, is_converged, left, untrue


def made(resource: str, name: str, committed: bool = True, method: str = "POST") -> dict[str, Any]:
    return {"resource": resource, "name": name, "committed": committed, "method": method}


ALLOWED = Allowed(lives=Counter({"storm-a": 1, "storm-b": 2}), sources=Counter({"storm-a": 1}))


@pytest.mark.parametrize(
    ("audit", "excess"),
    [
        pytest.param([made("model", "storm-a")], {}, id="once"),
        pytest.param([made("model", "storm-a")] * 2, {"model storm-a": 1}, id="twice"),
        pytest.param([made("model", "storm-b")] * 2, {}, id="once in each life"),
        pytest.param([made("model", "storm-x")], {"model storm-x": 1}, id="nobody asked for it"),
        pytest.param([made("import", "storm-a")] * 2, {}, id="an import for each source"),
        pytest.param([made("import", "storm-a")] * 3, {"import storm-a": 1}, id="one import more"),
        pytest.param([made("deployment", "d")] * 3, {"deployment d": 2}, id="paid three times"),
        pytest.param([made("endpoint", "storm-a", committed=False)] * 9, {}, id="refused"),
        pytest.param([made("endpoint", "storm-a", method="DELETE")] * 9, {}, id="deleted"),
    ],
)
def test_duplicates(audit: list[dict[str, Any]], excess: dict[str, int]) -> None:
    assert duplicates(audit, ALLOWED) == excess


def test_what_is_left_is_named() -> None:
    state = {"models": [{"name": "m"}], "endpoints": [{"name": "e"}], "deployments": []}
    assert left(state) == ["endpoint e", "model m"]


READY = [{"type": "Ready", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "converged"),
    [
        ({"observedGeneration": 2, "conditions": READY}, True),
        ({"observedGeneration": 1, "conditions": READY}, False),
        ({"observedGeneration": 2, "conditions": []}, False),
        ({"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({}, False),
    ],
)
def test_converged_is_ready_for_this_generation(status: dict[str, Any], converged: bool) -> None:
    assert is_converged({"metadata": {"generation": 2}, "status": status}) is converged


STATE = {
    "models": [{"id": "ml"}],
    "endpoints": [{"id": "ep"}],
    "deployments": [{"id": "dep", "desiredReplicas": 1}],
}
SERVING = {"endpoint": {"id": "ep"}, "deployment": {"id": "dep"}}


def found(kind: str, status: Any, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "a"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("thing", "problems"),
    [
        (found("CustomModel", {"model": {"id": "ml"}}), 0),
        (found("CustomModel", {"model": {"id": "other"}}), 1),
        (found("ModelDeployment", SERVING), 0),
        (found("ModelDeployment", SERVING, replicas=2), 1),
        (found("ModelDeployment", {"endpoint": {"id": "ep"}}, replicas=0), 0),
        (found("ModelDeployment", {}), 2),
    ],
)
def test_a_status_that_is_not_true_is_seen(thing: dict[str, Any], problems: int) -> None:
    assert len(untrue([thing], STATE)) == problems
