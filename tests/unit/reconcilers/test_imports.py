"""The import that an object follows is among those that are looked at, listed or not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.domain import situations as s
from together_operator.reconcilers.custom_model import CustomModelReconciler

if TYPE_CHECKING:
    from together_operator.api.v1alpha1 import CustomModel
    from together_operator.domain.together import Import


class Together:
    """An account whose list of imports is cut short."""

    def __init__(self) -> None:
        self.provider = self
        self.imports = self
        self.asked: list[str] = []

    def clock(self) -> float:
        return 100.0

    def age(self, seconds: float) -> float:
        return seconds

    async def read(self, since: float) -> Together:
        del since
        return self

    def find(self, model_id: str) -> list[Import]:
        del model_id
        return [s.remote_import("SUCCEEDED", "job_earlier", ago=7200)]

    async def get_import(self, import_id: str) -> Import:
        self.asked.append(import_id)
        return s.remote_import("SUCCEEDED", import_id)


@pytest.mark.parametrize(
    ("cm", "asked"),
    [
        pytest.param(s.importing(), [s.JOB_ID], id="it runs"),
        pytest.param(s.importing("SUCCEEDED"), [s.JOB_ID], id="its revision is awaited"),
        pytest.param(s.imported(), [], id="all is done"),
        pytest.param(s.importing("FAILED"), [], id="it failed"),
    ],
)
async def test_one_that_is_not_listed_is_asked_for_by_its_id(
    cm: CustomModel, asked: list[str]
) -> None:
    """Without when it began, an earlier import's revision would pass for the one it makes."""
    together: Any = Together()
    world = SimpleNamespace(process=s.PROCESS, now=lambda: s.NOW)
    reconciler: Any = object.__new__(CustomModelReconciler)
    reconciler.world = world

    found = await reconciler._imports(cm, together, s.MODEL.id)

    assert together.asked == asked
    assert [job.id for job in found] == [*asked, "job_earlier"]
