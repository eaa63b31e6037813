"""Calls of the API beyond our port, by the official SDK: what the simulator must get right."""

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import together
from together import AsyncTogether

from tests.contract import situations
from tests.contract.sdk_driver import SdkDriver
from tests.support.simulators.hub import MINILM
from tests.support.simulators.pytest_plugin import TINY_CHAT
from tests.support.simulators.together import FORBIDDEN_KEY, TogetherSimulator
from together_operator.domain.together import TrafficShare


@pytest.fixture
async def client(together_sim: TogetherSimulator) -> AsyncIterator[AsyncTogether]:
    async with AsyncTogether(
        api_key=together_sim.key,
        base_url=together_sim.url,
        project_id=together_sim.project.id,
        max_retries=0,
    ) as made:
        yield made


@pytest.fixture
async def provider(together_sim: TogetherSimulator) -> AsyncIterator[SdkDriver]:
    driver = SdkDriver(together_sim.secret, together_sim.url)
    yield driver
    await driver.close()


async def test_whoami_names_project_organization_and_key(client: AsyncTogether) -> None:
    me = await client.whoami()
    assert me.type == "project_api_key"
    assert (me.project.id, me.project.slug) == ("proj_sim", "acme")
    assert me.api_key.id
    assert me.organization.id


async def test_authentication_fails_in_the_gateways_envelope(
    together_sim: TogetherSimulator,
) -> None:
    stranger = AsyncTogether(api_key="wrong", base_url=together_sim.url, max_retries=0)
    with pytest.raises(together.AuthenticationError) as caught:
        await stranger.whoami()
    body: Any = caught.value.body
    assert body["error"]["code"] == "invalid_api_key"


async def test_the_management_api_has_its_own_envelope(client: AsyncTogether) -> None:
    await client.endpoints.create(name="e")
    with pytest.raises(together.ConflictError) as caught:
        await client.endpoints.create(name="e")
    body: Any = caught.value.body
    assert body["code"] == 6
    assert "acme/e" in body["message"]


async def test_a_patch_without_mask_overwrites_all_mutable_fields(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.create_model(provider)
    internal = await client.models.update(model.id, visibility="VISIBILITY_INTERNAL")
    assert internal.visibility == "VISIBILITY_INTERNAL"
    assert internal.description == ""
    described = await client.models.update(model.id, description="x")
    assert described.visibility == "VISIBILITY_PRIVATE"
    assert described.name == "acme/m"


async def test_weights_are_described_once_they_are_there(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.create_model(provider)
    assert (await client.models.retrieve(model.id)).weights.parameters is None
    await situations.import_url(provider, model, f"https://huggingface.co/{MINILM}")
    weights = (await client.models.retrieve(model.id)).weights
    assert weights.type == "WEIGHTS_TYPE_DEFAULT"
    assert weights.architecture == "BertModel"
    assert weights.context_length == "512"
    assert weights.parameters is not None
    assert weights.parameters.total == "22713216"
    assert weights.parameters.by_dtype[0].dtype == "float32"


async def test_files_have_sizes_as_strings_and_etags(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.create_model(provider)
    await situations.import_url(provider, model, f"https://huggingface.co/{MINILM}")
    listing = await client.models.list_files(model.id)
    files = {f.path: f for f in listing.data}
    assert files["model.safetensors"].size_bytes == "90868376"
    assert (files["model.safetensors"].hash or "").endswith("-5"), "parts of 20 MiB"
    assert listing.total_size_bytes == "91618861"
    [revision] = await provider.list_revisions(model.id)
    assert listing.revision_id == revision.id


async def test_an_import_tells_its_events(client: AsyncTogether, provider: SdkDriver) -> None:
    model = await situations.imported_model(provider)
    [job] = await provider.list_imports()
    events = await client.models.remote_uploads.events(job.id)
    types = [event.type for event in events.data]
    assert types == ["job.created", "download.started", "validation.started", "job.succeeded"]
    assert model.id == job.model_id


async def test_reading_an_import_echoes_its_url(client: AsyncTogether, provider: SdkDriver) -> None:
    model = await situations.create_model(provider)
    url = "https://example.invalid/a.zip?X-Amz-Signature=abc"
    job = await client.models.remote_uploads.create(
        model_id=model.id, remote_url=url, token="hf_secret"
    )
    found = await client.models.remote_uploads.retrieve(job.id)
    assert found.remote_url == url
    assert "hf_secret" not in repr(found)


async def test_the_catalog_is_paged(client: AsyncTogether) -> None:
    first = await client.models.list_supported(limit=2)
    assert len(first.data) == 2
    everything = [entry.id async for entry in client.models.list_supported(limit=2)]
    assert len(everything) == len(set(everything)) == 9
    one = await client.models.retrieve_supported(everything[0])
    assert one.id == everything[0]


async def test_configs_are_found_by_resource_name(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await client.models.retrieve((await situations.create_model(provider)).id)
    assert model.base_model is not None
    configs = [c async for c in client.models.configs.list(reference_model=model.base_model)]
    assert {config.reference_model for config in configs} == {model.base_model}
    one = await client.models.configs.retrieve(configs[0].id, project_id=configs[0].project_id)
    assert one.id == configs[0].id


async def test_public_models_can_be_read_in_their_owners_project(client: AsyncTogether) -> None:
    entry = (await client.models.list_supported(search="Qwen3-8B")).data[0]
    _, owner, _, model_id = entry.base_model.split("/")
    model = await client.models.retrieve(model_id, project_id=owner)
    assert model.name == "Qwen/Qwen3-8B"


async def test_validate_only_checks_and_creates_nothing(
    client: AsyncTogether, provider: SdkDriver, together_sim: TogetherSimulator
) -> None:
    model = await situations.imported_model(provider)
    endpoint = await client.endpoints.create(name="e")
    new = await situations.new_deployment(provider, model)
    wanted: dict[str, Any] = {"name": new.name, "model": new.model, "config": new.config}
    await client.endpoints.deployments.create(
        endpoint.id, **wanted, autoscaling={"min_replicas": 1}, validate_only=True
    )
    with pytest.raises(together.BadRequestError, match="minReplicas"):
        await client.endpoints.deployments.create(
            endpoint.id,
            **wanted,
            autoscaling={"min_replicas": 2, "max_replicas": 1},
            validate_only=True,
        )
    assert [d async for d in client.endpoints.deployments.list(endpoint.id)] == []
    dry = [entry for entry in together_sim.audit() if entry.validate_only]
    assert [entry.committed for entry in dry] == [False, False]


@pytest.mark.parametrize(
    ("autoscaling", "problem"),
    [
        ({"min_replicas": 1, "scale_up_window": "5m"}, "seconds"),
        (
            {
                "min_replicas": 1,
                "scaling_metrics": [
                    {"name": "ttft", "type": "METRIC_TARGET_TYPE_UTILIZATION", "target": 1}
                ],
            },
            "METRIC_TARGET_TYPE_VALUE",
        ),
        (
            {
                "min_replicas": 1,
                "scaling_metrics": [
                    {
                        "name": "gpu_utilization",
                        "type": "METRIC_TARGET_TYPE_UTILIZATION",
                        "target": 120,
                    }
                ],
            },
            "percentage",
        ),
        ({"min_replicas": 0, "max_replicas": 2}, "stops the deployment"),
    ],
)
async def test_autoscaling_has_rules(
    client: AsyncTogether, provider: SdkDriver, autoscaling: Any, problem: str
) -> None:
    model = await situations.imported_model(provider)
    endpoint = await client.endpoints.create(name="e")
    new = await situations.new_deployment(provider, model)
    with pytest.raises(together.BadRequestError, match=problem):
        await client.endpoints.deployments.create(
            endpoint.id, name="d", model=new.model, config=new.config, autoscaling=autoscaling
        )


async def test_an_update_keeps_what_it_leaves_out(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.imported_model(provider)
    endpoint = await client.endpoints.create(name="e")
    new = await situations.new_deployment(provider, model)
    metric: Any = {
        "name": "inflight_requests",
        "type": "METRIC_TARGET_TYPE_AVERAGE_VALUE",
        "target": 4,
    }
    made = await client.endpoints.deployments.create(
        endpoint.id,
        name="d",
        model=new.model,
        config=new.config,
        autoscaling={"min_replicas": 1, "max_replicas": 3, "scaling_metrics": [metric]},
        inactive_timeout=30,
    )
    update = client.endpoints.deployments.update
    seen = await update(made.id, endpoint_id=endpoint.id, autoscaling={"max_replicas": 4})
    assert (seen.autoscaling.min_replicas, seen.autoscaling.max_replicas) == (1, 4)
    assert seen.autoscaling.scaling_metrics is not None
    assert seen.autoscaling.scaling_metrics[0].target == 4
    assert seen.inactive_timeout == 30
    with pytest.raises(together.ConflictError, match="etag"):
        await update(made.id, endpoint_id=endpoint.id, inactive_timeout=0, etag=made.etag)
    with pytest.raises(together.BadRequestError, match="inactiveTimeout"):
        await update(made.id, endpoint_id=endpoint.id, inactive_timeout=10)


async def test_an_empty_split_without_mask_changes_nothing(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    served = await situations.routed(provider)
    with pytest.raises(together.BadRequestError, match="no fields to update"):
        await client.endpoints.update(served.endpoint.id, traffic_split=[])
    assert (await client.endpoints.retrieve(served.endpoint.id)).traffic_split


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('name = "alpha"', ["alpha"]),
        ('name = "acme/alpha"', ["alpha"]),
        ('name != "alpha"', ["beta", "alphabet"]),
        ('name : "alpha"', ["alpha", "alphabet"]),
        ('name = "alpha*"', ["alpha", "alphabet"]),
        ('name = "alpha" OR name = "beta"', ["alpha", "beta"]),
        ('NOT (name = "alpha" OR name = "beta")', ["alphabet"]),
        ('name : "a" AND created_at > "2020-01-01T00:00:00Z"', ["alpha", "beta", "alphabet"]),
        ('created_at < "2020-01-01T00:00:00Z"', []),
    ],
)
async def test_endpoints_are_filtered(
    client: AsyncTogether, expression: str, names: list[str]
) -> None:
    for name in ("alpha", "beta", "alphabet"):
        await client.endpoints.create(name=name)
    found = [e.name async for e in client.endpoints.list(filter=expression, limit=1)]
    assert sorted(found) == sorted(f"acme/{name}" for name in names)


@pytest.mark.parametrize("expression", ["name =", "name ~ 1", "color = 'red'", "(name = 'x'", "="])
async def test_a_bad_filter_is_a_bad_request(client: AsyncTogether, expression: str) -> None:
    with pytest.raises(together.BadRequestError, match="filter"):
        await client.endpoints.list(filter=expression)


async def test_lists_can_be_ordered(client: AsyncTogether) -> None:
    for name in ("a", "b", "c"):
        await client.endpoints.create(name=name)
    newest = [e.name async for e in client.endpoints.list(limit=2)]
    oldest = [e.name async for e in client.endpoints.list(order_by="created_at asc", limit=2)]
    assert newest == oldest[::-1] == ["acme/c", "acme/b", "acme/a"]


async def test_deployments_are_filtered_by_state(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    served = await situations.deployed(provider)
    await situations.in_state(provider, served, "READY")
    listing = client.endpoints.deployments.list

    async def ids(expression: str) -> list[str]:
        return [d.id async for d in listing(served.endpoint.id, filter=expression)]

    assert await ids('state = "DEPLOYMENT_STATE_READY"') == [served.deployment.id]
    assert await ids('state = "DEPLOYMENT_STATE_STOPPED"') == []
    model = f"projects/proj_sim/models/{served.model.id}"
    assert await ids(f'model = "{model}"') == [served.deployment.id]


async def test_a_start_is_told_in_events(client: AsyncTogether, provider: SdkDriver) -> None:
    served = await situations.deployed(provider)
    await situations.in_state(provider, served, "READY")
    events = client.endpoints.list_events
    phases = [
        event.reason
        async for event in events(
            served.endpoint.id,
            types=["pod.startup_phase_changed"],
            deployment_ids=[served.deployment.id],
        )
    ]
    assert phases[::-1] == ["PullingImage", "Starting", "LoadingWeights", "StartupComplete"]
    everything = [event async for event in events(served.endpoint.id, limit=3)]
    assert [e.created_at for e in everything] == sorted(
        (e.created_at for e in everything), reverse=True
    )
    own = [e.type async for e in events(served.endpoint.id, source_kinds=["SOURCE_KIND_ENDPOINT"])]
    assert own == ["endpoint.created"]


async def test_a_crash_carries_its_log(
    client: AsyncTogether, provider: SdkDriver, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(deployments=[{"outcome": "failed", "logExcerpt": "CUDA out of memory"}])
    served = await situations.deployed(provider)
    await situations.in_state(provider, served, "FAILED")
    found = [
        event.log_excerpt
        async for event in client.endpoints.list_events(served.endpoint.id, min_level="LEVEL_ERROR")
        if event.log_excerpt
    ]
    assert found == ["CUDA out of memory"]


async def test_hardware_is_read_by_id(client: AsyncTogether) -> None:
    listing = await client.endpoints.hardware.list()
    one = await client.endpoints.hardware.retrieve(listing.data[0].id)
    assert one.name == listing.data[0].name
    assert one.price_cents_per_hour > 0


async def test_a_ready_endpoint_serves_nothing_until_it_has_weight(
    client: AsyncTogether, provider: SdkDriver, together_sim: TogetherSimulator
) -> None:
    served = await situations.deployed(provider)
    deployment = await situations.in_state(provider, served, "READY")
    with pytest.raises(together.InternalServerError) as caught:
        await client.embeddings.create(model=served.endpoint.name, input="king")
    body: Any = caught.value.body
    assert (caught.value.status_code, body["error"]["type"]) == (503, "routing_error")
    together_sim.behave(unrouted_error="endpoint_not_configured")
    with pytest.raises(together.BadRequestError) as newer:
        await client.embeddings.create(model=served.endpoint.name, input="king")
    body = newer.value.body
    assert body["error"]["code"] == "endpoint_not_configured"
    direct = await client.embeddings.create(model=deployment.name, input="king")
    assert len(direct.data) == 1
    await provider.set_traffic(served.endpoint.id, [TrafficShare(deployment.id, 1)], "")
    answer = await client.embeddings.create(model=served.endpoint.name, input=["king", "queen"])
    assert [item.index for item in answer.data] == [0, 1]


async def test_embeddings_come_from_the_imported_weights(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.create_model(provider)
    await situations.import_url(provider, model, f"https://huggingface.co/{MINILM}")
    endpoint = await provider.create_endpoint("e")
    made = await provider.create_deployment(
        endpoint.id, await situations.new_deployment(provider, model)
    )
    served = situations.Served(model, endpoint, made)
    await situations.in_state(provider, served, "READY")
    answer = await client.embeddings.create(
        model=made.name, input=["a king", "a queen", "a yellow banana"]
    )
    king, queen, banana = (item.embedding for item in answer.data)
    assert len(king) == 384
    assert math.isclose(math.sqrt(sum(x * x for x in king)), 1.0, rel_tol=1e-6)

    def likeness(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(king, queen) > likeness(king, banana) + 0.2
    with pytest.raises(together.BadRequestError, match="does not support chat"):
        await client.chat.completions.create(
            model=made.name, messages=[{"role": "user", "content": "hello"}]
        )


async def test_chat_answers_with_words_of_the_model(
    client: AsyncTogether, provider: SdkDriver
) -> None:
    model = await situations.create_model(provider, base=situations.CHAT_BASE)
    await situations.import_url(provider, model, f"https://huggingface.co/{TINY_CHAT}")
    endpoint = await provider.create_endpoint("e")
    made = await provider.create_deployment(
        endpoint.id, await situations.new_deployment(provider, model)
    )
    await situations.in_state(provider, situations.Served(model, endpoint, made), "READY")
    answer = await client.chat.completions.create(
        model=made.name, messages=[{"role": "user", "content": "the king and"}], max_tokens=3
    )
    message = answer.choices[0].message
    assert message is not None
    words = (message.content or "").split()
    assert len(words) == 3
    text = await client.completions.create(model=made.name, prompt="the king and", max_tokens=3)
    assert text.choices[0].text == message.content, "the same weights and words, the same answer"
    with pytest.raises(together.BadRequestError, match="does not support embeddings"):
        await client.embeddings.create(model=made.name, input="king")


@pytest.mark.parametrize("name", ["acme/missing", "other/e", "missing"])
async def test_an_unknown_model_string_is_not_found(client: AsyncTogether, name: str) -> None:
    with pytest.raises(together.NotFoundError):
        await client.embeddings.create(model=name, input="king")


async def test_inference_needs_a_key_that_may(
    provider: SdkDriver, together_sim: TogetherSimulator
) -> None:
    served = await situations.routed(provider)
    for key, error in (
        ("wrong", together.AuthenticationError),
        (FORBIDDEN_KEY, together.PermissionDeniedError),
    ):
        stranger = AsyncTogether(api_key=key, base_url=together_sim.url, max_retries=0)
        with pytest.raises(error):
            await stranger.embeddings.create(model=served.endpoint.name, input="king")


async def test_traffic_follows_weight_times_ready_replicas(
    client: AsyncTogether, provider: SdkDriver, together_sim: TogetherSimulator
) -> None:
    served = await situations.deployed(provider)
    new = await situations.new_deployment(provider, served.model, "d2", replicas=3)
    second = await provider.create_deployment(served.endpoint.id, new)
    await situations.in_state(provider, served, "READY")
    await situations.in_state(
        provider, situations.Served(served.model, served.endpoint, second), "READY"
    )
    shares = [TrafficShare(served.deployment.id, 1), TrafficShare(second.id, 1)]
    await provider.set_traffic(served.endpoint.id, shares, "")
    [d2, d1] = [d async for d in client.endpoints.deployments.list(served.endpoint.id)]
    assert (d1.estimated_effective_traffic_share, d2.estimated_effective_traffic_share) == (
        0.25,
        0.75,
    )
    for _ in range(60):
        await client.embeddings.create(model=served.endpoint.name, input="king")
    requests = {d["id"]: d["requests"] for d in together_sim.state()["deployments"]}
    assert sum(requests.values()) == 60
    assert requests[second.id] > requests[served.deployment.id] > 0
