"""Looking at Hugging Face repositories: what a look tells, and how it fails."""

import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from tests.support.simulators.hub import MINILM, HubSimulator, minilm_directory
from tests.support.simulators.together import Fault
from together_operator.adapters.hub import HuggingFaceHub
from together_operator.domain import errors

REPO = "org/model"
TOKEN = SecretStr("hf_of_the_object")
Directory = Callable[..., Path]


@pytest.fixture(autouse=True)
def without_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The machine's own login is not there unless a test puts one."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Where blocking calls run."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
def hub(hub_sim: HubSimulator, threads: ThreadPoolExecutor) -> HuggingFaceHub:
    """The adapter."""
    return HuggingFaceHub(hub_sim.url, threads)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """Makes a repository's directory from its files."""

    def make(**files: str) -> Path:
        folder = tmp_path / "repository"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_text(content)
        return folder

    return make


def card(base_model: object) -> str:
    """A README.md whose head names a base model."""
    return f"---\nlicense: mit\nbase_model: {json.dumps(base_model)}\n---\nA model."


# What a look tells.


async def test_a_look_tells_commit_files_and_size(hub: HuggingFaceHub) -> None:
    found = await hub.look(MINILM, None)
    on_disk = [path for path in minilm_directory().rglob("*") if path.is_file()]
    assert found.files == len(on_disk)
    assert found.size_bytes == sum(path.stat().st_size for path in on_disk)
    assert len(found.revision) == 40


async def test_a_new_commit_is_another_revision(
    hub: HuggingFaceHub, hub_sim: HubSimulator, directory: Directory
) -> None:
    repository = hub_sim.add_repository(REPO, directory(config__json="{}"))
    before = await hub.look(REPO, None)
    repository.commit("main", directory(config__json='{"changed": true}'))
    assert (await hub.look(REPO, None)).revision != before.revision


async def test_a_revision_is_resolved_to_its_commit(
    hub: HuggingFaceHub, hub_sim: HubSimulator, directory: Directory
) -> None:
    repository = hub_sim.add_repository(REPO, directory(config__json="{}"))
    main = await hub.look(REPO, None)
    repository.commit("v2", directory(config__json='{"changed": true}'))
    tagged = await hub.look(REPO, None, "v2")
    assert tagged.revision != main.revision
    assert (await hub.look(REPO, None, tagged.revision)).revision == tagged.revision


async def test_a_revision_that_is_not_there_is_told(hub: HuggingFaceHub) -> None:
    with pytest.raises(errors.NotFound, match="has no such revision"):
        await hub.look(MINILM, None, "no-such-branch")


@pytest.mark.parametrize(
    ("files", "base_model"),
    [
        pytest.param({"config__json": "{}"}, REPO, id="nothing is said: the repository itself"),
        pytest.param({"README__md": card("meta/base")}, "meta/base", id="model card"),
        pytest.param(
            {"README__md": card(["meta/first", "meta/second"])}, "meta/first", id="first of several"
        ),
        pytest.param({"README__md": card([])}, REPO, id="empty list"),
        pytest.param({"README__md": card({"a": "map"})}, REPO, id="neither text nor list"),
        pytest.param(
            {"adapter_config__json": '{"base_model_name_or_path": "meta/base"}'},
            "meta/base",
            id="adapter configuration",
        ),
        pytest.param(
            {
                "README__md": card("meta/card"),
                "adapter_config__json": '{"base_model_name_or_path": "meta/base"}',
            },
            "meta/card",
            id="the card before the configuration",
        ),
        pytest.param(
            {"adapter_config__json": '{"base_model_name_or_path": "/home/me/llama"}'},
            REPO,
            id="a path on the trainer's machine",
        ),
        pytest.param({"adapter_config__json": "{}"}, REPO, id="configuration without it"),
        pytest.param({"adapter_config__json": "[1]"}, REPO, id="configuration is no object"),
        pytest.param({"adapter_config__json": "{"}, REPO, id="configuration is no JSON"),
    ],
)
async def test_the_base_model_is_what_the_source_says(
    hub: HuggingFaceHub,
    hub_sim: HubSimulator,
    directory: Directory,
    files: dict[str, str],
    base_model: str,
) -> None:
    hub_sim.add_repository(REPO, directory(**files))
    assert (await hub.look(REPO, None)).base_model == base_model


async def test_a_huge_adapter_configuration_is_not_read(
    hub: HuggingFaceHub, hub_sim: HubSimulator, directory: Directory
) -> None:
    said = json.dumps({"base_model_name_or_path": "meta/base", "padding": "x" * 300_000})
    hub_sim.add_repository(REPO, directory(adapter_config__json=said))
    assert (await hub.look(REPO, None)).base_model == REPO
    assert not [call for call in hub_sim.calls if "resolve" in call]


async def test_a_plain_look_is_one_call(hub: HuggingFaceHub, hub_sim: HubSimulator) -> None:
    await hub.look(MINILM, None)
    assert hub_sim.calls == {f"GET /api/models/{MINILM}": 1}


# Who may look.


async def test_a_private_repository_is_seen_with_a_token_that_may(
    hub: HuggingFaceHub, hub_sim: HubSimulator, directory: Directory
) -> None:
    hub_sim.add_repository(
        REPO,
        directory(adapter_config__json='{"base_model_name_or_path": "meta/base"}'),
        private=True,
    )
    hub_sim.add_token(TOKEN.get_secret_value(), REPO)
    assert (await hub.look(REPO, TOKEN)).base_model == "meta/base"


async def test_the_login_of_the_machine_is_never_used(
    hub: HuggingFaceHub,
    hub_sim: HubSimulator,
    directory: Directory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub_sim.add_repository(REPO, directory(config__json="{}"), private=True)
    monkeypatch.setenv("HF_TOKEN", hub_sim.token)
    with pytest.raises(errors.NotFound):
        await hub.look(REPO, None)


async def test_a_gated_repository_is_seen_by_whom_it_let_in(
    hub: HuggingFaceHub, hub_sim: HubSimulator, directory: Directory
) -> None:
    hub_sim.add_repository(REPO, directory(config__json="{}"), gated=True)
    hub_sim.add_token(TOKEN.get_secret_value(), REPO)
    assert (await hub.look(REPO, TOKEN)).files == 1


@pytest.mark.parametrize(
    ("token", "words"),
    [
        pytest.param(None, "there is no token", id="no token"),
        pytest.param(TOKEN, "the token has not been let in", id="not let in"),
    ],
)
async def test_a_gated_repository_is_forbidden_to_others(
    hub: HuggingFaceHub,
    hub_sim: HubSimulator,
    directory: Directory,
    token: SecretStr | None,
    words: str,
) -> None:
    hub_sim.add_repository(REPO, directory(config__json="{}"), gated=True)
    hub_sim.add_token(TOKEN.get_secret_value())
    with pytest.raises(errors.Forbidden, match=f"{REPO} is gated, and {words}"):
        await hub.look(REPO, token)


# Failures: each is one of ours, names the repository, and holds neither token nor answer.


@pytest.mark.parametrize(
    ("private", "token", "words"),
    [
        pytest.param(False, None, "does not exist or is private, needing a token", id="missing"),
        pytest.param(True, None, "does not exist or is private, needing a token", id="private"),
        pytest.param(
            False, TOKEN, "does not exist or may not be read with this token", id="missing, token"
        ),
        pytest.param(
            True, TOKEN, "does not exist or may not be read with this token", id="not its token"
        ),
    ],
)
async def test_missing_and_private_look_the_same(
    hub: HuggingFaceHub,
    hub_sim: HubSimulator,
    directory: Directory,
    private: bool,
    token: SecretStr | None,
    words: str,
) -> None:
    hub_sim.add_token(TOKEN.get_secret_value())
    if private:
        hub_sim.add_repository(REPO, directory(config__json="{}"), private=True)
    with pytest.raises(errors.NotFound) as caught:
        await hub.look(REPO, token)
    assert str(caught.value) == f"Hugging Face repository {REPO} {words}"


async def test_an_unknown_token_is_unauthorized(hub: HuggingFaceHub) -> None:
    with pytest.raises(errors.Unauthorized) as caught:
        await hub.look(MINILM, TOKEN)
    assert TOKEN.get_secret_value() not in str(caught.value)
    assert MINILM in str(caught.value)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(403, errors.Forbidden, id="403"),
        pytest.param(404, errors.NotFound, id="404 without a code"),
        pytest.param(408, errors.Unavailable, id="408"),
        pytest.param(418, errors.Rejected, id="418"),
        pytest.param(429, errors.RateLimited, id="429"),
        pytest.param(500, errors.Unavailable, id="500"),
        pytest.param(503, errors.Unavailable, id="503"),
    ],
)
async def test_other_answers_by_their_status(
    hub: HuggingFaceHub, hub_sim: HubSimulator, status: int, expected: type[errors.RemoteError]
) -> None:
    hub_sim.add_fault(Fault(effect="status", status=status, message="body of the answer"))
    with pytest.raises(expected) as caught:
        await hub.look(MINILM, None)
    assert caught.value.status == status
    assert str(caught.value) == f"Hugging Face answers {status} for repository {MINILM}"


async def test_a_cut_connection_is_unavailable(hub: HuggingFaceHub, hub_sim: HubSimulator) -> None:
    hub_sim.add_fault(Fault(effect="drop_before_commit", count=None))
    with pytest.raises(errors.Unavailable, match="can't be reached"):
        await hub.look(MINILM, None)


async def test_a_hub_that_nobody_serves_is_unavailable(threads: ThreadPoolExecutor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nobody = HuggingFaceHub(f"http://127.0.0.1:{taken.getsockname()[1]}", threads)
        with pytest.raises(errors.Unavailable, match="can't be reached"):
            await nobody.look(MINILM, None)


async def test_a_name_that_can_not_be_is_rejected(hub: HuggingFaceHub) -> None:
    with pytest.raises(errors.Rejected, match="not a valid name"):
        await hub.look("org/na--me", None)


# What the simulated hub does not do.


@pytest.fixture
async def answer(threads: ThreadPoolExecutor) -> AsyncIterator[Callable[[web.Response], str]]:
    """A server with one answer for everything; gives its address."""
    answers: list[web.Response] = []

    async def handle(_: web.Request) -> web.Response:
        return answers[0]

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    def serve(response: web.Response) -> str:
        answers.append(response)
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    await runner.cleanup()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"RateLimit": '"api";r=0;t=55'}, 55.0, id="RateLimit"),
        pytest.param({"RateLimit": '"api";r=3;t=55'}, None, id="RateLimit not used up"),
        pytest.param({"Retry-After": "7"}, 7.0, id="Retry-After"),
        pytest.param({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, None, id="a date"),
    ],
)
async def test_a_rate_limit_says_when_to_come_back(
    answer: Callable[[web.Response], str],
    threads: ThreadPoolExecutor,
    headers: dict[str, str],
    seconds: float | None,
) -> None:
    url = answer(web.Response(status=429, headers=headers))
    with pytest.raises(errors.RateLimited) as caught:
        await HuggingFaceHub(url, threads).look(MINILM, None)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("body", ["<html>Sign in to the network</html>", "{}", "[]"])
async def test_something_else_in_place_of_an_answer_is_unavailable(
    answer: Callable[[web.Response], str], threads: ThreadPoolExecutor, body: str
) -> None:
    url = answer(web.Response(text=body))
    with pytest.raises(errors.Unavailable, match="can't be understood"):
        await HuggingFaceHub(url, threads).look(MINILM, None)


async def test_a_disabled_repository_is_forbidden(
    answer: Callable[[web.Response], str], threads: ThreadPoolExecutor
) -> None:
    message = {"X-Error-Message": "Access to this resource is disabled."}
    url = answer(web.Response(status=403, headers=message))
    with pytest.raises(errors.Forbidden, match="disabled the repository"):
        await HuggingFaceHub(url, threads).look(MINILM, None)


async def test_what_the_hub_has_read_of_an_adapter_spares_reading_it(
    answer: Callable[[web.Response], str], threads: ThreadPoolExecutor
) -> None:
    found = {
        "id": REPO,
        "sha": "0" * 40,
        "config": {"peft": {"base_model_name_or_path": "meta/base"}},
        "siblings": [{"rfilename": "adapter_config.json", "size": 10}, {"rfilename": "unsized"}],
    }
    url = answer(web.json_response(found))
    facts = await HuggingFaceHub(url, threads).look(REPO, None)
    assert (facts.base_model, facts.files, facts.size_bytes) == ("meta/base", 2, None)
