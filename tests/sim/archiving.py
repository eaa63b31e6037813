"""Sources that a Job packs first, and what becomes of the archives."""

from __future__ import annotations

from tests.sim.manifests import PREFIX, REPO, archive, custom_model, hugging_face, s3
from tests.sim.scenarios import furnish
from tests.sim.simulation import MODEL, Script, Simulation
from tests.support.fakes.catalog import BASES, EMBEDDING
from tests.support.fakes.stores import Repository
from together_operator.domain.together import NewModel

SCENARIOS: dict[str, Script] = {}


def scenario(script: Script) -> Script:
    """Keep a scenario under its name."""
    SCENARIOS[script.__name__] = script
    return script


def _archives(sim: Simulation) -> list[str]:
    return [uri for uri in sim.stores.objects if uri.startswith("s3://archives/")]


@scenario
async def volume(sim: Simulation) -> None:
    """A folder of a volume; its archive goes once it is imported."""
    furnish(sim)
    source = {"persistentVolumeClaim": {"claimName": "weights", "path": "tiny"}}
    sim.apply(custom_model("m", source, archive=archive(), baseModel=EMBEDDING))
    await sim.ready(MODEL, "m")
    await sim.until(lambda: not _archives(sim), "an archive that goes")


@scenario
async def pinned_revision(sim: Simulation) -> None:
    """A revision of a repository is packed, and another one after it."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face(revision="v1"), archive=archive()))
    await sim.ready(MODEL, "m")
    sim.stores.repositories[REPO] = Repository("commit-2", EMBEDDING)
    sim.set_spec(MODEL, "m", source=hugging_face(revision="v2"))
    await sim.ready(MODEL, "m")
    await sim.until(lambda: not _archives(sim), "archives that go")


async def _packing_to_stay(sim: Simulation) -> None:
    furnish(sim)
    sim.judge.archives_may_stay = True
    kept = {**archive(), "retention": "Retain"}
    sim.apply(custom_model("m", s3(PREFIX), archive=kept, baseModel=EMBEDDING))
    await sim.until(lambda: bool(sim.jobs.jobs), "a Job")
    sim.set_up()


@scenario
async def retained_archive(sim: Simulation) -> None:
    """The archive is to stay, whatever becomes of the object."""
    await _packing_to_stay(sim)
    await sim.ready(MODEL, "m")
    sim.delete(MODEL, "m")
    await sim.gone(MODEL, "m")
    if not _archives(sim):
        sim.judge.violations.append("the archive that was to stay is gone")


@scenario
async def lost_archive(sim: Simulation) -> None:
    """Somebody deletes the archive before it is imported: it is packed again."""
    furnish(sim)
    sim.platform.import_failures += ["the URL could not be read"]
    sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("import")), "an import")
    sim.set_up()
    for uri in _archives(sim):
        del sim.stores.objects[uri]
    await sim.ready(MODEL, "m")
    await sim.until(lambda: not _archives(sim), "an archive that goes")


@scenario
async def deleted_while_packing(sim: Simulation) -> None:
    """The object goes while its Job runs: Job and archive go with it."""
    furnish(sim)
    sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
    await sim.until(lambda: bool(sim.jobs.jobs), "a Job")
    await sim.sleep(3)
    sim.delete(MODEL, "m")
    await sim.gone(MODEL, "m")


@scenario
async def retained_and_deleted_while_packing(sim: Simulation) -> None:
    """The object goes while its Job runs, and archives are to stay: only the Job goes with it."""
    await _packing_to_stay(sim)
    await sim.sleep(3)
    sim.delete(MODEL, "m")
    await sim.gone(MODEL, "m")


@scenario
async def adopted_before_packing(sim: Simulation) -> None:
    """A model has the name: it is told before anything is packed, and may be adopted."""
    furnish(sim)
    base = next(base_id for base_id, base in BASES.items() if base.name == EMBEDDING)
    sim.platform.create_model(NewModel("taken", base, "model"))
    sim.apply(
        custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING, modelName="taken")
    )
    await sim.shows(MODEL, "m", "NameTaken")
    sim.judge.adopted.add("taken")
    sim.set_spec(MODEL, "m", adoptionPolicy="Adopt", deletionPolicy="Retain")
    await sim.ready(MODEL, "m")
