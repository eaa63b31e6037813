"""The judge of the simulation sees what it is there for, and the same seed gives the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog

from tests.sim.manifests import (
    HUB_TOKEN,
    custom_model,
    hugging_face,
    model_deployment,
    private_repository,
)
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, Script, Simulation
from tests.sim.sweep import SCENARIOS, stormy
from together_operator.domain.together import DeploymentState, NewModel
from together_operator.engine.store import Key
from together_operator.reconcilers.custom_model import CustomModelReconciler

KEY = Key("team", "m")


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_nothing_is_violated_when_nothing_fails(scenario: str) -> None:
    assert Simulation("any").run(SCENARIOS[scenario]).violations == ()


def test_a_seed_decides_everything() -> None:
    first, again = (stormy("deployed", "7", 0.1).run(SCENARIOS["deployed"]) for _ in range(2))
    assert first == again
    assert first.met


async def _ready(sim: Simulation) -> None:
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")


async def a_forced_finalizer(sim: Simulation) -> None:
    await _ready(sim)
    sim.edit(MODEL, "m", lambda body: body["metadata"].update(finalizers=[]))
    sim.delete(MODEL, "m")
    sim.server.observers.remove(sim.judge.on_change)


async def an_early_release(sim: Simulation) -> None:
    await _ready(sim)
    body = sim.server.get(MODEL, KEY)
    assert body is not None
    sim.server.set_finalizers(MODEL, body, [])


async def a_write_without_a_change(sim: Simulation) -> None:
    await _ready(sim)
    body = sim.server.get(MODEL, KEY)
    assert body is not None
    sim.server.write_status(MODEL, body, body["status"])


async def a_secret_in_a_status(sim: Simulation) -> None:
    furnish(sim)
    sim.apply(custom_model("m", private_repository()))
    await sim.ready(MODEL, "m")
    body = sim.server.get(MODEL, KEY)
    assert body is not None
    status = {**body["status"], "phase": f"with {HUB_TOKEN}"}
    sim.server.write_status(MODEL, body, status)


async def a_secret_in_a_log_line(sim: Simulation) -> None:
    await _ready(sim)
    structlog.get_logger("any").info("told", token=HUB_TOKEN)


async def a_signed_url_in_a_crash(sim: Simulation) -> None:
    await _ready(sim)
    try:
        int(sim.stores.sign("s3://a/b", 60))
    except ValueError:
        structlog.get_logger("any").exception("crashed")


async def a_reconcile_that_crashes(sim: Simulation) -> None:
    """Once: it is tried again, so that all ends well."""
    gather, looks = CustomModelReconciler.gather, 0

    async def crash_once(self: Any, resource: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyError("a defect")
        return await gather(self, resource)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CustomModelReconciler, "gather", crash_once)
        await _ready(sim)


def _create_another_model(sim: Simulation, uid: str) -> None:
    row = sim.platform.models.row(sim.status(MODEL, "m")["model"]["id"])
    assert row is not None
    assert row.current is not None
    sim.platform.create_model(NewModel("second", row.current.base_model_id, "model"), uid)


async def a_second_model(sim: Simulation) -> None:
    await _ready(sim)
    _create_another_model(sim, sim.server.all()[0]["metadata"]["uid"])


async def a_foreign_deletion(sim: Simulation) -> None:
    await _ready(sim)
    sim.platform.delete_model(sim.status(MODEL, "m")["model"]["id"], "another-uid")


async def a_lie(sim: Simulation) -> None:
    await _ready(sim)
    sim.vanish(sim.platform.models, sim.status(MODEL, "m")["model"]["id"])
    sim.judge.check_truth(MODEL, "m")


async def both_flags(sim: Simulation) -> None:
    await _ready(sim)
    body = sim.server.get(MODEL, KEY)
    assert body is not None
    conditions = [
        {**c, "status": "True"} if c["type"] != "Ready" else c for c in body["status"]["conditions"]
    ]
    sim.server.write_status(MODEL, body, {**body["status"], "conditions": conditions})


def _write(sim: Simulation, kind: str, name: str, **fields: Any) -> None:
    """Somebody writes these fields of a status."""
    body = sim.get(kind, name)
    assert body is not None
    sim.server.write_status(kind, body, {**body["status"], **fields})


async def a_status_without_ready(sim: Simulation) -> None:
    await _ready(sim)
    conditions = sim.status(MODEL, "m")["conditions"]
    _write(sim, MODEL, "m", conditions=[c for c in conditions if c["type"] != "Ready"])


async def a_condition_of_the_future(sim: Simulation) -> None:
    await _ready(sim)
    conditions = sim.status(MODEL, "m")["conditions"]
    _write(sim, MODEL, "m", conditions=[{**c, "observedGeneration": 9} for c in conditions])


async def a_status_of_the_future(sim: Simulation) -> None:
    await _ready(sim)
    _write(sim, MODEL, "m", observedGeneration=9)


async def a_create_without_a_finalizer(sim: Simulation) -> None:
    await _ready(sim)
    sim.edit(MODEL, "m", lambda body: body["metadata"].update(finalizers=[]))
    _create_another_model(sim, sim.server.all()[0]["metadata"]["uid"])


async def a_create_for_nobody(sim: Simulation) -> None:
    await _ready(sim)
    _create_another_model(sim, "uid-of-nobody")


async def _deployed(sim: Simulation) -> str:
    """Everything is ready; gives the deployment's id."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    return str(sim.status(DEPLOYMENT, "d")["deployment"]["id"])


async def a_deployment_that_vanished(sim: Simulation) -> None:
    sim.vanish(sim.platform.deployments, await _deployed(sim))
    sim.judge.check_truth(DEPLOYMENT, "d")


async def a_deployment_that_failed(sim: Simulation) -> None:
    row = sim.platform.deployments.row(await _deployed(sim))
    assert row is not None
    assert row.current is not None
    row.put(sim.loop.time(), replace(row.current, state=DeploymentState.FAILED))
    sim.judge.check_truth(DEPLOYMENT, "d")


async def a_deployment_without_traffic(sim: Simulation) -> None:
    row = sim.platform.deployments.row(await _deployed(sim))
    assert row is not None
    assert row.current is not None
    endpoint = sim.platform.endpoints.row(row.current.endpoint_id)
    assert endpoint is not None
    assert endpoint.current is not None
    endpoint.put(sim.loop.time(), replace(endpoint.current, traffic=()))
    sim.judge.check_truth(DEPLOYMENT, "d")


async def a_wrong_number_of_replicas(sim: Simulation) -> None:
    await _deployed(sim)
    _write(sim, DEPLOYMENT, "d", readyReplicas=7)
    sim.judge.check_truth(DEPLOYMENT, "d")


async def a_deployment_that_runs_on(sim: Simulation) -> None:
    await _deployed(sim)
    sim.set_spec(DEPLOYMENT, "d", replicas=0)
    sim.judge.check_truth(DEPLOYMENT, "d")


@pytest.mark.parametrize(
    ("crime", "words"),
    [
        (a_forced_finalizer, "left without an owner: model team-m"),
        (an_early_release, "finalizer released while model team-m"),
        (a_write_without_a_change, "written without a change"),
        (a_secret_in_a_status, "a secret shows in CustomModel m"),
        (a_secret_in_a_log_line, "a secret shows in a log line"),
        (a_signed_url_in_a_crash, "a signed URL shows in a log line"),
        (a_reconcile_that_crashes, "reconcile crashed"),
        (a_second_model, "at the same time"),
        (a_foreign_deletion, "by another-uid, but it is"),
        (a_lie, "says that it is ready, but its model does not exist"),
        (a_second_model, "not announced"),
        (a_status_without_ready, "a status without Ready"),
        (a_condition_of_the_future, "a condition of a generation to come"),
        (a_status_of_the_future, "observedGeneration 9"),
        (a_create_without_a_finalizer, "its object has no finalizer"),
        (a_create_for_nobody, "its object is gone"),
        (a_deployment_that_vanished, "but its deployment does not exist"),
        (a_deployment_that_failed, "but its deployment is FAILED"),
        (a_deployment_without_traffic, "but it has no traffic"),
        (a_wrong_number_of_replicas, "but the number of replicas is wrong"),
        (a_deployment_that_runs_on, "but its deployment is not stopped"),
        (both_flags, "both Reconciling and Stalled"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_crime_is_seen(crime: Script, words: str) -> None:
    assert any(words in found for found in Simulation("any").run(crime).violations)
