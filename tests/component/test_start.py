"""What objects reserve is read before anything is decided, however long the API server takes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from kubernetes.aio import client

from together_operator import app
from together_operator.adapters.rest import KubeRest
from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.config import Config
from together_operator.controllers import Controllers
from together_operator.shell.lease import LeaseGate

Answer = Callable[[], web.StreamResponse]


def body(name: str, reserved: str) -> dict[str, Any]:
    """A ModelDeployment whose status says what it reserves."""
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": {"modelRef": {"name": "m"}},
        "status": {"observedGeneration": 1, "cost": {"reservedPerHour": reserved}},
    }


def page(*bodies: dict[str, Any], more: str = "") -> Answer:
    """A page of a list."""
    document = {"kind": "ModelDeploymentList", "metadata": {"continue": more}, "items": bodies}
    return lambda: web.json_response(document)


def refusal(code: int) -> Answer:
    """An error as an API server answers it."""
    document = {"kind": "Status", "status": "Failure", "message": "not now", "code": code}
    return lambda: web.Response(text=json.dumps(document), status=code)


class ApiServer:
    """Answers lists of ModelDeployments, one answer after the other; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.thrice = asyncio.Event()

        self.namespace: list[Answer] = []
        """Answers to who asks for `kube-system`, each once."""

        self.groups: list[Answer] = []
        """Answers to who asks for all API groups; the last one for ever."""

        self.listed: list[str] = []
        """What was listed in namespaces."""

    async def tell_groups(self, request: web.Request) -> web.StreamResponse:
        """All API groups."""
        del request
        return (self.groups.pop(0) if len(self.groups) > 1 else self.groups[0])()

    async def tell_kinds(self, request: web.Request) -> web.StreamResponse:
        """The kinds of our group."""
        del request
        kinds = [{"name": "custommodels"}, {"name": "modeldeployments"}]
        return web.json_response({"resources": kinds})

    async def tell_namespaced(self, request: web.Request) -> web.StreamResponse:
        """An empty list of one kind in one namespace."""
        self.listed.append("{namespace}/{plural}".format_map(request.match_info))
        return page()()

    async def tell_identity(self, request: web.Request) -> web.StreamResponse:
        """One answer about the namespace."""
        del request
        return self.namespace.pop(0)()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        self.asked.append(request.query.get("continue", ""))
        if len(self.asked) == 3:
            self.thrice.set()
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


class Gate(LeaseGate):
    """Acquired at once, and lost when a test says so."""

    def __init__(self, api: client.ApiClient) -> None:
        super().__init__(KubeRest(api), "default", "lease", "me", 15.0)
        self.held = True
        self.ended = asyncio.Event()

    def is_held(self) -> bool:
        """As it was told."""
        return self.held

    async def run(self, on_acquired: Callable[[], None]) -> None:
        """Until its end."""
        on_acquired()
        await self.ended.wait()

    async def release(self) -> None:
        """There is nobody to tell."""


@asynccontextmanager
async def starting(server: ApiServer) -> AsyncIterator[tuple[app.Operator, app.Connections, Gate]]:
    """An operator that has its Lease, and is about to build everything."""
    routes = web.Application()
    routes.router.add_get("/apis/together.ai/v1alpha1/modeldeployments", server.serve)
    routes.router.add_get("/apis", server.tell_groups)
    routes.router.add_get("/apis/together.ai/v1alpha1", server.tell_kinds)
    namespaced = "/apis/together.ai/v1alpha1/namespaces/{namespace}/{plural}"
    routes.router.add_get(namespaced, server.tell_namespaced)
    routes.router.add_get("/api/v1/namespaces/kube-system", server.tell_identity)
    runner = web.AppRunner(routes)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        with ThreadPoolExecutor(1) as threads:
            async with client.ApiClient(host) as api, httpx.AsyncClient() as http:
                config = Config(cluster_id="cluster", max_hourly_cost="10")
                gate = Gate(api)
                yield app.Operator(config), app.Connections(api, http, threads), gate
    finally:
        await runner.cleanup()


def used_by_others(controllers: Controllers) -> float:
    """Cents of the operator's ceiling that a new object finds used."""
    new = ModelDeployment.model_validate(body("new", "0"))
    (ceiling,) = controllers.spending.ceilings(new)
    return ceiling.used


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "PREPARE_SECONDS", 0.01)


@pytest.mark.parametrize("trouble", [refusal(429), refusal(503), refusal(500), refusal(403)])
async def test_the_first_list_is_tried_until_it_succeeds(trouble: Answer) -> None:
    server = ApiServer(trouble, trouble, trouble, page(body("a", "1.49"), body("b", "2.00")))

    async with starting(server) as (operator, outside, gate):
        controllers = await operator._build(outside, gate)

    assert len(server.asked) == 4
    assert used_by_others(controllers) == pytest.approx(349)


async def test_a_list_is_read_page_by_page_and_begun_anew_when_one_fails() -> None:
    server = ApiServer(
        page(body("a", "1.00"), more="next"),
        refusal(410),  # the token is too old
        page(body("a", "1.00"), more="next"),
        page(body("b", "2.00")),
    )

    async with starting(server) as (operator, outside, gate):
        controllers = await operator._build(outside, gate)

    assert server.asked == ["", "next", "", "next"]
    assert used_by_others(controllers) == pytest.approx(300)


async def test_without_the_crd_there_are_no_objects() -> None:
    server = ApiServer(refusal(404))

    async with starting(server) as (operator, outside, gate):
        controllers = await operator._build(outside, gate)

    assert len(server.asked) == 1
    assert used_by_others(controllers) == 0


@pytest.mark.parametrize("end", ["lease", "stop"])
async def test_it_is_tried_no_more_once_the_lease_is_lost_or_the_operator_stopped(end: str) -> None:
    server = ApiServer(refusal(503))
    async with starting(server) as (operator, outside, gate):
        running = asyncio.create_task(operator._run(outside, gate))
        await server.thrice.wait()
        assert not running.done()
        if end == "stop":
            operator.stop.set()
            await asyncio.wait_for(running, 10)
        else:
            gate.ended.set()
            with pytest.raises(app.LeaseLostError):
                await asyncio.wait_for(running, 10)
    assert operator.runners == ()


async def test_a_lease_that_is_renewed_late_does_not_end_the_start() -> None:
    server = ApiServer(refusal(503), refusal(503), refusal(503), page(body("a", "1.00")))
    async with starting(server) as (operator, outside, gate):
        gate.held = False  # it was starved, and its next renewal will succeed
        controllers = await asyncio.wait_for(operator._build(outside, gate), 10)
    assert used_by_others(controllers) == pytest.approx(100)


async def test_without_a_ceiling_nothing_is_listed() -> None:
    server = ApiServer(page(body("a", "1.00")))

    async with starting(server) as (_, outside, gate):
        operator = app.Operator(Config(cluster_id="cluster"))
        await operator._build(outside, gate)

    assert server.asked == []


async def test_the_identity_of_the_cluster_is_waited_for() -> None:
    server = ApiServer(page())
    uid = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"uid": "uid-of-kube-system"}}
    server.namespace = [refusal(503), refusal(403), lambda: web.json_response(uid)]

    async with starting(server) as (_, outside, gate):
        operator = app.Operator(Config())
        await operator._build(outside, gate)

    assert server.namespace == []


def groups(*names: str) -> Answer:
    """All API groups."""
    return lambda: web.json_response({"groups": [{"name": name} for name in names]})


async def test_an_operator_of_some_namespaces_waits_for_the_crds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = ApiServer(page())
    server.groups = [groups("apps")]

    async with starting(server) as (_, outside, gate):
        config = Config(cluster_id="cluster", namespaces=["team-a", "team-b"])
        operator = app.Operator(config)
        building = asyncio.create_task(operator._build(outside, gate))
        await asyncio.sleep(0.2)
        assert not building.done()
        assert operator._ready(gate) is not None
        assert operator._alive() is None
        server.groups = [refusal(503), groups("apps", "together.ai")]
        await asyncio.wait_for(building, 10)

    kinds = ("custommodels", "modeldeployments")
    assert server.listed == [f"{n}/{kind}" for kind in kinds for n in ("team-a", "team-b")]
    said = capsys.readouterr().out
    words = "the CRDs are not installed: custommodels.together.ai, modeldeployments.together.ai"
    assert said.count(words) == 1


async def test_an_operator_of_all_namespaces_hears_of_crds_later() -> None:
    server = ApiServer(page())

    async with starting(server) as (_, outside, gate):
        await app.Operator(Config(cluster_id="cluster"))._build(outside, gate)

    assert server.listed == []
