"""Errors: every way in which a call can go wrong, as a caller of `ModelProvider` sees it."""

import pytest

from tests.contract.conftest import Drivers
from tests.contract.situations import base_model_id, create_model
from tests.support.simulators.together import (
    FORBIDDEN_KEY,
    ORGANIZATION_KEY,
    OTHER_KEY,
    READ_ONLY_KEY,
    Fault,
    TogetherSimulator,
)
from together_operator.domain import errors
from together_operator.domain.together import NewModel
from together_operator.ports import ModelProvider

MODELS = "/models$"


async def test_an_unknown_key_is_unauthorized(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    with pytest.raises(errors.Unauthorized):
        await drivers.connect(together_sim.url, "wrong").list_models()


async def test_a_key_without_permissions_is_forbidden(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    with pytest.raises(errors.Forbidden):
        await drivers.connect(together_sim.url, FORBIDDEN_KEY).list_models()


async def test_a_key_that_may_only_read_reads(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    reader = drivers.connect(together_sim.url, READ_ONLY_KEY)
    assert await reader.list_models() == []
    with pytest.raises(errors.Forbidden):
        await reader.create_endpoint("e")
    assert together_sim.state()["endpoints"] == []


async def test_keys_of_other_projects_see_other_things(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    mine = drivers.connect(together_sim.url, together_sim.key)
    other = drivers.connect(together_sim.url, OTHER_KEY)
    model = await create_model(mine)
    assert await other.project_slug() == "other"
    assert await other.list_models() == []
    with pytest.raises(errors.NotFound):
        await other.get_model(model.id)
    assert (await create_model(other)).name == "other/m"


async def test_an_organization_key_works_in_the_project_it_is_told(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    owner = drivers.connect(together_sim.url, ORGANIZATION_KEY, project_id="proj_other")
    assert await owner.project_slug() == "other"
    assert (await create_model(owner)).project_id == "proj_other"


async def test_an_organization_key_needs_a_project(
    drivers: Drivers, together_sim: TogetherSimulator
) -> None:
    with pytest.raises(errors.Unauthorized, match="organization"):
        await drivers.connect(together_sim.url, ORGANIZATION_KEY).list_models()


async def test_nobody_listening_is_unavailable(drivers: Drivers) -> None:
    with pytest.raises(errors.Unavailable):
        await drivers.connect("http://127.0.0.1:9", "key").list_models()


async def test_a_connection_that_was_refused_did_nothing(
    drivers: Drivers,
) -> None:
    async with TogetherSimulator() as simulator:
        provider = drivers.connect(simulator.url, simulator.key)
        await provider.project_slug()
    with pytest.raises(errors.Unavailable):
        await provider.create_endpoint("e")


async def test_429_tells_how_long_to_wait(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="status", status=429, retry_after=7, message="slow down"))
    with pytest.raises(errors.RateLimited, match="slow down") as caught:
        await provider.list_models()
    assert caught.value.retry_after is not None
    assert 7 <= caught.value.retry_after <= 7 * 1.25
    assert caught.value.status == 429


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_failing_server_is_unavailable_to_reads_and_ambiguous_to_writes(
    provider: ModelProvider, together_sim: TogetherSimulator, status: int
) -> None:
    new = NewModel("m", await base_model_id(provider), "model")
    together_sim.add_fault(Fault(effect="status", path=MODELS, status=status, count=2))
    with pytest.raises(errors.Unavailable) as read:
        await provider.list_models()
    assert read.value.status == status
    with pytest.raises(errors.Ambiguous):
        await provider.create_model(new)
    assert await provider.list_models() == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.Rejected),
    ],
)
async def test_refusals_have_their_kinds_and_the_remotes_words(
    provider: ModelProvider,
    together_sim: TogetherSimulator,
    status: int,
    kind: type[errors.RemoteError],
) -> None:
    await provider.project_slug()
    fault = Fault(effect="status", method="POST", status=status, message="because of the moon")
    together_sim.add_fault(fault)
    with pytest.raises(kind, match="because of the moon") as caught:
        await provider.create_endpoint("e")
    assert caught.value.status == status


@pytest.mark.parametrize("effect", ["drop_before_commit", "drop_after_commit"])
async def test_a_write_whose_answer_is_lost_is_ambiguous(
    provider: ModelProvider, together_sim: TogetherSimulator, effect: str
) -> None:
    await provider.project_slug()
    fault = {"effect": effect, "method": "POST", "path": "/endpoints$"}
    together_sim.add_fault(Fault.model_validate(fault))
    with pytest.raises(errors.Ambiguous):
        await provider.create_endpoint("e")
    created = {"drop_before_commit": 0, "drop_after_commit": 1}[effect]
    assert len(await provider.list_endpoints()) == created


async def test_a_read_whose_answer_is_lost_is_unavailable(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="drop_after_commit", method="GET"))
    with pytest.raises(errors.Unavailable):
        await provider.list_models()


async def test_a_write_that_happens_late_shows_later(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="late_commit", method="POST", seconds=0.3))
    with pytest.raises(errors.Ambiguous):
        await provider.create_endpoint("e")
    assert await provider.list_endpoints() == []
    together_sim.wait_for_commits()
    assert [e.name for e in await provider.list_endpoints()] == ["acme/e"]


async def test_what_is_not_visible_yet_has_its_name_taken(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    await provider.project_slug()
    together_sim.add_fault(Fault(effect="hidden", method="POST", seconds=3600))
    created = await provider.create_endpoint("e")
    assert await provider.list_endpoints() == []
    with pytest.raises(errors.NotFound):
        await provider.get_endpoint(created.id)
    with pytest.raises(errors.Conflict):
        await provider.create_endpoint("e")


async def test_lists_may_lag_behind_creations_and_deletions(
    provider: ModelProvider, together_sim: TogetherSimulator
) -> None:
    endpoint = await provider.create_endpoint("e")
    together_sim.behave(list_lag_seconds=3600)
    assert await provider.list_endpoints() == []
    assert await provider.get_endpoint(endpoint.id) == endpoint
    together_sim.behave_well()
    assert await provider.list_endpoints() == [endpoint]
