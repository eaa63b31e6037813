"""The hub's own routes under /_sim, for those who run it as a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from tests.support.simulators.hub import HubSimulator


def add_routes(app: web.Application, hub: HubSimulator) -> None:
    """Register them."""

    async def add_repository(request: web.Request) -> web.Response:
        """POST /_sim/repositories: serve a directory of this machine as `name`."""
        wanted = await request.json()
        hub.add_repository(
            wanted["name"],
            Path(wanted["directory"]),
            private=wanted.get("private", False),
            gated=wanted.get("gated", False),
        )
        return web.json_response(wanted, status=201)

    async def commit(request: web.Request) -> web.Response:
        """POST /_sim/commits: let a branch of a repository point to a directory's content."""
        wanted = await request.json()
        hub.commit(wanted["name"], wanted["revision"], Path(wanted["directory"]))
        return web.json_response(wanted, status=201)

    app.router.add_post("/_sim/repositories", add_repository)
    app.router.add_post("/_sim/commits", commit)
