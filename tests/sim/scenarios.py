"""What people do, told once; the sweeps have it fail at every point."""

from __future__ import annotations

from tests.sim.manifests import (
    ARCHIVE,
    HUB_TOKEN,
    PREFIX,
    PRIVATE_REPO,
    REPO,
    S3_KEY,
    archive,
    custom_model,
    hugging_face,
    model_deployment,
    presigned,
    private_repository,
    s3,
)
from tests.sim.process import RESYNC
from tests.sim.simulation import DEPLOYMENT, MODEL, NAMESPACE, Script, Simulation
from tests.support.fakes.catalog import BASES, EMBEDDING
from tests.support.fakes.stores import Repository
from together_operator.domain.plan import RELEASE_ANNOTATION
from together_operator.domain.together import NewModel

SCENARIOS: dict[str, Script] = {}


def scenario(script: Script) -> Script:
    """Keep a scenario under its name."""
    SCENARIOS[script.__name__] = script
    return script


def furnish(sim: Simulation) -> None:
    """What is there before people come: sources and Secrets."""
    sim.stores.repositories[REPO] = Repository("commit-1", EMBEDDING)
    sim.stores.repositories[PRIVATE_REPO] = Repository("commit-1", EMBEDDING, HUB_TOKEN)
    sim.stores.access_key = S3_KEY
    sim.stores.put(ARCHIVE)
    sim.stores.put(f"{PREFIX}config.json")
    sim.stores.put(f"{PREFIX}model.safetensors", size=10_000)
    sim.secrets.put(NAMESPACE, "hub", {"token": HUB_TOKEN})
    keys = {"AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": "s3-very-secret"}
    sim.secrets.put(NAMESPACE, "s3", keys)
    sim.secrets.put(NAMESPACE, "url", {"url": sim.stores.sign(ARCHIVE, 7200)})


# Sources.


@scenario
async def hub_repository(sim: Simulation) -> None:
    """A public repository."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")


@scenario
async def private_hub_repository(sim: Simulation) -> None:
    """A repository that takes a token."""
    furnish(sim)
    sim.apply(custom_model("m", private_repository()))
    await sim.ready(MODEL, "m")


@scenario
async def s3_archive(sim: Simulation) -> None:
    """An archive in S3, presigned by the operator."""
    furnish(sim)
    sim.apply(custom_model("m", s3(ARCHIVE), baseModel=EMBEDDING))
    await sim.ready(MODEL, "m")


@scenario
async def s3_prefix(sim: Simulation) -> None:
    """Files in S3, packed by a Job."""
    furnish(sim)
    sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
    await sim.ready(MODEL, "m")


@scenario
async def presigned_url(sim: Simulation) -> None:
    """A URL that somebody signed."""
    furnish(sim)
    sim.apply(custom_model("m", presigned(), baseModel=EMBEDDING))
    await sim.ready(MODEL, "m")


# Failures that end by themselves, or by a person.


@scenario
async def failing_imports(sim: Simulation) -> None:
    """Together fails an import, then restarts one by itself, then succeeds."""
    furnish(sim)
    sim.platform.import_failures += ["out of disk", "restart"]
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")


@scenario
async def failing_jobs(sim: Simulation) -> None:
    """The first Job fails, the second one packs."""
    furnish(sim)
    sim.jobs.failures += ["the store went away"]
    sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
    await sim.ready(MODEL, "m")


@scenario
async def mended_secret(sim: Simulation) -> None:
    """A Secret comes late, wrong at first."""
    furnish(sim)
    sim.secrets.remove(NAMESPACE, "hub")
    sim.apply(custom_model("m", private_repository()))
    await sim.until(lambda: sim.status(MODEL, "m").get("phase") == "Failed", "a stalled model")
    sim.secrets.put(NAMESPACE, "hub", {"token": "hf_wrong"})
    await sim.sleep(8)
    sim.secrets.put(NAMESPACE, "hub", {"token": HUB_TOKEN})
    await sim.ready(MODEL, "m")


# Changes.


@scenario
async def changed_source(sim: Simulation) -> None:
    """Another repository for a model that is ready, and another description."""
    furnish(sim)
    sim.stores.repositories["acme/other"] = Repository("commit-7", EMBEDDING)
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")
    sim.set_spec(MODEL, "m", source=hugging_face("acme/other"), description="the other one")
    await sim.ready(MODEL, "m")


@scenario
async def source_changed_in_mid_flight(sim: Simulation) -> None:
    """Another source while the first one is imported, and while one is archived."""
    furnish(sim)
    sim.apply(custom_model("m", s3(PREFIX), archive=archive(), baseModel=EMBEDDING))
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("job")), "a Job")
    sim.set_spec(MODEL, "m", source=s3(ARCHIVE))
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("import")), "an import")
    sim.set_spec(MODEL, "m", source=hugging_face())
    await sim.ready(MODEL, "m")


@scenario
async def rotated_secrets(sim: Simulation) -> None:
    """Token and S3 keys are exchanged in the middle of the way."""
    furnish(sim)
    sim.apply(
        custom_model("a", private_repository()),
        custom_model("b", s3(PREFIX), archive=archive(), baseModel=EMBEDDING),
    )
    await sim.until(lambda: bool(sim.status(MODEL, "b").get("job")), "a Job")
    sim.secrets.put(NAMESPACE, "hub", {"token": "hf_rotated"})
    sim.stores.repositories[PRIVATE_REPO].token = "hf_rotated"
    sim.secrets.put(NAMESPACE, "s3", {"AWS_ACCESS_KEY_ID": "AKIA-rotated"})
    sim.stores.access_key = "AKIA-rotated"
    await sim.ready(MODEL, "a")
    await sim.ready(MODEL, "b")


@scenario
async def rotated_api_key(sim: Simulation) -> None:
    """An object's own key is exchanged, and the old one revoked."""
    furnish(sim)
    sim.secrets.put(NAMESPACE, "together", {"TOGETHER_API_KEY": "first-key"})
    sim.platform.keys.add("first-key")
    reference = {"name": "together"}
    sim.apply(
        custom_model("m", hugging_face(), apiKeySecretRef=reference),
        model_deployment("d", "m", apiKeySecretRef=reference),
    )
    await sim.ready(MODEL, "m")
    sim.platform.keys -= {"first-key"}
    await sim.sleep(6)
    sim.secrets.put(NAMESPACE, "together", {"TOGETHER_API_KEY": "second-key"})
    sim.platform.keys.add("second-key")
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def suspended_and_resumed(sim: Simulation) -> None:
    """Suspended from the start, resumed, suspended in mid-flight, resumed."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face(), suspend=True), model_deployment("d", "m", suspend=True)
    )
    await sim.shows(MODEL, "m", "Suspended")
    sim.set_spec(MODEL, "m", suspend=False)
    await sim.until(lambda: bool(sim.status(MODEL, "m").get("model")), "a model")
    sim.set_spec(MODEL, "m", suspend=True)
    await sim.sleep(3)
    sim.set_spec(MODEL, "m", suspend=False)
    await sim.ready(MODEL, "m")
    sim.set_spec(DEPLOYMENT, "d", suspend=False)
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def drifted_model(sim: Simulation) -> None:
    """Somebody changes the description at Together, then deletes the record there."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face(), description="ours"))
    await sim.ready(MODEL, "m")
    model_id = sim.status(MODEL, "m")["model"]["id"]
    sim.platform.delete_model(model_id)
    await sim.until(
        lambda: sim.status(MODEL, "m").get("model", {}).get("id") not in {None, model_id},
        "another model",
    )
    await sim.ready(MODEL, "m")


@scenario
async def adopted_model(sim: Simulation) -> None:
    """A model is there already and is taken over only once that is allowed."""
    furnish(sim)
    base = next(base_id for base_id, base in BASES.items() if base.name == EMBEDDING)
    sim.platform.create_model(NewModel("taken", base, "model"))
    sim.apply(custom_model("m", hugging_face(), modelName="taken"))
    await sim.shows(MODEL, "m", "NameTaken")
    sim.judge.adopted.add("taken")
    sim.set_spec(MODEL, "m", adoptionPolicy="Adopt", deletionPolicy="Retain")
    await sim.ready(MODEL, "m")


# Deployments.


@scenario
async def deployed(sim: Simulation) -> None:
    """A model and a deployment of it, applied together."""
    furnish(sim)
    sim.apply(model_deployment("d", "m"), custom_model("m", hugging_face()))
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def scaled(sim: Simulation) -> None:
    """Up, down to nothing, and up again."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    for replicas in (3, 0, 1):
        sim.set_spec(DEPLOYMENT, "d", replicas=replicas)
        await sim.ready(DEPLOYMENT, "d")


@scenario
async def changed_after_a_restart(sim: Simulation) -> None:
    """A new process finds that all has settled; then replicas are changed by hand, and the spec."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    sim.set_up()
    sim.restart()
    deployment_id = sim.status(DEPLOYMENT, "d")["deployment"]["id"]
    await sim.sleep(2 * RESYNC)
    sim.platform.set_replicas(deployment_id, 3, 3)
    await sim.until(lambda: _replicas(sim, deployment_id) == 1, "one replica again")
    sim.set_spec(DEPLOYMENT, "d", replicas=2)
    await sim.ready(DEPLOYMENT, "d")


def _replicas(sim: Simulation, deployment_id: str) -> int:
    found = sim.platform.deployments.at(sim.loop.time())
    return next((d.max_replicas for d in found if d.id == deployment_id), 0)


@scenario
async def created_without_replicas(sim: Simulation) -> None:
    """Nothing runs until somebody wants it to."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m", replicas=0))
    await sim.ready(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", replicas=1)
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def failing_deployment(sim: Simulation) -> None:
    """A deployment fails to start; somebody scales it down and up again."""
    furnish(sim)
    sim.platform.start_failures.append("out of GPU memory")
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.shows(DEPLOYMENT, "d", "DeploymentFailed")
    sim.set_spec(DEPLOYMENT, "d", replicas=0)
    await sim.ready(DEPLOYMENT, "d")
    sim.set_spec(DEPLOYMENT, "d", replicas=1)
    await sim.ready(DEPLOYMENT, "d")


@scenario
async def lost_deployment(sim: Simulation) -> None:
    """Somebody takes a deployment down at Together, and its endpoint after that."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.ready(DEPLOYMENT, "d")
    old = sim.status(DEPLOYMENT, "d")
    endpoint, deployment = old["endpoint"]["id"], old["deployment"]["id"]
    await sim.sleep(20)
    sim.vanish(sim.platform.deployments, deployment)
    await sim.until(
        lambda: sim.status(DEPLOYMENT, "d").get("deployment", {}).get("id") != deployment,
        "another deployment",
    )
    await sim.ready(DEPLOYMENT, "d")
    await sim.sleep(20)
    sim.vanish(sim.platform.deployments, sim.status(DEPLOYMENT, "d")["deployment"]["id"])
    sim.vanish(sim.platform.endpoints, endpoint)
    await sim.until(
        lambda: sim.status(DEPLOYMENT, "d").get("endpoint", {}).get("id") != endpoint,
        "another endpoint",
    )
    await sim.ready(DEPLOYMENT, "d")


# Deletion.


@scenario
async def deleted_in_mid_flight(sim: Simulation) -> None:
    """A model and its deployment go while both come into being."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()), model_deployment("d", "m"))
    await sim.until(lambda: "endpoint" in sim.status(DEPLOYMENT, "d"), "an endpoint")
    sim.delete(MODEL, "m")
    sim.delete(DEPLOYMENT, "d")
    await sim.gone(DEPLOYMENT, "d")
    await sim.gone(MODEL, "m")


@scenario
async def deleted_at_once(sim: Simulation) -> None:
    """Deleted before anything could be done, and created anew under the same name."""
    furnish(sim)
    sim.apply(custom_model("m", hugging_face()))
    await sim.sleep(0.3)
    sim.delete(MODEL, "m")
    await sim.gone(MODEL, "m")
    sim.apply(custom_model("m", hugging_face()))
    await sim.ready(MODEL, "m")


@scenario
async def deleted_namespace(sim: Simulation) -> None:
    """Everything in a namespace goes at once, Secrets first."""
    furnish(sim)
    sim.apply(
        custom_model("m", private_repository()),
        custom_model("p", s3(PREFIX), archive=archive(), baseModel=EMBEDDING),
        model_deployment("d", "m"),
    )
    await sim.until(lambda: "deployment" in sim.status(DEPLOYMENT, "d"), "a deployment")
    sim.secrets.clear(NAMESPACE)
    sim.judge.archives_may_stay = True  # nobody can reach the bucket any more
    await sim.all_gone()


@scenario
async def retained(sim: Simulation) -> None:
    """What is to be kept at Together stays there."""
    furnish(sim)
    sim.apply(
        custom_model("m", hugging_face(), deletionPolicy="Retain"),
        model_deployment("d", "m", deletionPolicy="Retain"),
    )
    await sim.ready(DEPLOYMENT, "d")
    sim.delete(DEPLOYMENT, "d")
    sim.delete(MODEL, "m")
    await sim.gone(DEPLOYMENT, "d")
    await sim.gone(MODEL, "m")
    if not sim.platform.models.live() or not sim.platform.endpoints.live():
        sim.judge.violations.append("what was to be retained is gone")


@scenario
async def released_without_a_key(sim: Simulation) -> None:
    """The API key is revoked for good: the object stays until somebody lets it go."""
    furnish(sim)
    sim.secrets.put(NAMESPACE, "together", {"TOGETHER_API_KEY": "own-key"})
    sim.platform.keys.add("own-key")
    sim.apply(custom_model("m", hugging_face(), apiKeySecretRef={"name": "together"}))
    await sim.ready(MODEL, "m")
    sim.platform.keys -= {"own-key"}
    sim.delete(MODEL, "m")
    await sim.shows(MODEL, "m", "Unauthorized")
    await sim.sleep(60)
    if sim.get(MODEL, "m") is None:
        sim.judge.violations.append("released although nobody could look")

    def release(body: dict[str, object]) -> None:
        metadata = body["metadata"]
        assert isinstance(metadata, dict)
        metadata["annotations"] = {RELEASE_ANNOTATION: "true"}

    sim.edit(MODEL, "m", release)
    await sim.gone(MODEL, "m")
