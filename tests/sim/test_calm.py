"""What is settled is compared, not decided again, until something of it changes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.process import RESYNC
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Simulation
from together_operator.domain.together import ModelChange
from together_operator.engine.runner import LATEST
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


MANY, SERVED = 40, 6
SLOW = 10.0
"""Seconds for the writes that a look leads to."""


def glances(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, bool]]:
    """By kind, how often it was seen at once that nothing was to do, and how often not."""
    numbers: Counter[tuple[str, bool]] = Counter()
    for kind in (CustomModelReconciler, DeploymentReconciler):
        is_calm = kind.is_calm

        def counted(self: Any, key: Key, is_calm: Any = is_calm) -> bool:
            found: bool = is_calm(self, key)
            numbers[type(self).__name__, found] += 1
            return found

        monkeypatch.setattr(kind, "is_calm", counted)
    return numbers


def test_of_many_objects_most_are_seen_to_be_calm_at_once_and_no_change_is_missed(
    decided: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = glances(monkeypatch)

    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        models = [f"m-{n}" for n in range(MANY)]
        sim.apply(*(custom_model(name, hugging_face(), description="ours") for name in models))
        deployments = [f"d-{n}" for n in range(SERVED)]
        sim.apply(*(model_deployment(f"d-{n}", f"m-{n}") for n in range(SERVED)))
        for name in deployments:
            await sim.ready(DEPLOYMENT, name)
        for name in models:
            await sim.ready(MODEL, name)
        await sim.sleep(2 * RESYNC)
        numbers.clear()
        decided.clear()
        await sim.sleep(5 * RESYNC)
        assert decided == []
        for kind, most in ((CustomModelReconciler, MANY), (DeploymentReconciler, SERVED)):
            calm, rest = numbers[kind.__name__, True], numbers[kind.__name__, False]
            assert calm + rest >= 5 / LATEST * most - most, "each is looked at in each period"
            assert calm > rest, "mostly a list is at hand"

        ids = {name: sim.status(MODEL, name)["model"]["id"] for name in models}
        for name in models[::3]:
            sim.platform.update_model(ids[name], ModelChange(description="by hand"))
        for name in deployments[::2]:
            sim.platform.set_replicas(sim.status(DEPLOYMENT, name)["deployment"]["id"], 3, 3)
        await sim.sleep(RESYNC + SLOW)
        assert {description(sim, id_) for id_ in ids.values()} == {"ours"}
        assert set(models[::3]) <= set(decided)
        assert set(deployments[::2]) <= set(decided)
        assert not set(models[1::3]) & set(decided) - set(models[:SERVED])

        await sim.sleep(2 * RESYNC)
        decided.clear()
        sim.set_spec(MODEL, "m-1", description="edited")
        await sim.until(lambda: "d-1" in decided, "what it serves has changed")

    assert Simulation("1").run(scenario).violations == ()
