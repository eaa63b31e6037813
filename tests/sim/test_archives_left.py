"""What becomes of archives when an object goes, and the store is not what it was."""

from __future__ import annotations

from tests.sim.manifests import PREFIX, archive, custom_model, s3
from tests.sim.scenarios import furnish
from tests.sim.simulation import MODEL, Simulation
from tests.support.fakes.catalog import EMBEDDING


def test_a_bucket_that_is_not_there_does_not_hold_up_a_deletion() -> None:
    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
        await sim.until(lambda: bool(sim.jobs.jobs), "a Job")
        sim.stores.no_buckets.add("s3://archives/")
        sim.delete(MODEL, "m")
        await sim.gone(MODEL, "m")

    assert Simulation("1").run(scenario).violations == ()


def test_who_retains_archives_need_not_let_unfinished_ones_be_ended() -> None:
    async def scenario(sim: Simulation) -> None:
        furnish(sim)
        kept = {**archive(), "retention": "Retain"}
        sim.judge.archives_may_stay = True
        sim.apply(custom_model("m", s3(PREFIX), archive=kept, baseModel=EMBEDDING))
        await sim.until(lambda: bool(sim.jobs.jobs), "a Job")
        sim.stores.access_key = "another one"
        sim.delete(MODEL, "m")
        await sim.gone(MODEL, "m")

    sim = Simulation("1")
    assert sim.run(scenario).violations == ()
    assert any("archives are left behind" in line for line in sim.logs)
