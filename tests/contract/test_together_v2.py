"""Our adapter beyond the shared expectations: odd answers, secrets, pages, the limiter."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from tests.contract.situations import base_model_id, create_model, until
from tests.support.simulators.together import Fault, TogetherSimulator
from together_operator.adapters.rate_limit import Limits, RateLimiter
from together_operator.adapters.together_v2 import TogetherV2
from together_operator.domain import errors
from together_operator.domain.together import ModelChange, NewModel
from together_operator.ports import Priority

KEY = "tgp_v1_verysecretkey"
SIGNED = "https://bucket.s3.amazonaws.com/m.zip?X-Amz-Credential=AKIAEXAMPLE&X-Amz-Signature=feed"
TOKEN = "hf_verysecrettoken"
WHOAMI = {"type": "project_api_key", "project": {"id": "proj_1", "name": "P", "slug": "acme"}}
JOB = {
    "id": "job_1",
    "modelId": "ml_1",
    "status": "REMOTE_UPLOAD_STATUS_RUNNING",
    "remoteUrl": SIGNED,
    "statusMessage": "Downloading",
}

Handler = Callable[[httpx.Request], httpx.Response]


def answering(handle: Handler, *, limiter: RateLimiter | None = None) -> TogetherV2:
    """An adapter whose requests a function answers (whoami is answered here)."""

    def route(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v3/whoami":
            return httpx.Response(200, json=WHOAMI)
        return handle(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(route))
    return TogetherV2(SecretStr(KEY), "https://together.test", http=http, limiter=limiter)


def raising(error: Exception) -> Handler:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error

    return handle


def always(response: Callable[[], httpx.Response]) -> Handler:
    return lambda _: response()


@pytest.fixture
async def adapter(together_sim: TogetherSimulator) -> AsyncIterator[TogetherV2]:
    made = TogetherV2(together_sim.secret, together_sim.url)
    yield made
    await made.close()


@pytest.mark.parametrize("effect", ["invalid_json", "html"])
async def test_a_useless_answer_is_unavailable_to_reads_and_ambiguous_to_writes(
    adapter: TogetherV2, together_sim: TogetherSimulator, effect: str
) -> None:
    await adapter.project_slug()
    together_sim.add_fault(Fault.model_validate({"effect": effect, "count": 2}))
    with pytest.raises(errors.Unavailable):
        await adapter.list_endpoints()
    with pytest.raises(errors.Ambiguous):
        await adapter.create_endpoint("e")
    assert [endpoint.name for endpoint in await adapter.list_endpoints()] == ["acme/e"]


@pytest.mark.parametrize(
    ("error", "on_read", "on_write"),
    [
        (httpx.ConnectError("refused"), errors.Unavailable, errors.Unavailable),
        (httpx.ConnectTimeout("slow"), errors.Unavailable, errors.Unavailable),
        (httpx.PoolTimeout("busy"), errors.Unavailable, errors.Unavailable),
        (httpx.ReadTimeout("slow"), errors.Unavailable, errors.Ambiguous),
        (httpx.ReadError("reset"), errors.Unavailable, errors.Ambiguous),
        (httpx.WriteError("reset"), errors.Unavailable, errors.Ambiguous),
        (httpx.WriteTimeout("slow"), errors.Unavailable, errors.Ambiguous),
        (httpx.RemoteProtocolError("closed"), errors.Unavailable, errors.Ambiguous),
    ],
)
async def test_what_was_sent_decides_between_unavailable_and_ambiguous(
    error: Exception, on_read: type[Exception], on_write: type[Exception]
) -> None:
    adapter = answering(raising(error))
    with pytest.raises(on_read):
        await adapter.list_models()
    with pytest.raises(on_write):
        await adapter.create_endpoint("e")


@pytest.mark.parametrize(
    ("status", "on_read", "on_write"),
    [
        (408, errors.Unavailable, errors.Ambiguous),
        (410, errors.NotFound, errors.NotFound),
        (412, errors.Conflict, errors.Conflict),
        (302, errors.Unavailable, errors.Unavailable),
        (402, errors.Rejected, errors.Rejected),
        (418, errors.Rejected, errors.Rejected),
    ],
)
async def test_rarer_statuses_have_kinds_too(
    status: int, on_read: type[Exception], on_write: type[Exception]
) -> None:
    headers = {"Location": "https://elsewhere.test"}
    adapter = answering(
        always(lambda: httpx.Response(status, json={"message": "no"}, headers=headers))
    )
    with pytest.raises(on_read):
        await adapter.get_model("ml_1")
    with pytest.raises(on_write):
        await adapter.create_endpoint("e")


async def test_a_404_that_is_not_the_apis_own_does_not_mean_gone() -> None:
    adapter = answering(always(lambda: httpx.Response(404, text="<html>no such host</html>")))
    with pytest.raises(errors.Unavailable):
        await adapter.get_model("ml_1")
    with pytest.raises(errors.Unavailable):
        await adapter.delete_model("ml_1")


async def test_a_wrong_base_url_is_told_as_one() -> None:
    missing = {"error": {"message": "Unable to find the requested path.", "code": "not_found"}}
    http = httpx.AsyncClient(
        transport=httpx.MockTransport(always(lambda: httpx.Response(404, json=missing)))
    )
    adapter = TogetherV2(SecretStr(KEY), "https://together.test/v1", http=http)

    with pytest.raises(errors.Unavailable, match="check TOGETHER_BASE_URL"):
        await adapter.list_models()


@pytest.mark.parametrize("number", ['"Infinity"', '"NaN"', "1e999", '"many"'])
async def test_a_number_that_is_none_is_unavailable(number: str) -> None:
    item = f'{{"id":"job_1","modelId":"ml_1","restartCount":{number}}}'
    answer = httpx.Response(200, content=f'{{"data":[{item}]}}')

    with pytest.raises(errors.Unavailable, match="a number"):
        await answering(always(lambda: answer)).list_imports()


async def test_a_delete_may_answer_with_nothing() -> None:
    await answering(always(lambda: httpx.Response(204))).delete_model("ml_1")


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        {},
        {"data": "x"},
        {"data": [{"id": ""}]},
        {"data": [{"name": "acme/m"}]},
        {"data": [{"id": "ml_1"}, None]},
    ],
)
async def test_an_answer_of_another_shape_is_unavailable(body: object) -> None:
    adapter = answering(always(lambda: httpx.Response(200, json=body)))
    with pytest.raises(errors.Unavailable):
        await adapter.list_models()


async def test_a_create_without_an_id_in_its_answer_is_ambiguous() -> None:
    adapter = answering(always(lambda: httpx.Response(200, json={"name": "acme/e"})))
    with pytest.raises(errors.Ambiguous, match="id is missing"):
        await adapter.create_endpoint("e")


async def test_unknown_states_of_deployments_are_unknown() -> None:
    deployment = {"id": "dep_1", "status": {"state": "DEPLOYMENT_STATE_DANCING"}}
    adapter = answering(always(lambda: httpx.Response(200, json={"data": [deployment]})))
    [found] = await adapter.list_deployments("ep_1")
    assert found.state == "UNKNOWN"


async def test_unknown_states_of_imports_are_no_end() -> None:
    job = {**JOB, "status": "REMOTE_UPLOAD_STATUS_DANCING"}
    adapter = answering(always(lambda: httpx.Response(200, json={"data": [job]})))
    [found] = await adapter.list_imports()
    assert found.state == "RUNNING"


async def test_a_cursor_that_comes_back_ends_the_list() -> None:
    page = {"data": [{"id": "ml_1", "name": "acme/m"}], "next_cursor": "again"}
    adapter = answering(always(lambda: httpx.Response(200, json=page)))
    with pytest.raises(errors.Unavailable, match="does not end"):
        await adapter.list_models()


async def test_a_refused_page_size_is_given_up(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(max_page=100)
    together_sim.seed_models(f"m{number}" for number in range(120))
    route = "GET /v2/projects/{project}/models"
    assert len(await adapter.list_models()) == 120
    first = together_sim.calls(route)
    assert len(await adapter.list_models()) == 120
    assert together_sim.calls(route) - first == 3, "50 a page, and the refusal is remembered"


async def test_large_pages_are_asked_for(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    together_sim.seed_models(f"m{number}" for number in range(1001))
    await adapter.list_models()
    assert together_sim.calls("GET /v2/projects/{project}/models") == 3


async def test_a_page_that_is_as_it_was_is_not_parsed_again() -> None:
    pages = {
        "": {"data": [{"id": f"ml_{n}", "name": f"acme/m{n}"} for n in (1, 2)], "next_cursor": "c"},
        "c": {"data": [{"id": "ml_3", "name": "acme/m3"}], "next_cursor": None},
    }

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=pages[request.url.params.get("after", "")])

    adapter = answering(handle)
    first = await adapter.list_models()
    again = await adapter.list_models()
    assert [model.id for model in again] == ["ml_1", "ml_2", "ml_3"]
    assert all(one is other for one, other in zip(first, again, strict=True))

    pages["c"] = {"data": [{"id": "ml_3", "name": "acme/m3", "description": "by hand"}]}
    changed = await adapter.list_models()
    assert all(one is other for one, other in zip(first[:2], changed[:2], strict=True))
    assert [model.description for model in changed] == ["", "", "by hand"]

    pages[""] = {"data": [{"id": "ml_2", "name": "acme/m2"}], "next_cursor": ""}
    assert [model.id for model in await adapter.list_models()] == ["ml_2"]
    assert [endpoint.id for endpoint in await adapter.list_endpoints()] == ["ml_2"]


async def test_a_page_that_can_t_be_understood_is_not_remembered() -> None:
    answers = [{"data": [{"name": "acme/m"}]}, {"data": [{"name": "acme/m"}]}, {"data": []}]
    adapter = answering(always(lambda: httpx.Response(200, json=answers.pop(0))))
    for _ in range(2):
        with pytest.raises(errors.Unavailable, match="id is missing"):
            await adapter.list_models()
    assert await adapter.list_models() == []


async def test_an_endless_answer_is_cut_off() -> None:
    adapter = answering(always(lambda: httpx.Response(200, content=b" " * (33 * 1024 * 1024))))
    with pytest.raises(errors.Unavailable):
        await adapter.list_models()


async def test_an_answer_that_takes_too_long_is_lost(
    adapter: TogetherV2, together_sim: TogetherSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await adapter.project_slug()
    monkeypatch.setattr("together_operator.adapters.together_v2.http.DEADLINE", 0.2)
    together_sim.add_fault(Fault(effect="delay", seconds=30, count=2))
    with pytest.raises(errors.Unavailable, match="TimeoutError"):
        await adapter.list_models()
    with pytest.raises(errors.Ambiguous, match="TimeoutError"):
        await adapter.create_endpoint("e")


async def test_an_update_of_nothing_sends_nothing(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    model = await create_model(adapter)
    writes = len(together_sim.audit())
    assert await adapter.update_model(model.id, ModelChange()) == model
    assert len(together_sim.audit()) == writes


async def test_whoami_is_asked_once_and_again_after_a_failure(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    together_sim.add_fault(Fault(effect="status", status=500, path="whoami"))
    with pytest.raises(errors.Unavailable):
        await adapter.list_models()
    await asyncio.gather(*(adapter.list_models() for _ in range(5)))
    assert together_sim.calls("GET /v3/whoami") == 2


async def test_the_user_agent_names_the_operator(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    await adapter.create_endpoint("e")
    assert together_sim.audit()[0].user_agent.startswith("together-operator/")


async def test_calls_are_told(together_sim: TogetherSimulator) -> None:
    told: list[tuple[str, str, str]] = []
    adapter = TogetherV2(
        together_sim.secret, together_sim.url, on_call=lambda *call: told.append(call)
    )
    await adapter.create_endpoint("e")
    with pytest.raises(errors.NotFound):
        await adapter.get_model("ml_unknown")
    together_sim.add_fault(Fault(effect="drop_after_commit"))
    with pytest.raises(errors.Unavailable):
        await adapter.list_imports()
    await adapter.close()
    assert told == [
        ("GET", "whoami", "200"),
        ("POST", "endpoints", "200"),
        ("GET", "models", "404"),
        ("GET", "uploads", "Unavailable"),
    ]


def secrets_in(thing: object) -> list[str]:
    """Which of the secrets an exception would show, anywhere in its chain and its attributes."""
    shown, pending, seen = "", [thing], set[int]()
    while pending:
        item: Any = pending.pop()
        if item is None or id(item) in seen:
            continue
        seen.add(id(item))
        shown += f"{item!r} {item!s} "
        if isinstance(item, BaseException):
            pending += [item.__cause__, item.__context__, *vars(item).values()]
    return [s for s in (KEY, TOKEN, "feed", "AKIAEXAMPLE") if s in shown]


@pytest.mark.parametrize(
    "handle",
    [
        always(lambda: httpx.Response(400, json={"message": f"can't fetch {SIGNED} ({TOKEN})"})),
        always(lambda: httpx.Response(500, json={"error": {"message": f"key {KEY} {SIGNED}"}})),
        always(lambda: httpx.Response(403, json={"error": f"Authorization: Bearer {KEY}"})),
        always(lambda: httpx.Response(429, json={"message": SIGNED})),
        always(lambda: httpx.Response(200, json={"remoteUrl": SIGNED, "token": TOKEN})),
        always(lambda: httpx.Response(200, text=f"<html>{SIGNED}{TOKEN}</html>")),
        raising(httpx.ReadTimeout(f"while sending {SIGNED} {TOKEN} {KEY}")),
        raising(httpx.ConnectError(f"{SIGNED}")),
    ],
)
async def test_no_error_shows_a_secret(handle: Handler) -> None:
    adapter = answering(handle, limiter=RateLimiter(Limits(patience=0)))
    with pytest.raises(errors.RemoteError) as caught:
        await adapter.start_import("ml_1", SecretStr(SIGNED), SecretStr(TOKEN))
    assert secrets_in(caught.value) == []
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "message",
    [
        f"download of {SIGNED} failed",
        f"token {TOKEN} refused",
        "see https://u:pw1234567@h/x?y=feed",
    ],
)
async def test_no_import_shows_a_secret(message: str) -> None:
    job = {**JOB, "statusMessage": message}
    adapter = answering(always(lambda: httpx.Response(200, json=job)))
    found = await adapter.start_import("ml_1", SecretStr(SIGNED), SecretStr(TOKEN))
    assert secrets_in(found) == []
    assert "pw1234567" not in found.message


async def test_a_careless_platform_does_not_make_us_careless(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    together_sim.behave(leak_urls=True)
    model = await create_model(adapter)
    url = f"{together_sim.url}/missing.zip?X-Amz-Signature=feed"
    job = await adapter.start_import(model.id, SecretStr(url))
    done = await until(lambda: adapter.get_import(job.id), lambda j: j.state == "FAILED")
    assert done.message == "remote URL answered 404 (not found) ([hidden])"


async def test_no_log_shows_a_secret(
    adapter: TogetherV2, together_sim: TogetherSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    # Whatever a program under test has set before.
    caplog.set_level(logging.DEBUG, logger="httpx")
    caplog.set_level(logging.INFO, logger="httpcore")
    model = await create_model(adapter)
    await adapter.start_import(model.id, SecretStr(SIGNED), SecretStr(TOKEN))
    assert caplog.records
    for record in caplog.records:
        text = record.getMessage()
        for secret in (together_sim.key, "feed", TOKEN):
            assert secret not in text


async def test_after_429_others_wait_too(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    await adapter.project_slug()
    together_sim.add_fault(Fault(effect="status", status=429, retry_after=60))
    with pytest.raises(errors.RateLimited):
        await adapter.list_models()
    before = together_sim.calls("GET /v2/projects/{project}/endpoints")
    with pytest.raises(errors.RateLimited) as caught:
        await adapter.list_endpoints(Priority.INTERACTIVE)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 50
    assert together_sim.calls("GET /v2/projects/{project}/endpoints") == before


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "20"}, 20),
        ({"retry-after-ms": "1500", "Retry-After": "20"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"Retry-After": "soon"}, 1),
        ({"Retry-After": "nan"}, 1),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "99999999"}, 300),
        ({}, 1),
    ],
)
async def test_retry_after_is_understood_in_all_its_forms(
    headers: dict[str, str], seconds: float
) -> None:
    adapter = answering(
        always(lambda: httpx.Response(429, json={"message": "slow"}, headers=headers)),
        limiter=RateLimiter(jitter=lambda: 0.0),
    )
    with pytest.raises(errors.RateLimited) as caught:
        await adapter.list_models()
    assert caught.value.retry_after == seconds


async def test_a_model_is_created_with_exactly_what_is_asked(
    adapter: TogetherV2, together_sim: TogetherSimulator
) -> None:
    base = await base_model_id(adapter)
    await adapter.create_model(NewModel("m", base, "model"))
    assert together_sim.audit()[-1].fields == ["baseModelId", "name", "type"]
