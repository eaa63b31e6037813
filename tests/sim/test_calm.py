"""What is settled is compared, not decided again, until something of it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sim.manifests import custom_model, hugging_face
from tests.sim.process import RESYNC
from tests.sim.scenarios import furnish
from tests.sim.simulation import MODEL, Simulation
from together_operator.domain.together import ModelChange
from together_operator.reconcilers.custom_model import CustomModelReconciler

if TYPE_CHECKING:
    from together_operator.api.v1alpha1 import CustomModel
    from together_operator.engine.store import Body


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the objects that were looked at in full, in order."""
    names: list[str] = []
    parse = CustomModelReconciler.parse

    def noted(self: CustomModelReconciler, body: Body) -> CustomModel:
        names.append(body["metadata"]["name"])
        return parse(self, body)

    monkeypatch.setattr(CustomModelReconciler, "parse", noted)
    return names


def description(sim: Simulation, model_id: str) -> str:
    """What a model's record at Together says."""
    models = sim.platform.models.at(sim.platform.clock())
    return next(model.description for model in models if model.id == model_id)


def test_a_calm_object_is_decided_again_when_its_record_or_its_body_changes(
    decided: list[str],
) -> None:
    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        sim.apply(custom_model("m", hugging_face(), description="ours"))
        await sim.ready(MODEL, "m")
        await sim.sleep(3 * RESYNC)
        decided.clear()
        await sim.sleep(5 * RESYNC)
        assert decided == []

        model_id = sim.status(MODEL, "m")["model"]["id"]
        sim.platform.update_model(model_id, ModelChange(description="by hand"))
        await sim.until(lambda: description(sim, model_id) == "ours", "ours again")
        assert decided

        await sim.sleep(3 * RESYNC)
        sim.set_spec(MODEL, "m", description="edited")
        await sim.until(lambda: description(sim, model_id) == "edited", "the edit is there")

        await sim.sleep(3 * RESYNC)
        sim.platform.delete_model(model_id)
        await sim.until(
            lambda: sim.status(MODEL, "m").get("model", {}).get("id") not in {None, model_id},
            "another model",
        )

    assert Simulation("1").run(scenario).violations == ()
