"""The judge of the simulation sees what it is there for, and the same seed gives the same run."""

from __future__ import annotations

import pytest
import structlog

from tests.sim.manifests import HUB_TOKEN, custom_model, hugging_face, private_repository
from tests.sim.scenarios import furnish
from tests.sim.simulation import MODEL, Script, Simulation
from tests.sim.sweep import SCENARIOS, stormy
from together_operator.domain.together import NewModel
from together_operator.engine.store import Key

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


async def a_second_model(sim: Simulation) -> None:
    await _ready(sim)
    row = sim.platform.models.row(sim.status(MODEL, "m")["model"]["id"])
    assert row is not None
    assert row.current is not None
    uid = sim.server.all()[0]["metadata"]["uid"]
    sim.platform.create_model(NewModel("second", row.current.base_model_id, "model"), uid)


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


@pytest.mark.parametrize(
    ("crime", "words"),
    [
        (a_forced_finalizer, "left without an owner: model team-m"),
        (an_early_release, "finalizer released while model team-m"),
        (a_write_without_a_change, "written without a change"),
        (a_secret_in_a_status, "a secret shows in CustomModel m"),
        (a_secret_in_a_log_line, "a secret shows in a log line"),
        (a_signed_url_in_a_crash, "a signed URL shows in a log line"),
        (a_second_model, "at the same time"),
        (a_foreign_deletion, "by another-uid, but it is"),
        (a_lie, "says that it is ready, but its model does not exist"),
        (both_flags, "both Reconciling and Stalled"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_crime_is_seen(crime: Script, words: str) -> None:
    assert any(words in found for found in Simulation("any").run(crime).violations)
