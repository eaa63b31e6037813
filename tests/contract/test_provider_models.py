"""Models, the catalog and imports: what a `ModelProvider` may rely on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.contract.conftest import Drivers
from tests.contract.situations import (
    BASE,
    CHAT_BASE,
    base_model_id,
    create_model,
    deployed,
    import_url,
    imported_model,
    in_state,
    until,
)
from tests.support.simulators.hosting import InThread
from tests.support.simulators.hub import TOKEN, HubSimulator
from tests.support.simulators.pytest_plugin import TINY_EMBEDDING
from tests.support.simulators.s3 import S3Simulator
from tests.support.simulators.tiny_models import (
    write_adapter,
    write_archive,
    write_model,
    write_safetensors,
)
from tests.support.simulators.together import Timing, TogetherSimulator
from together_operator.domain import errors
from together_operator.domain.together import (
    ImportState,
    Model,
    ModelChange,
    NewModel,
    Visibility,
)
from together_operator.ports import ModelProvider


@pytest.fixture
def serve(s3_sim: S3Simulator) -> Callable[[Path], str]:
    """Puts a file into S3 and gives a presigned URL of it."""
    s3_sim.create_bucket("models")

    def put(path: Path) -> str:
        s3_sim.client().upload_file(str(path), "models", path.name)
        params = {"Bucket": "models", "Key": path.name}
        return s3_sim.client().generate_presigned_url("get_object", params, ExpiresIn=6000)

    return put


async def test_the_slug_is_that_of_the_key(provider: ModelProvider) -> None:
    assert await provider.project_slug() == "acme"


async def test_a_created_model_has_a_qualified_name_and_an_id(provider: ModelProvider) -> None:
    model = await create_model(provider, "tiny")
    assert model.name == "acme/tiny"
    assert model.bare_name == "tiny"
    assert model.id.startswith("ml_")
    assert model.base_model_id == await base_model_id(provider)
    assert model.description == "a model"
    assert model.visibility == Visibility.PRIVATE
    assert await provider.get_model(model.id) == model


async def test_a_name_may_carry_the_own_slug(provider: ModelProvider) -> None:
    assert (await create_model(provider, "acme/tiny")).name == "acme/tiny"


async def test_a_taken_name_is_a_conflict_until_it_is_free_again(provider: ModelProvider) -> None:
    model = await create_model(provider, "tiny")
    with pytest.raises(errors.Conflict, match="acme/tiny"):
        await create_model(provider, "tiny")
    await provider.delete_model(model.id)
    assert (await create_model(provider, "tiny")).id != model.id


@pytest.mark.parametrize("name", ["", "other/tiny", "a b", "a/b/c", "-a", "a" * 300])
async def test_a_bad_name_is_rejected(provider: ModelProvider, name: str) -> None:
    with pytest.raises(errors.Rejected, match="name"):
        await create_model(provider, name)


async def test_an_unknown_base_is_rejected(provider: ModelProvider) -> None:
    with pytest.raises(errors.Rejected, match="baseModelId"):
        await provider.create_model(NewModel("tiny", "ml_unknown", "model"))


async def test_lists_are_complete_over_pages(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.seed_models(f"m{number:04}" for number in range(1203))
    found = await provider.list_models()
    assert sorted(model.bare_name for model in found) == [f"m{n:04}" for n in range(1203)]


async def test_an_update_writes_only_what_is_given(provider: ModelProvider) -> None:
    model = await create_model(provider)
    seen = await provider.update_model(model.id, ModelChange(visibility=Visibility.INTERNAL))
    assert (seen.description, seen.visibility) == ("a model", Visibility.INTERNAL)
    seen = await provider.update_model(model.id, ModelChange(description=""))
    assert (seen.description, seen.visibility) == ("", Visibility.INTERNAL)


async def test_what_is_not_there_is_not_found(provider: ModelProvider) -> None:
    model = await create_model(provider)
    await provider.delete_model(model.id)
    for call in (
        provider.get_model(model.id),
        provider.delete_model(model.id),
        provider.list_revisions(model.id),
        provider.get_import("job_unknown"),
        provider.start_import(model.id, SecretStr("https://huggingface.co/a/b")),
    ):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_model_is_not_deleted_under_an_active_deployment(provider: ModelProvider) -> None:
    served = await deployed(provider)
    with pytest.raises(errors.Conflict, match="in use"):
        await provider.delete_model(served.model.id)
    await provider.scale_deployment(served.endpoint.id, served.deployment.id, 0, 0)
    await in_state(provider, served, "STOPPED")
    await provider.delete_model(served.model.id)


async def test_the_catalog_names_bases_by_deployable_model(provider: ModelProvider) -> None:
    catalog = await provider.find_supported_models()
    names = {entry.name for entry in catalog}
    assert {BASE, CHAT_BASE, "Qwen/Qwen3-8B", "Qwen/Qwen3-8B-FP8"} <= names
    assert "mistralai/Mixtral-8x7B-v0.1" not in names, "serverless only"
    embedding = next(entry for entry in catalog if entry.name == BASE)
    assert embedding.architecture == "BertModel"
    assert embedding.capabilities == ("CAPABILITY_EMBEDDING",)


async def test_a_single_quantization_goes_by_both_names(provider: ModelProvider) -> None:
    found = await provider.find_supported_models("llama-3.3-70b")
    assert {entry.name for entry in found} == {
        "meta-llama/Llama-3.3-70B-Instruct",
        "meta-llama/Llama-3.3-70B-Instruct-FP8",
    }
    assert len({entry.model_id for entry in found}) == 1


async def test_the_catalog_is_searched_without_case(provider: ModelProvider) -> None:
    found = await provider.find_supported_models("QWEN3-8b")
    assert {entry.name for entry in found} == {"Qwen/Qwen3-8B", "Qwen/Qwen3-8B-FP8"}
    assert await provider.find_supported_models("nothing of the kind") == []


async def test_a_repository_is_imported_with_a_revision(provider: ModelProvider) -> None:
    model = await imported_model(provider)
    [revision] = await provider.list_revisions(model.id)
    assert revision.id.startswith("rv_")
    assert revision.validation == "SUCCESS"
    assert (await provider.get_model(model.id)).type == "model"


async def test_another_import_makes_a_newer_revision(provider: ModelProvider) -> None:
    model = await imported_model(provider)
    [first] = await provider.list_revisions(model.id)
    await import_url(provider, model, f"https://huggingface.co/{TINY_EMBEDDING}")
    newest, oldest = await provider.list_revisions(model.id)
    assert oldest.id == first.id
    assert newest.id != first.id


async def test_imports_are_listed_without_url_and_token(provider: ModelProvider) -> None:
    model = await create_model(provider)
    job = await provider.start_import(
        model.id, SecretStr("https://example.invalid/a.zip?sig=topsecret"), SecretStr("hf_secret99")
    )
    [listed] = await provider.list_imports()
    assert listed.id == job.id
    assert listed.model_id == model.id
    for secret in ("topsecret", "hf_secret99"):
        assert secret not in repr(listed)
        assert secret not in repr(job)


async def test_a_private_repository_needs_its_token(
    provider: ModelProvider, hub_sim: HubSimulator, tmp_path: Path
) -> None:
    hub_sim.add_repository("acme/private", write_model(tmp_path / "tiny"), private=True)
    model = await create_model(provider, base=CHAT_BASE)
    url = SecretStr("https://huggingface.co/acme/private")
    refused = await import_url(provider, model, url.get_secret_value())
    assert refused.state == ImportState.FAILED
    assert "acme/private answered 401" in refused.message
    job = await provider.start_import(model.id, url, SecretStr(TOKEN))
    done = await until(lambda: provider.get_import(job.id), lambda j: j.state != "RUNNING")
    done = await until(lambda: provider.get_import(job.id), lambda j: j.state == "SUCCEEDED")
    assert done.id == job.id


@pytest.mark.parametrize("archive", ["m.zip", "m.tar", "m.tar.gz"])
async def test_archives_are_imported(
    provider: ModelProvider, serve: Callable[[Path], str], tmp_path: Path, archive: str
) -> None:
    model = await create_model(provider, base=CHAT_BASE)
    url = serve(write_archive(write_model(tmp_path / "tiny"), tmp_path / archive))
    job = await import_url(provider, model, url)
    assert (job.state, job.restarts) == (ImportState.SUCCEEDED, 0)


async def test_an_adapter_is_imported_as_one(
    provider: ModelProvider, serve: Callable[[Path], str], tmp_path: Path
) -> None:
    base = await base_model_id(provider, CHAT_BASE)
    adapter = await provider.create_model(NewModel("lora", base, "adapter"))
    url = serve(write_archive(write_adapter(tmp_path / "lora"), tmp_path / "lora.zip"))
    assert (await import_url(provider, adapter, url)).state == ImportState.SUCCEEDED
    assert (await provider.get_model(adapter.id)).type == "adapter"


def wrapped(directory: Path, archive: Path) -> Path:
    return write_archive(write_model(directory), archive, wrap="model/")


def without(name: str) -> Callable[[Path, Path], Path]:
    def build(directory: Path, archive: Path) -> Path:
        (write_model(directory) / name).unlink()
        return write_archive(directory, archive)

    return build


def truncated(directory: Path, archive: Path) -> Path:
    weights = write_model(directory) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return write_archive(directory, archive)


def of_another_architecture(directory: Path, archive: Path) -> Path:
    return write_archive(write_model(directory, architecture="GPT2LMHeadModel"), archive)


def with_a_missing_shard(directory: Path, archive: Path) -> Path:
    index = '{"weight_map": {"x": "model-00002-of-00002.safetensors"}}'
    (write_model(directory) / "model.safetensors.index.json").write_text(index)
    return write_archive(directory, archive)


def with_pickled_weights(directory: Path, archive: Path) -> Path:
    (write_model(directory) / "model.safetensors").rename(directory / "pytorch_model.bin")
    return write_archive(directory, archive)


def with_a_lying_header(directory: Path, archive: Path) -> Path:
    weights = write_model(directory) / "model.safetensors"
    write_safetensors(weights, {"x": ([2, 2], [1.0] * 3)})
    return write_archive(directory, archive)


def that_is_none(directory: Path, archive: Path) -> Path:
    archive.write_bytes(b"this is not an archive" * 100)
    return archive


def that_is_cut_short(directory: Path, archive: Path) -> Path:
    content = write_archive(write_model(directory), archive.with_suffix(".tar.gz")).read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    return archive


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (wrapped, "config.json not found at the root, but at 'model/config.json'"),
        (without("config.json"), "config.json not found at the root"),
        (without("tokenizer.json"), "no tokenizer found"),
        (without("model.safetensors"), "no *.safetensors files found"),
        (with_pickled_weights, "found pytorch_model.bin; convert to safetensors"),
        (of_another_architecture, "architecture 'GPT2LMHeadModel'"),
        (truncated, "truncated safetensors file"),
        (with_a_lying_header, "does not have the size of its shape"),
        (with_a_missing_shard, "model-00002-of-00002.safetensors"),
        (that_is_none, "unsupported archive format"),
        (that_is_cut_short, "the archive is damaged"),
    ],
)
async def test_an_archive_that_is_no_model_fails_with_its_reason(
    provider: ModelProvider,
    serve: Callable[[Path], str],
    tmp_path: Path,
    build: Callable[[Path, Path], Path],
    reason: str,
) -> None:
    model = await create_model(provider, base=CHAT_BASE)
    job = await import_url(provider, model, serve(build(tmp_path / "tiny", tmp_path / "m.zip")))
    assert job.state == ImportState.FAILED
    assert reason in job.message
    assert await provider.list_revisions(model.id) == []


async def test_an_adapter_without_its_config_fails(
    provider: ModelProvider, serve: Callable[[Path], str], tmp_path: Path
) -> None:
    base = await base_model_id(provider, CHAT_BASE)
    adapter = await provider.create_model(NewModel("lora", base, "adapter"))
    url = serve(write_archive(write_model(tmp_path / "tiny"), tmp_path / "m.zip"))
    job = await import_url(provider, adapter, url)
    assert job.state == ImportState.FAILED
    assert "adapter_config.json" in job.message


async def test_an_expired_url_fails(
    provider: ModelProvider,
    serve: Callable[[Path], str],
    s3_sim: S3Simulator,
    tmp_path: Path,
) -> None:
    model = await create_model(provider, base=CHAT_BASE)
    url = serve(write_archive(write_model(tmp_path / "tiny"), tmp_path / "m.zip"))
    s3_sim.advance(6100)
    job = await import_url(provider, model, url)
    assert job.state == ImportState.FAILED
    assert "answered 403" in job.message


async def test_an_error_is_restarted_by_the_platform(
    drivers: Drivers, hub_sim: HubSimulator
) -> None:
    slow = Timing(import_restart=600)
    with InThread(TogetherSimulator(hub_url=hub_sim.url, timing=slow)) as simulator:
        simulator.behave(imports=[{"outcome": "error", "message": "lost a worker"}])
        provider = drivers.connect(simulator.url, simulator.key)
        model = await create_model(provider)
        url = SecretStr(f"https://huggingface.co/{TINY_EMBEDDING}")
        job = await provider.start_import(model.id, url)
        failed = await until(lambda: provider.get_import(job.id), lambda j: j.state == "ERROR")
        assert failed.message == "lost a worker"
        assert (failed.restarts, failed.max_restarts) == (0, 3)
        done = await until(lambda: provider.get_import(job.id), lambda j: j.state == "SUCCEEDED")
        assert done.restarts == 1


async def test_a_source_that_stays_away_fails_in_the_end(provider: ModelProvider) -> None:
    model = await create_model(provider)
    job = await import_url(provider, model, "http://127.0.0.1:9/m.zip")
    assert job.state == ImportState.FAILED
    assert "gave up after 3 restarts" in job.message


async def test_an_error_without_restarts_left_stays_one(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(exhausted_status="ERROR")
    model = await create_model(provider)
    job = await provider.start_import(model.id, SecretStr("http://127.0.0.1:9/m.zip"))
    last = await until(lambda: provider.get_import(job.id), lambda j: "gave up" in j.message)
    assert (last.state, last.restarts) == (ImportState.ERROR, last.max_restarts)


async def test_deleting_a_model_ends_its_import(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(imports=[{"outcome": "stuck"}])
    model: Model = await create_model(provider)
    job = await provider.start_import(
        model.id, SecretStr(f"https://huggingface.co/{TINY_EMBEDDING}")
    )
    await provider.delete_model(model.id)
    assert (await provider.get_import(job.id)).state == ImportState.FAILED
