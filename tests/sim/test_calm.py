"""What is settled is compared, not decided again, until something of it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.process import RESYNC
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Simulation
from together_operator.domain.together import ModelChange
from together_operator.engine.store import Key
from together_operator.reconcilers.custom_model import CustomModelReconciler
from together_operator.reconcilers.deployment import DeploymentReconciler

if TYPE_CHECKING:
    from together_operator.api.v1alpha1 import CustomModel, ModelDeployment
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
    parse_deployment = DeploymentReconciler.parse

    def noted_deployment(self: DeploymentReconciler, body: Body) -> ModelDeployment:
        names.append(body["metadata"]["name"])
        return parse_deployment(self, body)

    monkeypatch.setattr(DeploymentReconciler, "parse", noted_deployment)
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


async def serve(sim: Simulation, **spec: Any) -> None:
    """A model and a deployment of it that have settled."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m", **spec))
    await sim.ready(DEPLOYMENT, "d")
    await sim.sleep(3 * RESYNC)


def test_a_calm_deployment_is_decided_again_when_something_of_it_changes(
    decided: list[str],
) -> None:
    async def scenario(sim: Simulation) -> None:
        await serve(sim)
        decided.clear()
        await sim.sleep(5 * RESYNC)
        assert decided == []

        status = sim.status(DEPLOYMENT, "d")
        deployment_id = status["deployment"]["id"]
        sim.platform.set_replicas(deployment_id, 3, 3)
        await sim.until(lambda: "d" in decided, "what was done by hand is seen")
        await sim.ready(DEPLOYMENT, "d")

        await sim.sleep(3 * RESYNC)
        decided.clear()
        sim.set_spec(MODEL, "m", description="edited")
        await sim.until(lambda: "d" in decided, "what it serves has changed")

        await sim.sleep(3 * RESYNC)
        decided.clear()
        sim.set_spec(DEPLOYMENT, "d", replicas=2)
        await sim.until(lambda: "d" in decided, "it has changed itself")
        await sim.until(lambda: sim.status(DEPLOYMENT, "d").get("readyReplicas") == 2, "two run")

    assert Simulation("1").run(scenario).violations == ()


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"connection": {"configMapName": "c"}}, id="a ConfigMap can be changed"),
        pytest.param(
            {"schedule": {"windows": [{"start": "0 0 * * *", "stop": "59 23 * * *"}]}},
            id="time asks for changes",
        ),
    ],
)
def test_what_rests_on_more_is_decided_anew(decided: list[str], spec: dict[str, Any]) -> None:
    async def scenario(sim: Simulation) -> None:
        await serve(sim, **spec)
        decided.clear()
        await sim.sleep(3 * RESYNC)
        assert "d" in decided

    assert Simulation("1").run(scenario).violations == ()


def test_after_a_restart_what_runs_goes_on_costing(decided: list[str]) -> None:
    async def scenario(sim: Simulation) -> None:
        await serve(sim)
        (before,) = sim.runs.values()
        key = Key(NAMESPACE, "d")
        rate, _ = before.controllers.spending.take_bills(sim.loop.now())[key]
        assert rate > 0

        decided.clear()
        sim.restart()
        await sim.sleep(10.0)
        (after,) = sim.runs.values()
        assert after is not before
        assert "d" not in decided, "it was not looked at yet"
        assert after.controllers.spending.take_bills(sim.loop.now())[key][0] == rate

        await sim.sleep(3 * RESYNC)
        assert "d" in decided
        assert after.controllers.spending.take_bills(sim.loop.now())[key][0] == rate

    assert Simulation("1").run(scenario).violations == ()
