"""HTTP: the order in which a request passes log, faults, authentication and its handler."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from tests.support.simulators.together.audit import AuditEntry, key_hash
from tests.support.simulators.together.errors import ApiError, invalid
from tests.support.simulators.together.faults import Fault
from tests.support.simulators.together.filters import Predicate, decode_cursor, encode_cursor
from tests.support.simulators.together.platform import Platform
from tests.support.simulators.together.records import Record
from tests.support.simulators.together.store import Collection, Project

R = TypeVar("R", bound=Record)
PLATFORM = web.AppKey("platform", Platform)
_HTML = "<html><head><title>502 Bad Gateway</title></head><body>upstream error</body></html>"
_DEFAULT_LIMIT = 50
_MANAGEMENT = ("/v2/", "/v1/models", "/v1/endpoints")


@dataclass(slots=True)
class Call:
    """One request to the API, with what its handler found out for the log."""

    platform: Platform
    project: Project
    request: web.Request
    body: dict[str, Any]
    resource: str = ""
    id: str = ""
    name: str = ""
    committed: bool = False
    hide_for: float = 0.0
    """Seconds for which reads must not show what this call creates."""

    headers: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """A segment of the path."""
        return self.request.match_info[name]

    def query(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.request.query.get(name, default)

    def changed(self, resource: str, record_id: str, name: str) -> None:
        """Tell the log what this call has changed."""
        self.resource, self.id, self.name, self.committed = resource, record_id, name, True

    def created(self, resource: str, record: Record, name: str) -> None:
        """Tell the log what this call has created, and hide it where a fault says so."""
        self.changed(resource, record.id, name)
        if self.hide_for:
            record.visible_at = self.platform.clock.now() + self.hide_for

    def limit(self, maximum: int | None = None) -> int:
        """The page size asked for; ApiError 400."""
        maximum = maximum or self.platform.behaviour.max_page
        text = self.query("limit") or str(_DEFAULT_LIMIT)
        if not text.isdigit() or not 1 <= int(text) <= maximum:
            raise invalid(f"limit: must be a number from 1 to {maximum}")
        return int(text)

    def visible(self, record: Record) -> bool:
        """Whether reads show a record yet."""
        return record.visible_at <= self.platform.clock.now()

    def page(
        self,
        collection: Collection[R],
        view: Callable[[R], Any],
        *,
        where: Callable[[R], bool] = lambda _: True,
    ) -> dict[str, Any]:
        """A page of a collection of this project, newest first."""
        now = self.platform.clock.now()
        lag = self.platform.behaviour.list_lag_seconds
        after = decode_cursor(self.query("after")) if self.query("after") else None

        def listed(record: R) -> bool:
            return (
                record.project_id == self.project.id
                and max(record.visible_at, record.created_at + lag) <= now
                and where(record)
            )

        gone = [
            record
            for record in (collection.recently_deleted(now - lag) if lag else [])
            if listed(record) and (after is None or record.seq < after)
        ]
        records: Iterable[R] = (r for r in collection.newest_first(before=after) if listed(r))
        if gone:
            records = sorted([*records, *gone], key=lambda record: -record.seq)
        return self.cut(records, view)

    def cut(self, records: Iterable[R], view: Callable[[R], Any]) -> dict[str, Any]:
        """The first `limit` of some records as a list answer."""
        limit = self.limit()
        found: list[R] = []
        more = False
        for record in records:
            if len(found) == limit:
                more = True
                break
            found.append(record)
        cursor = encode_cursor(found[-1].seq) if more else None
        return {"object": "list", "data": [view(r) for r in found], "next_cursor": cursor}

    def ordered(
        self, records: Iterable[R], view: Callable[[R], Any], where: Predicate, values: Any
    ) -> dict[str, Any]:
        """A page of records that are already in order, some of which a filter leaves out."""
        matching = [r for r in records if self.visible(r) and where(values(r))]
        if self.query("after"):
            last = decode_cursor(self.query("after"))
            index = next((i for i, r in enumerate(matching) if r.seq == last), len(matching))
            matching = matching[index + 1 :]
        return self.cut(matching, view)


class Background:
    """Tasks that outlive the request that started them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wait(self) -> None:
        """Wait for all of them."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Cancel what is still going on."""
        for task in self._tasks:
            task.cancel()


Handler = Callable[[Call], Awaitable[dict[str, Any]]]


def endpoint(handler: Handler, *, status: int = 200) -> Callable[[web.Request], Any]:
    """An aiohttp handler that runs an API handler behind log, faults and authentication."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _serve(request, handler, status)

    return handle


async def _serve(request: web.Request, handler: Handler, status: int) -> web.StreamResponse:
    platform = request.app[PLATFORM]
    resource = request.match_info.route.resource
    route = resource.canonical if resource else request.path
    platform.audit.calls[f"{request.method} {route}"] += 1
    raw = await request.read()
    fault = platform.faults.match(request.method, request.path, raw.decode(errors="replace"))
    if fault is None:
        return (await _run(request, handler, status, raw, None))[0]
    return await _serve_with(fault, request, handler, status, raw)


async def _serve_with(
    fault: Fault, request: web.Request, handler: Handler, status: int, raw: bytes
) -> web.StreamResponse:
    clock = request.app[PLATFORM].clock
    if fault.effect == "status":
        _log_refused(request, raw, fault, fault.status)
        return _injected(fault)
    if fault.effect == "drop_before_commit":
        _log_refused(request, raw, fault, 0)
        await clock.sleep(fault.seconds)
        return _cut(request)
    if fault.effect == "late_commit":
        request.app[BACKGROUND].run(_later(request, handler, status, raw, fault))
        return _cut(request)
    if fault.effect == "delay":
        await clock.sleep(fault.seconds)
    response, _ = await _run(request, handler, status, raw, fault)
    if fault.effect == "drop_after_commit":
        await clock.sleep(fault.seconds)
        return _cut(request)
    if fault.effect == "invalid_json":
        return web.Response(text='{"object": "lis', content_type="application/json", status=status)
    if fault.effect == "html":
        return web.Response(text=_HTML, content_type="text/html", status=status)
    return response


BACKGROUND = web.AppKey("background", Background)


async def _later(
    request: web.Request, handler: Handler, status: int, raw: bytes, fault: Fault
) -> None:
    await request.app[PLATFORM].clock.sleep(fault.seconds)
    await _run(request, handler, status, raw, fault)


async def _run(
    request: web.Request, handler: Handler, status: int, raw: bytes, fault: Fault | None
) -> tuple[web.Response, Call | None]:
    """Authenticate, run the handler, and log the call."""
    platform = request.app[PLATFORM]
    call: Call | None = None
    try:
        key = platform.authenticate(request.headers.get("Authorization", ""))
        project_id = request.match_info.get("project")
        project = platform.authorize(key, request.method, _own(project_id, key.project_id))
        call = Call(platform, project, request, _parse(raw))
        call.hide_for = fault.seconds if fault and fault.effect == "hidden" else 0.0
        body = await handler(call)
        response = web.json_response(body, status=status, headers=call.headers)
    except ApiError as error:
        response = web.json_response(error.body(), status=error.status, headers=error.headers)
    _log(request, raw, call, response.status, fault)
    return response, call


def _own(wanted: str | None, of_key: str | None) -> str | None:
    """Public resources of the platform's project may be read with every key."""
    return of_key if wanted == "proj_platform" else wanted


def _parse(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise invalid("the request body is not valid JSON") from error
    if not isinstance(body, dict):
        raise invalid("the request body is not a JSON object")
    return body


def _injected(fault: Fault) -> web.Response:
    headers = {}
    if fault.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(fault.retry_after)))
        headers["retry-after-ms"] = str(round(fault.retry_after * 1000))
    error = ApiError(fault.status, fault.message)
    return web.json_response(error.body(), status=fault.status, headers=headers)


def _cut(request: web.Request) -> web.Response:
    """Drop the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _log_refused(request: web.Request, raw: bytes, fault: Fault, status: int) -> None:
    _log(request, raw, None, status, fault)


def _log(
    request: web.Request, raw: bytes, call: Call | None, status: int, fault: Fault | None
) -> None:
    if request.method == "GET" or not request.path.startswith(_MANAGEMENT):
        return
    platform = request.app[PLATFORM]
    try:
        body = _parse(raw)
    except ApiError:
        body = {}
    token = request.headers.get("Authorization", "").partition(" ")[2]
    platform.audit.record(
        AuditEntry(
            time=platform.clock.now(),
            method=request.method,
            path=request.path,
            resource=(call.resource if call else "") or resource_of(request.path),
            id=call.id if call else "",
            name=(call.name if call else "") or str(body.get("name", "")),
            fields=sorted(body),
            status=status,
            committed=call.committed if call else False,
            fault=fault.effect if fault else None,
            validate_only=request.query.get("validateOnly") == "true",
            user_agent=request.headers.get("User-Agent", ""),
            key_hash=key_hash(token) if token else "",
        )
    )


def resource_of(path: str) -> str:
    """What a path is about: the last collection named in it."""
    for segment in reversed(path.split("/")):
        kind = {
            "uploads": "import",
            "rollouts": "rollout",
            "deployments": "deployment",
            "endpoints": "endpoint",
            "models": "model",
        }.get(segment)
        if kind:
            return kind
    return ""


def prepare(app: web.Application, platform: Platform) -> None:
    """Give an application what the functions here need."""
    app[PLATFORM] = platform
    app[BACKGROUND] = Background()

    async def stop(_: web.Application) -> None:
        app[BACKGROUND].cancel()

    app.on_cleanup.append(stop)
