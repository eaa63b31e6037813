"""`TogetherSimulator`: the platform behind an HTTP server on a free port of the loopback."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import SecretStr

from tests.support.simulators.hosting import AsyncServer
from tests.support.simulators.together import control, inference_routes, routes, v1_routes
from tests.support.simulators.together.audit import AuditEntry
from tests.support.simulators.together.behaviour import Behaviour
from tests.support.simulators.together.catalog import Catalog, default_catalog
from tests.support.simulators.together.clock import Clock, SystemClock, Timing
from tests.support.simulators.together.errors import not_found
from tests.support.simulators.together.faults import Fault
from tests.support.simulators.together.platform import ApiKey, Platform
from tests.support.simulators.together.sources import Fetcher
from tests.support.simulators.together.store import Project
from tests.support.simulators.together.web import BACKGROUND, prepare

KEY = "tgp_v1_simulator_key"
READ_ONLY_KEY = "tgp_v1_simulator_read"
FORBIDDEN_KEY = "tgp_v1_simulator_none"
ORGANIZATION_KEY = "tgp_v1_simulator_org"
PROJECT = Project(id="proj_sim", slug="acme", name="Acme")
OTHER_PROJECT = Project(id="proj_other", slug="other", name="Other")
OTHER_KEY = "tgp_v1_simulator_other"
_FETCH_TIMEOUT = 600.0
_SAVE_DELAY = 0.2


class TogetherSimulator(AsyncServer):
    """A simulated Together: `async with TogetherSimulator() as sim`, or hosted in a thread.

    Args:
        time_scale: simulated seconds that pass in one real one (provisioning, bills).
        hub_url: base URL that imports use in place of https://huggingface.co.
        state_file: keeps the state over a restart; the imported weights lie beside it.
        timing: durations; `time_scale` wins over its scale.

    Raises nothing by itself; OSError on entering when the port is taken.
    """

    key = KEY
    project = PROJECT

    def __init__(
        self,
        *,
        port: int = 0,
        time_scale: float = 1000.0,
        hub_url: str | None = None,
        state_file: Path | None = None,
        timing: Timing | None = None,
        clock: Clock | None = None,
        catalog: Catalog | None = None,
        keys: Sequence[ApiKey] = (),
        seed: int = 0,
    ) -> None:
        base = timing or Timing()
        self.hub_url = hub_url
        self._port = port
        self._state_file = state_file
        self._scratch: Path | None = None
        self._timing = Timing(
            **{n: getattr(base, n) for n in Timing.__slots__ if n != "scale"}, scale=time_scale
        )
        self._clock = clock or SystemClock()
        self._catalog = catalog or default_catalog()
        self._keys = [
            ApiKey(KEY, PROJECT.id),
            ApiKey(READ_ONLY_KEY, PROJECT.id, "read"),
            ApiKey(FORBIDDEN_KEY, PROJECT.id, "none"),
            ApiKey(ORGANIZATION_KEY, None),
            ApiKey(OTHER_KEY, OTHER_PROJECT.id),
            *keys,
        ]
        self._seed = seed
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._saver: asyncio.TimerHandle | None = None
        self._platform: Platform | None = None

    @property
    def url(self) -> str:
        """Base URL, for TOGETHER_BASE_URL."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def secret(self) -> SecretStr:
        """The key, as adapters take it."""
        return SecretStr(self.key)

    @property
    def platform(self) -> Platform:
        """The platform behind the server, for white-box checks."""
        assert self._platform is not None, "the simulator is not running"
        return self._platform

    def state(self) -> dict[str, Any]:
        """What is there and what it cost, as `GET /_sim/state` has it."""
        return self.on_loop(self.platform.state)

    def audit(self) -> list[AuditEntry]:
        """Every mutating call so far."""
        return self.on_loop(lambda: list(self.platform.audit.entries))

    def calls(self, route: str) -> int:
        """Number of calls so far to `METHOD route`, reads included."""
        return self.platform.audit.calls[route]

    def add_fault(self, fault: Fault) -> None:
        """Let something go wrong."""
        self.on_loop(lambda: self.platform.faults.rules.append(fault))

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self.on_loop(self.platform.faults.rules.clear)

    def wait_for_commits(self) -> None:
        """Block until all writes that a fault made late have happened (not on its own loop)."""
        assert self._runner is not None
        background = self._runner.app[BACKGROUND]
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(background.wait(), self._loop).result()

    def seed_models(self, names: Iterable[str]) -> None:
        """Create models without files, past the API, for tests of scale."""
        base = self._catalog.models[0].variants[0].model_id

        def create() -> None:
            for name in names:
                body = {"name": name, "type": "model", "baseModelId": base}
                self.platform.models.create(PROJECT, body)

        self.on_loop(create)

    def behave(self, **changes: object) -> None:
        """Set switches of the behaviour, such as `capacity={"1xnvidia-h100-80gb": 0}`."""
        self.on_loop(lambda: self.platform.behave(self.platform.behaviour.merge(changes)))

    def behave_well(self) -> None:
        """Reset the behaviour."""
        self.on_loop(lambda: self.platform.behave(Behaviour()))

    async def start(self) -> None:
        """Serve, and take up what the state file holds."""
        self.bind()
        self._platform = platform = Platform(
            projects=[PROJECT, OTHER_PROJECT],
            keys=self._keys,
            catalog=self._catalog,
            clock=self._clock,
            timing=self._timing,
            directory=self._directory(),
            state_file=self._state_file,
            seed=self._seed,
        )
        platform.store.on_change = self._save_soon
        timeout = aiohttp.ClientTimeout(total=_FETCH_TIMEOUT)
        self._session = aiohttp.ClientSession(timeout=timeout)
        self._runner = web.AppRunner(application(platform), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        platform.imports.start(Fetcher(self._session, self.hub_url))
        platform.rollouts.resume_all()

    async def stop(self) -> None:
        """Stop serving; what was going on goes on after a start from the same state file."""
        assert self._runner is not None
        assert self._session is not None
        await self._runner.cleanup()
        await self.platform.imports.stop()
        await self.platform.rollouts.stop()
        await self._session.close()
        if self._saver is not None:
            self._saver.cancel()
            self._saver = None
        self.platform.store.save()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _directory(self) -> Path:
        if self._state_file is not None:
            return self._state_file.with_suffix(".blobs")
        self._scratch = Path(tempfile.mkdtemp(prefix="together-sim-"))
        return self._scratch

    def _save_soon(self) -> None:
        if self._state_file is not None and self._saver is None:
            self._saver = asyncio.get_running_loop().call_later(_SAVE_DELAY, self._save)

    def _save(self) -> None:
        self._saver = None
        self.platform.store.save()


def application(platform: Platform) -> web.Application:
    """The aiohttp application of a platform."""
    app = web.Application(client_max_size=8 * 1024 * 1024)
    prepare(app, platform)
    control.add_routes(app)
    inference_routes.add_routes(app)
    routes.add_routes(app)
    v1_routes.add_routes(app)

    async def unknown(request: web.Request) -> web.Response:
        return web.json_response(not_found("route", request.path).body(), status=404)

    app.router.add_route("*", "/{tail:.*}", unknown)
    return app
