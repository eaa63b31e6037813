"""What a `ModelProvider` may rely on, from v1, and what v1 says that it can't do."""

import pytest
from pydantic import SecretStr

from tests.contract.situations import until
from tests.contract.v1.conftest import Connect
from tests.support.simulators.pytest_plugin import TINY_EMBEDDING
from tests.support.simulators.together import (
    FORBIDDEN_KEY,
    OTHER_KEY,
    READ_ONLY_KEY,
    Fault,
    TogetherSimulator,
)
from together_operator.domain import errors
from together_operator.domain.together import (
    DEFAULT_METRICS,
    V1,
    Deployment,
    Import,
    ImportState,
    Model,
    ModelChange,
    NewDeployment,
    NewModel,
    TrafficShare,
    Tuning,
    Visibility,
)
from together_operator.ports import ModelProvider

HUB = SecretStr(f"https://huggingface.co/{TINY_EMBEDDING}")
NEW = NewModel("m", "", "model", "a model")
FINAL = (ImportState.SUCCEEDED, ImportState.FAILED)


async def finished(provider: ModelProvider, job: Import) -> Import:
    """An import when nothing more happens to it."""
    return await until(lambda: provider.get_import(job.id), lambda seen: seen.state in FINAL)


async def imported(provider: ModelProvider) -> Model:
    """A model with weights."""
    model = await provider.create_model(NEW)
    job = await finished(provider, await provider.start_import(model.id, HUB, new=NEW))
    assert job.state is ImportState.SUCCEEDED, job.message
    return await provider.get_model(model.id)


async def wanted(provider: ModelProvider, model: Model, replicas: int = 1) -> NewDeployment:
    """A deployment on the first hardware that there is."""
    config = (await provider.list_configs(model.id))[0]
    resource = f"projects/{model.project_id}/models/{model.id}/revisions/v1-1"
    return NewDeployment("serve-1", resource, config.resource, replicas, replicas)


async def deployed(provider: ModelProvider, replicas: int = 1) -> Deployment:
    """An endpoint that has just been asked for."""
    model = await imported(provider)
    endpoint = await provider.create_endpoint("e")
    return await provider.create_deployment(endpoint.id, await wanted(provider, model, replicas))


async def in_state(provider: ModelProvider, state: str) -> Deployment:
    """The only deployment of endpoint e, once it has come to a state."""

    async def read() -> Deployment:
        [found] = await provider.list_deployments("e")
        return found

    return await until(read, lambda found: found.state == state)


async def test_it_says_what_it_is(provider: ModelProvider) -> None:
    assert provider.abilities == V1
    assert await provider.project_slug() == "acme"
    assert await provider.find_supported_models() == []


async def test_a_model_is_a_placeholder_until_its_import_has_ended(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(imports=[{"outcome": "held"}])
    model = await provider.create_model(NEW)
    assert (model.id, model.bare_name, model.placeholder) == ("acme/m", "m", True)
    assert together_sim.audit() == []
    job = await provider.start_import(model.id, HUB, new=NEW)
    assert job.state is ImportState.PENDING
    assert (await provider.get_model("acme/m")).placeholder
    assert await provider.list_models() == []
    assert await provider.list_revisions("acme/m") == []
    together_sim.behave_well()
    assert (await finished(provider, job)).state is ImportState.SUCCEEDED
    [listed] = await provider.list_models()
    assert listed == await provider.get_model("acme/m")
    assert not listed.placeholder
    [revision] = await provider.list_revisions("acme/m")
    assert revision.validation == "SUCCESS"


async def test_an_upload_says_what_the_spec_says(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await imported(provider)
    [entry] = together_sim.audit()
    assert (entry.method, entry.path, entry.committed) == ("POST", "/v1/models", True)
    assert entry.fields == ["description", "model_name", "model_source", "model_type"]
    [model] = together_sim.platform.store.models
    assert (model.name, model.description, model.type) == ("m", "a model", "model")


async def test_an_adapter_names_the_model_that_it_is_for(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    new = NewModel("a", "Qwen/Qwen2.5-0.5B-Instruct", "adapter")
    await provider.start_import("acme/a", HUB, new=new)
    [model] = together_sim.platform.store.models
    base = together_sim.platform.store.catalog.base(model.base_model_id)
    assert model.type == "adapter"
    assert base is not None
    assert base[0].name == "Qwen/Qwen2.5-0.5B-Instruct"


async def test_a_lost_upload_is_found_by_its_name_by_a_new_process(
    connect: Connect, together_sim: TogetherSimulator
) -> None:
    first = connect(together_sim.key)
    model = await first.create_model(NEW)
    together_sim.add_fault(Fault(effect="drop_after_commit", method="POST", path="/v1/models"))
    with pytest.raises(errors.Ambiguous):
        await first.start_import(model.id, HUB, new=NEW)
    second = connect(together_sim.key)
    [job] = await until(second.list_imports, bool)
    assert (job.model_id, job.state) == ("acme/m", ImportState.SUCCEEDED)
    assert await second.get_import(job.id) == job
    assert len(together_sim.audit()) == 1


async def test_a_name_is_taken_while_its_upload_runs(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(imports=[{"outcome": "held"}])
    await provider.start_import("acme/m", HUB, new=NEW)
    with pytest.raises(errors.Conflict, match="acme/m"):
        await provider.start_import("acme/m", HUB, new=NEW)


async def test_a_failed_upload_says_why_and_frees_the_name(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    missing = SecretStr("https://huggingface.co/nobody/nothing")
    job = await finished(provider, await provider.start_import("acme/m", missing, new=NEW))
    assert job.state is ImportState.FAILED
    assert "nobody/nothing answered 401" in job.message
    assert job.model_id == "acme/m"
    again = await finished(provider, await provider.start_import("acme/m", HUB, new=NEW))
    assert again.state is ImportState.SUCCEEDED


async def test_a_message_never_shows_the_signature(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(leak_urls=True)
    url = SecretStr("http://127.0.0.1:9/m.zip?X-Amz-Signature=0123456789abcdef")
    job = await provider.start_import("acme/m", url, new=NEW)
    seen = await finished(provider, job)
    assert "connection failed" in seen.message
    assert "0123456789abcdef" not in repr(seen)


async def test_what_is_there_is_not_created_again(provider: ModelProvider) -> None:
    await imported(provider)
    with pytest.raises(errors.Conflict, match="acme/m"):
        await provider.create_model(NEW)


async def test_what_v1_cannot_do_to_models_is_said(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    model = await imported(provider)
    for call in (
        provider.delete_model(model.id),
        provider.update_model(model.id, ModelChange(visibility=Visibility.INTERNAL)),
        provider.start_import(model.id, HUB, new=NEW),
    ):
        with pytest.raises(errors.Unsupported, match="v1 API can't"):
            await call
    assert len(together_sim.audit()) == 1


async def test_a_missing_model_cannot_be_deleted_either(provider: ModelProvider) -> None:
    with pytest.raises(errors.NotFound):
        await provider.delete_model("acme/m")
    with pytest.raises(errors.NotFound):
        await provider.get_import("job_unknown")


async def test_models_of_others_are_not_listed(
    connect: Connect, together_sim: TogetherSimulator
) -> None:
    await imported(connect(together_sim.key))
    other = connect(OTHER_KEY)
    assert await other.list_models() == []
    assert await other.project_slug() == "other"


async def test_hardware_has_a_price_under_the_name_of_each_config(provider: ModelProvider) -> None:
    model = await imported(provider)
    prices = {kind.name: kind for kind in await provider.list_instance_types()}
    configs = await provider.list_configs(model.id)
    assert {config.gpu for config in configs} == {"nvidia-l40s-48gb", "nvidia-h100-80gb"}
    for config in configs:
        assert prices[config.instance_type].cents_per_hour > 0
        assert prices[config.instance_type].count == config.count
    assert prices["1xnvidia-h100-80gb"].cents_per_hour == pytest.approx(399)


async def test_an_endpoint_comes_with_its_deployment(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    endpoint = await provider.create_endpoint("e")
    assert (endpoint.id, endpoint.bare_name, endpoint.placeholder) == ("e", "e", True)
    assert together_sim.audit() == []
    assert await provider.list_endpoints() == []
    deployment = await deployed(provider, 2)
    assert (deployment.name, deployment.state, deployment.endpoint_id) == (
        "serve-1",
        "PROVISIONING",
        "e",
    )
    ready = await in_state(provider, "READY")
    assert (ready.min_replicas, ready.max_replicas, ready.ready_replicas) == (2, 2, 2)
    assert ready.scheduled_replicas == 2, "what runs is billed"
    [listed] = await provider.list_endpoints()
    assert listed == await provider.get_endpoint("e")
    assert (listed.bare_name, listed.placeholder) == ("e", False)
    assert listed.name.startswith("devuser/acme/m-")
    assert (endpoint.project, listed.project) == ("acme", "acme")
    assert listed.traffic == (TrafficShare(ready.id, 100.0),)
    assert [summary.state for summary in listed.deployments] == ["READY"]


async def test_a_lost_create_is_found_by_its_name_by_a_new_process(
    connect: Connect, together_sim: TogetherSimulator
) -> None:
    first = connect(together_sim.key)
    new = await wanted(first, await imported(first))
    together_sim.add_fault(Fault(effect="drop_after_commit", method="POST", path="/v1/endpoints"))
    with pytest.raises(errors.Ambiguous):
        await first.create_deployment("e", new)
    second = connect(together_sim.key)
    [found] = await second.list_deployments("e")
    assert found.name == "serve-1"
    with pytest.raises(errors.Conflict):
        await second.create_deployment("e", new)
    assert len(together_sim.state()["deployments"]) == 1


async def test_zero_replicas_stop_it_and_more_start_it_again(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    deployment = await deployed(provider)
    await in_state(provider, "READY")
    seen = await provider.scale_deployment("e", deployment.id, 0, 0)
    assert (seen.min_replicas, seen.max_replicas) == (0, 0)
    stopped = await in_state(provider, "STOPPED")
    assert (stopped.max_replicas, stopped.ready_replicas) == (0, 0)
    assert stopped.scheduled_replicas == 0
    assert (await provider.get_endpoint("e")).traffic == ()
    assert together_sim.state()["dollarsPerHour"] == 0
    await provider.scale_deployment("e", deployment.id, 2, 3)
    ready = await in_state(provider, "READY")
    assert (ready.min_replicas, ready.max_replicas, ready.ready_replicas) == (2, 3, 2)


async def test_bounds_changed_by_others_are_seen(
    connect: Connect, together_sim: TogetherSimulator
) -> None:
    mine, other = connect(together_sim.key), connect(together_sim.key)
    deployment = await deployed(mine)
    await in_state(mine, "READY")
    await other.scale_deployment("e", deployment.id, 2, 2)
    [seen] = await mine.list_deployments("e")
    assert (seen.min_replicas, seen.max_replicas) == (2, 2)


async def test_only_what_is_stopped_is_deleted_and_with_it_goes_the_endpoint(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    deployment = await deployed(provider)
    await in_state(provider, "READY")
    for call in (
        provider.delete_deployment("e", deployment.id),
        provider.delete_endpoint("e"),
    ):
        with pytest.raises(errors.Conflict):
            await call
    await provider.scale_deployment("e", deployment.id, 0, 0)
    await in_state(provider, "STOPPED")
    await provider.delete_deployment("e", deployment.id)
    assert await provider.list_deployments("e") == []
    assert (await provider.get_endpoint("e")).placeholder
    await provider.delete_endpoint("e")
    assert together_sim.state()["deployments"] == []
    with pytest.raises(errors.NotFound):
        await provider.delete_deployment("e", deployment.id)


async def test_traffic_can_only_be_what_it_is(provider: ModelProvider) -> None:
    deployment = await deployed(provider)
    await in_state(provider, "READY")
    split = [TrafficShare(deployment.id, 1.0)]
    assert (await provider.set_traffic("e", split, "")).traffic
    with pytest.raises(errors.Unsupported, match="traffic"):
        await provider.set_traffic("e", [], "")


async def test_an_endpoint_that_others_made_keeps_its_name(
    connect: Connect, together_sim: TogetherSimulator
) -> None:
    provider = connect(together_sim.key)
    deployment = await deployed(provider)
    platform = together_sim.platform
    together_sim.on_loop(
        lambda: platform.v1.update(
            platform.store.endpoints.newest_first().__next__(), {"display_name": "by hand"}
        )
    )
    [seen] = await connect(together_sim.key).list_endpoints()
    assert (seen.bare_name, seen.deployments[0].id) == ("by hand", deployment.id)
    with pytest.raises(errors.Conflict, match="by hand"):
        await connect(together_sim.key).create_endpoint("by hand")


async def test_a_closed_v1_is_said_when_creating_and_when_starting(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    deployment = await deployed(provider)
    new = await wanted(provider, await provider.get_model("acme/m"))
    together_sim.behave(v1_closed=True)
    with pytest.raises(errors.Unsupported):
        await provider.create_deployment("other", new)
    await provider.scale_deployment("e", deployment.id, 0, 0)
    await in_state(provider, "STOPPED")
    with pytest.raises(errors.Unsupported):
        await provider.scale_deployment("e", deployment.id, 1, 1)


async def test_hardware_of_another_model_is_rejected(provider: ModelProvider) -> None:
    model = await imported(provider)
    new = NewDeployment("d", f"projects/p/models/{model.id}", "projects/v1/configs/9x_none", 1, 1)
    with pytest.raises(errors.Rejected, match="hardware"):
        await provider.create_deployment("e", new)


async def test_keys_are_told_apart(connect: Connect) -> None:
    with pytest.raises(errors.Unauthorized):
        await connect("wrong").list_models()
    with pytest.raises(errors.Forbidden):
        await connect(FORBIDDEN_KEY).list_models()
    reader = connect(READ_ONLY_KEY)
    assert await reader.list_models() == []
    with pytest.raises(errors.Forbidden):
        await reader.start_import("acme/m", HUB, new=NEW)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failing_read_is_unavailable_and_a_failing_write_ambiguous(
    provider: ModelProvider, together_sim: TogetherSimulator, status: int
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="status", status=status, count=None))
    with pytest.raises(errors.Unavailable):
        await provider.list_endpoints()
    together_sim.clear_faults()
    together_sim.add_fault(Fault(effect="status", method="POST", status=status, count=None))
    with pytest.raises(errors.Ambiguous):
        await provider.start_import("acme/m", HUB, new=NEW)


async def test_too_many_calls_are_told(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="status", status=429, retry_after=0.01))
    with pytest.raises(errors.RateLimited):
        await provider.list_models()


async def test_v1_does_not_scale_by_metrics_and_says_so(provider: ModelProvider) -> None:
    deployment = await deployed(provider)
    default = Tuning(metrics=DEFAULT_METRICS, scale_up_window=0, scale_down_window=300)

    await provider.scale_deployment("e", deployment.id, 1, 2, default)

    with pytest.raises(errors.Unsupported, match="metrics"):
        await provider.scale_deployment("e", deployment.id, 1, 2, Tuning(inactive_timeout=30))
