"""Which models a ModelDeployment uses, so that they are not deleted under it."""

from __future__ import annotations

from typing import Any

import pytest

from together_operator.domain.deployment.uses import models_in_use, wanted_model

RUNNING = {"id": "dep_1", "state": "READY", "model": "ml_a"}
STOPPED = {"id": "dep_0", "state": "STOPPED", "model": "ml_old"}
TARGET = {"id": "dep_2", "state": "PROVISIONING", "model": "ml_b"}


def _body(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "uid-1"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("status", "used"),
    [
        (None, []),
        ({"model": {"id": "ml_a"}}, []),
        ({"model": {"id": "ml_a"}, "deployment": {"name": "announced"}}, []),
        ({"model": {"id": "ml_a"}, "deployment": {"id": "dep_1"}}, ["ml_a"]),
        ({"deployment": RUNNING}, ["ml_a"]),
        ({"deployment": {**RUNNING, "state": "STOPPED"}}, []),
        ({"deployment": {**RUNNING, "state": "FAILED"}}, []),
        ({"deployment": RUNNING, "previous": {**STOPPED, "state": "STOPPING"}}, ["ml_a", "ml_old"]),
        ({"deployment": RUNNING, "previous": STOPPED}, ["ml_a"]),
        ({"deployment": RUNNING, "rollout": {"target": TARGET}}, ["ml_a", "ml_b"]),
        ({"deployment": RUNNING, "rollout": {"target": {"model": "ml_b"}}}, ["ml_a"]),
        ({"rollout": {"source": {"model": "projects/p/models/ml_a/revisions/rv_1"}}}, ["ml_a"]),
        ({"deployment": RUNNING, "objectUID": "uid-1"}, ["ml_a"]),
        ({"deployment": RUNNING, "objectUID": "uid-of-another"}, []),
    ],
)
def test_what_runs_or_starts_uses_its_model(status: dict[str, Any] | None, used: list[str]) -> None:
    assert list(models_in_use(_body(status))) == used


def test_the_spec_refers_to_a_custom_model_or_to_none() -> None:
    assert wanted_model(_body(modelRef={"name": "a"})) == "a"
    assert wanted_model(_body(model="acme/a")) is None
