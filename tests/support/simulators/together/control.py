"""The simulator's own routes under /_sim: state, audit, faults, behaviour."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.faults import Fault
from tests.support.simulators.together.web import PLATFORM

Route = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def state(request: web.Request) -> web.Response:
    """GET /_sim/state: what is left, and what it cost."""
    return web.json_response(request.app[PLATFORM].state())


async def audit(request: web.Request) -> web.Response:
    """GET /_sim/audit: every mutating call, oldest first; `?after=` so many."""
    entries = request.app[PLATFORM].audit.entries[int(request.query.get("after", "0")) :]
    return web.json_response([entry.model_dump(by_alias=True) for entry in entries])


async def add_fault(request: web.Request) -> web.Response:
    """POST /_sim/faults: add one rule or a list of rules."""
    document = await request.json()
    rules = document if isinstance(document, list) else [document]
    try:
        faults = [Fault.model_validate(rule) for rule in rules]
    except ValidationError as error:
        return _wrong(error)
    request.app[PLATFORM].faults.rules.extend(faults)
    return await list_faults(request)


async def list_faults(request: web.Request) -> web.Response:
    """GET /_sim/faults: the rules with what is left of their counts."""
    rules = request.app[PLATFORM].faults.rules
    return web.json_response([rule.model_dump(by_alias=True) for rule in rules])


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE /_sim/faults."""
    request.app[PLATFORM].faults.rules.clear()
    return web.json_response([])


async def change_behaviour(request: web.Request) -> web.Response:
    """POST /_sim/behaviour: set some switches, leave the others."""
    platform = request.app[PLATFORM]
    try:
        platform.behave(platform.behaviour.merge(await request.json()))
    except ValidationError as error:
        return _wrong(error)
    return await show_behaviour(request)


async def show_behaviour(request: web.Request) -> web.Response:
    """GET /_sim/behaviour."""
    return web.json_response(request.app[PLATFORM].behaviour.model_dump(by_alias=True))


async def reset_behaviour(request: web.Request) -> web.Response:
    """DELETE /_sim/behaviour: a good day again."""
    request.app[PLATFORM].behave(Behaviour())
    return await show_behaviour(request)


def _wrong(error: ValidationError) -> web.Response:
    problems: list[Any] = [
        {"at": ".".join(map(str, item["loc"])), "problem": item["msg"]} for item in error.errors()
    ]
    return web.json_response({"problems": problems}, status=400)


_ROUTES: list[tuple[str, str, Route]] = [
    ("GET", "/_sim/state", state),
    ("GET", "/_sim/audit", audit),
    ("GET", "/_sim/faults", list_faults),
    ("POST", "/_sim/faults", add_fault),
    ("DELETE", "/_sim/faults", clear_faults),
    ("GET", "/_sim/behaviour", show_behaviour),
    ("POST", "/_sim/behaviour", change_behaviour),
    ("DELETE", "/_sim/behaviour", reset_behaviour),
]


def add_routes(app: web.Application) -> None:
    """Register the simulator's own routes."""
    for method, path, route in _ROUTES:
        app.router.add_route(method, path, route)
