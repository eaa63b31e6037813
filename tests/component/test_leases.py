"""An operator's Lease is found whatever it is called, as a Helm release names it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from tests.support.fakes import leases as fakes
from together_operator.commands.why import find_leases
from together_operator.shell.lease import LeaseGate

Body = dict[str, Any]


class Leases(fakes.Leases):
    """That of one operator, renewed and listed."""

    async def renewed(self, name: str) -> Body:
        """What is stored after a candidate has acquired or renewed it once."""
        gate = LeaseGate(self, "system", name, "pod-1", 15.0)
        assert await gate._try()
        assert self.stored is not None
        return dict(self.stored)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[client.ApiClient]:
        """The list of all Leases."""
        routes = web.Application()
        routes.router.add_get("/apis/coordination.k8s.io/v1/leases", self._list)
        runner = web.AppRunner(routes)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            async with client.ApiClient(host) as api:
                yield api
        finally:
            await runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        assert self.stored is not None
        metadata = self.stored["metadata"]
        label, name = request.query.get("labelSelector"), request.query.get("fieldSelector")
        labels = [f"{key}={value}" for key, value in (metadata.get("labels") or {}).items()]
        fits = label in labels or name == f"metadata.name={metadata['name']}"
        document = {"kind": "LeaseList", "metadata": {}, "items": [self.stored] if fits else []}
        return web.Response(text=json.dumps(document), content_type="application/json")


def unlabelled(name: str) -> Body:
    """A Lease from before there was a label, with somebody else's."""
    return {
        "metadata": {
            "namespace": "system",
            "name": name,
            "resourceVersion": "1",
            "labels": {"team": "a"},
        },
        "spec": {"holderIdentity": "pod-1", "renewTime": "2026-03-01T12:00:00.000000Z"},
    }


async def test_a_lease_of_any_name_is_found_by_the_label_that_the_operator_gives_it() -> None:
    leases = Leases()
    await leases.renewed("models-together-operator")

    async with leases.served() as api:
        found = await find_leases(api, None)

    assert found is not None
    assert [lease["metadata"]["name"] for lease in found] == ["models-together-operator"]


async def test_a_lease_without_the_label_gets_it_when_it_is_renewed_and_keeps_others() -> None:
    stored = await Leases(unlabelled("models")).renewed("models")

    labels = {"team": "a", "app.kubernetes.io/name": "together-operator"}
    assert stored["metadata"]["labels"] == labels


@pytest.mark.parametrize(
    ("called", "asked", "is_found"),
    [
        ("together-operator", None, True),
        ("models", None, False),
        ("models", "models", True),
        ("models", "others", False),
    ],
)
async def test_a_lease_without_the_label_is_found_by_its_name(
    called: str, asked: str | None, is_found: bool
) -> None:
    async with Leases(unlabelled(called)).served() as api:
        assert bool(await find_leases(api, asked)) is is_found
