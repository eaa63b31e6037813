"""What people do to objects that only the operator should: none of it may cost somebody else."""

from __future__ import annotations

from typing import Any

from tests.sim.manifests import custom_model, hugging_face, model_deployment
from tests.sim.scenarios import furnish
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Simulation
from tests.support.fakes.api_server import INITIAL_STATUS, Manifest
from tests.support.fakes.catalog import EMBEDDING
from tests.support.fakes.stores import Repository
from together_operator.engine.store import Key


async def _two_models(sim: Simulation) -> None:
    furnish(sim)
    sim.stores.repositories["acme/other"] = Repository("commit-9", EMBEDDING)
    sim.apply(
        custom_model("mine", hugging_face()), custom_model("theirs", hugging_face("acme/other"))
    )
    await sim.ready(MODEL, "mine")
    await sim.ready(MODEL, "theirs")


def _wipe(body: Manifest) -> None:
    body["status"] = dict(INITIAL_STATUS)


async def wiped_model(sim: Simulation) -> None:
    """A status is wiped: the record counts as somebody else's until it may be taken over."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")
    sim.judge.forgiven.add("team-m")
    sim.edit(MODEL, "m", _wipe)
    await sim.shows(MODEL, "m", "NameTaken")
    sim.judge.adopted.add("team-m")
    sim.set_spec(MODEL, "m", adoptionPolicy="Adopt")
    await sim.ready(MODEL, "m")
    sim.judge.forgiven.clear()


async def wiped_deployment(sim: Simulation) -> None:
    """A status is wiped: the deployment's name tells whose it is."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    sim.edit(DEPLOYMENT, "d", _wipe)
    await sim.ready(DEPLOYMENT, "d")


async def wiped_and_deleted(sim: Simulation) -> None:
    """A status is wiped and the object deleted at once: what costs goes all the same."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    sim.edit(DEPLOYMENT, "d", _wipe)
    sim.delete(DEPLOYMENT, "d")
    await sim.gone(DEPLOYMENT, "d")


async def forged_model(sim: Simulation) -> None:
    """The status names another object's model and import; then the object is deleted."""
    await _two_models(sim)
    theirs = sim.status(MODEL, "theirs")

    def forge(body: Manifest) -> None:
        body["status"] = {**body["status"], "model": theirs["model"], "import": theirs["import"]}

    sim.judge.forgiven.add("team-mine")
    sim.edit(MODEL, "mine", forge)
    await sim.sleep(80)
    if sim.status(MODEL, "mine").get("model") == theirs["model"]:
        sim.judge.violations.append("a forged id is still believed")
    sim.judge.adopted.add("team-mine")
    sim.set_spec(MODEL, "mine", description="as of now", adoptionPolicy="Adopt")
    await sim.ready(MODEL, "mine")
    sim.edit(MODEL, "mine", forge)
    sim.delete(MODEL, "mine")
    await sim.gone(MODEL, "mine")
    await sim.ready(MODEL, "theirs")


async def forged_deployment(sim: Simulation) -> None:
    """The status names another object's endpoint and deployment; then the object is deleted."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face()),
        model_deployment("mine", "m"),
        model_deployment("theirs", "m"),
    )
    await sim.ready(DEPLOYMENT, "mine")
    await sim.ready(DEPLOYMENT, "theirs")
    theirs = sim.status(DEPLOYMENT, "theirs")

    def forge(body: Manifest) -> None:
        body["status"] = {
            **body["status"],
            "endpoint": theirs["endpoint"],
            "deployment": theirs["deployment"],
        }

    sim.edit(DEPLOYMENT, "mine", forge)
    sim.set_spec(DEPLOYMENT, "mine", replicas=2)
    await sim.ready(DEPLOYMENT, "mine")
    sim.edit(DEPLOYMENT, "mine", forge)
    sim.delete(DEPLOYMENT, "mine")
    await sim.gone(DEPLOYMENT, "mine")
    await sim.ready(DEPLOYMENT, "theirs")


async def forced_finalizer(sim: Simulation) -> None:
    """Somebody takes the finalizer off: it comes back before anything is lost."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("model")), "a model")
    body = sim.get(MODEL, "m")
    assert body is not None
    uid = body["metadata"]["uid"]
    sim.judge.unguarded.add(uid)
    sim.judge.lose(uid)  # should somebody delete it now, nothing could hold it
    sim.edit(MODEL, "m", lambda body: body["metadata"].update(finalizers=[]))
    await sim.until(lambda: bool(_finalizers(sim)), "the finalizer again")
    sim.judge.keep(uid)
    await sim.ready(MODEL, "m")


def _finalizers(sim: Simulation) -> Any:
    body = sim.get(MODEL, "m")
    return body["metadata"].get("finalizers") if body is not None else None


async def restored_from_a_backup(sim: Simulation) -> None:
    """The cluster is lost and restored: new UIDs with old statuses beside what still runs."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    for kind, name in ((DEPLOYMENT, "d"), (MODEL, "m")):
        sim.restore(kind, name)
    await sim.shows(MODEL, "m", "NameTaken")
    await sim.until(
        lambda: sim.status(DEPLOYMENT, "d").get("endpoint") is None, "an endpoint of nobody"
    )
    sim.delete(DEPLOYMENT, "d")
    sim.delete(MODEL, "m")
    await sim.gone(DEPLOYMENT, "d")
    await sim.gone(MODEL, "m")
    if len(sim.platform.models.live()) != 1 or len(sim.platform.deployments.live()) != 1:
        sim.judge.violations.append("what the lost cluster left is gone")


async def restored_etcd(sim: Simulation) -> None:
    """etcd is restored: the statuses forget what was bought since, and it is found by its names."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("import")), "an import")
    backup = sim.server.backup()
    await sim.ready(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", replicas=2)
    await sim.ready(DEPLOYMENT, "d")
    sim.restore_etcd(backup)
    await sim.ready(MODEL, "m")
    await sim.ready(DEPLOYMENT, "d")


async def restored_etcd_has_the_deleted(sim: Simulation) -> None:
    """etcd is restored: what was deleted since is there again, and is bought again."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")
    backup = sim.server.backup()
    sim.delete(MODEL, "m")
    await sim.gone(MODEL, "m")
    sim.restore_etcd(backup)
    await sim.until(lambda: len(sim.platform.models.live()) == 1, "the model again")
    await sim.ready(MODEL, "m")


async def one_name_in_two_namespaces(sim: Simulation) -> None:
    """Two objects want one name: one has it, and the other one says so and touches nothing."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face(), modelName="wanted"),
        custom_model("m", hugging_face(), namespace="other", modelName="wanted"),
    )

    def told() -> bool:
        keys = (Key(NAMESPACE, "m"), Key("other", "m"))
        reasons = [sim.reason(MODEL, key) for key in keys]
        return sorted(reasons) == ["NameTaken", "Ready"]

    # Whose request was first is not to be known when an answer was lost: one of the two has it.
    sim.judge.adopted.add("wanted")
    sim.judge.forgiven.add("wanted")
    await sim.until(told, "one that is ready, and one whose name is taken")
    loser = NAMESPACE if sim.reason(MODEL, Key(NAMESPACE, "m")) == "NameTaken" else "other"
    sim.server.delete(MODEL, Key(loser, "m"))
    await sim.until(lambda: len(sim.server.all()) == 1, "only the owner")
    [owner] = sim.server.all()
    if "deletionTimestamp" not in owner["metadata"] and len(sim.platform.models.live()) != 1:
        sim.judge.violations.append("the model went with the object that did not have it")
    await sim.all_gone()
    if sim.platform.models.live():
        sim.judge.violations.append("the model was left behind")


SCENARIOS = {
    script.__name__: script
    for script in (
        wiped_model,
        wiped_deployment,
        wiped_and_deleted,
        forged_model,
        forged_deployment,
        forced_finalizer,
        restored_from_a_backup,
        restored_etcd,
        restored_etcd_has_the_deleted,
        one_name_in_two_namespaces,
    )
}
