"""What kopf lists is shown to its observers a page at a time, and errors stay what they were."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import kopf
import pytest
from aiohttp import web

from together_operator.engine.store import Body, key_of
from together_operator.shell.session import Sessions

LIST = "/apis/together.ai/v1alpha1/custommodels"
HTML = "<html>Bad gateway</html>"


def page(number: int) -> dict[str, Any]:
    """A page of a list, with so many objects."""
    items = [{"metadata": {"namespace": "team", "name": f"m-{n}"}} for n in range(number)]
    return {"kind": "CustomModelList", "metadata": {"resourceVersion": "7"}, "items": items}


@asynccontextmanager
async def served(answer: web.Response) -> AsyncIterator[str]:
    """A server that answers everything alike; its base URL."""

    async def handle(_: web.Request) -> web.Response:
        return answer

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Reader:
    """Reads as kopf does, and remembers what was shown."""

    def __init__(self) -> None:
        self.shown: list[Body] = []
        self.sessions = Sessions({"custommodels": self.shown.append})

    @property
    def names(self) -> list[str]:
        """Of the objects that were shown."""
        return [key_of(body).name for body in self.shown]

    async def read(self, server: str, path: str, method: str = "GET") -> Any:
        """The JSON of one answer."""
        session = self.sessions.of(kopf.ConnectionInfo(server=server)).aiohttp_session
        async with session, session.request(method, f"{server}{path}") as response:
            return await response.json()


async def test_all_of_a_page_is_shown_and_one_is_left_for_kopf() -> None:
    reader = Reader()
    async with served(web.json_response(page(250))) as server:
        found = await reader.read(server, f"{LIST}?limit=500")

    assert reader.names == [f"m-{n}" for n in range(250)]
    assert found == {**page(250), "items": page(1)["items"]}


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/apis/together.ai/v1alpha1/modeldeployments", "GET"),
        ("/api/v1/namespaces", "GET"),
        (f"{LIST}/one", "GET"),
        (LIST, "POST"),
    ],
)
async def test_other_answers_are_left_as_they_are(path: str, method: str) -> None:
    reader = Reader()
    async with served(web.json_response(page(3))) as server:
        assert await reader.read(server, path, method) == page(3)

    assert not reader.shown


@pytest.mark.parametrize("items", [[], None])
async def test_an_empty_list_shows_nothing(items: list[Any] | None) -> None:
    reader = Reader()
    async with served(web.json_response({**page(0), "items": items})) as server:
        assert (await reader.read(server, LIST))["items"] == items

    assert not reader.shown


async def test_a_refusal_is_no_list() -> None:
    reader = Reader()
    refusal = {"kind": "Status", "code": 403, "items": page(1)["items"]}
    async with served(web.json_response(refusal, status=403)) as server:
        assert await reader.read(server, LIST) == refusal

    assert not reader.shown


async def test_what_is_no_json_is_the_error_that_kopf_knows() -> None:
    reader = Reader()
    async with served(web.Response(text=HTML, content_type="text/html", status=502)) as server:
        with pytest.raises(aiohttp.ContentTypeError):
            await reader.read(server, LIST)

    async with served(web.Response(text='{"items": [', content_type="application/json")) as server:
        with pytest.raises(ValueError, match=r"line 1|Expecting"):
            await reader.read(server, LIST)


async def test_the_same_login_is_the_same_session_and_another_is_another() -> None:
    sessions = Sessions({})
    login = kopf.ConnectionInfo(server="http://a", token="one", default_namespace="team")

    first = sessions.of(login)
    again = sessions.of(dataclasses.replace(login))
    rotated = sessions.of(dataclasses.replace(login, token="two"))

    assert first == again
    assert rotated != first
    assert (first.server, first.default_namespace) == ("http://a", "team")
    assert rotated.aiohttp_session.headers["Authorization"] == "Bearer two"
    for session in (first, rotated):
        await session.aiohttp_session.close()
