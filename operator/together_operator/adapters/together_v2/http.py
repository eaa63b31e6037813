"""Calls to Together's API: limits, timeouts, size bounds, and errors translated into ours.

Nothing is repeated here; the work queue owns retries. Answers are read, looked into and dropped:
no exception holds a request or a response, both of which may carry secrets.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import httpx
from pydantic import SecretStr
from pydantic_core import from_json

from together_operator.adapters.rate_limit import RateLimiter
from together_operator.adapters.together_v2 import messages
from together_operator.adapters.together_v2.fence import DeposedError
from together_operator.domain import errors
from together_operator.ports import Priority
from together_operator.tracing import span

Method = Literal["GET", "POST", "PATCH", "DELETE"]
Json = dict[str, Any]
OnCall = Callable[[str, str, str], None]
"""Told of each call: method, resource (`models`), and status code or name of the failure."""

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
DEADLINE = 60.0
"""Seconds for a whole call, its answer's body included."""

_RESOURCES = frozenset(
    (
        "configs",
        "deployments",
        "endpoints",
        "events",
        "hardware",
        "inference-instance-types",
        "jobs",
        "models",
        "projects",
        "revisions",
        "rollouts",
        "supported-models",
        "uploads",
        "whoami",
    )
)
_MAX_BYTES = 32 * 1024 * 1024
_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
)
_BY_STATUS: dict[int, type[errors.RemoteError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    407: errors.Unavailable,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.Conflict,
    425: errors.Unavailable,
}
_CLOSED = {
    "endpoints_v1_create_access_disabled": "Together creates and starts no v1 endpoints for this "
    "account any more"
}
"""Codes that say that a version of the API is closed to the account, and what that means."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call. `secrets` are strings in it that must never show in a message."""

    method: Method
    path: str
    priority: Priority = Priority.INTERACTIVE
    params: Mapping[str, str] = field(default_factory=dict)
    body: Json | None = None
    secrets: tuple[SecretStr, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def resource(self) -> str:
        """The kind of thing it is about, for metrics."""
        return next((w for w in reversed(self.path.split("/")) if w in _RESOURCES), "other")


@dataclass(frozen=True)
class _Answer:
    status: int
    raw: bytes
    retry_after: float | None
    """Seconds."""

    @cached_property
    def body(self) -> object:
        """The parsed JSON; None if it is empty, and text stays out of sight as an empty string."""
        if not self.raw:
            return None
        try:
            return from_json(self.raw)
        except ValueError:
            return ""


class ApiClient:
    """Sends requests with one key.

    Args:
        base_url: without a slash at the end.
        http: shared connections; they are the caller's to close.
    """

    def __init__(
        self,
        key: SecretStr,
        base_url: str,
        *,
        http: httpx.AsyncClient,
        limiter: RateLimiter,
        on_call: OnCall,
    ) -> None:
        self._key = key
        self._base_url = base_url
        self._http = http
        self._limiter = limiter
        self._on_call = on_call

    async def send(self, request: Request) -> Json:
        """The JSON object that a call answers with.

        Raises:
            errors.RemoteError: translated as `ModelProvider` documents.
        """
        return _object(await self._answer(request), request)

    async def send_unless(self, known: bytes, request: Request) -> tuple[bytes, Json | None]:
        """The digest of a call's answer, and the JSON object unless that is the `known` one.

        Raises:
            errors.RemoteError: translated as `ModelProvider` documents.
        """
        answer = await self._answer(request)
        digest = sha256(answer.raw).digest()
        return digest, None if digest == known else _object(answer, request)

    async def read_list(self, request: Request) -> list[Json]:
        """The JSON objects of a bare list, which is how v1 lists models.

        Raises:
            errors.RemoteError: translated as `ModelProvider` documents.
        """
        body = (await self._answer(request)).body
        if isinstance(body, list) and all(isinstance(item, dict) for item in body):
            return body
        raise errors.Unavailable("Together's answer is not a list of JSON objects")

    async def _answer(self, request: Request) -> _Answer:
        """A successful answer."""
        async with self._limiter.slot(request.priority):
            with span(f"Together {request.method} {request.resource}"):
                answer = await self._exchange(request)
        code = answer.status if isinstance(answer, _Answer) else type(answer).__name__
        self._on_call(request.method, request.resource, str(code))
        if not isinstance(answer, _Answer):
            self._limiter.failed()
            raise answer
        if answer.status == 429:
            raise self._refused(request, answer)
        if answer.status >= 500:
            self._limiter.failed()
        else:
            self._limiter.succeeded()
        if 200 <= answer.status < 300:
            return answer
        raise _translate(answer, request, self._secrets(request))

    async def _exchange(self, request: Request) -> _Answer | errors.RemoteError:
        """The answer, or why there is none. Errors are given back and raised by the caller, so
        that they do not drag the library's exception, and with it the request, along."""
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._read(request)
        except DeposedError:
            return errors.Unavailable("Another process may act by now: nothing was sent")
        except (httpx.InvalidURL, *_BEFORE_SENDING) as error:
            return errors.Unavailable(f"Together can't be reached: {type(error).__name__}")
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, OSError) as error:
            return _lost(request, type(error).__name__)

    async def _read(self, request: Request) -> _Answer:
        headers = {"Authorization": f"Bearer {self._key.get_secret_value()}"}
        async with self._http.stream(
            request.method,
            self._base_url + request.path,
            params=dict(request.params),
            json=request.body,
            headers=headers,
            timeout=TIMEOUT,
            follow_redirects=False,
        ) as response:
            raw = bytearray()
            async for chunk in response.aiter_bytes():
                raw += chunk
                if len(raw) > _MAX_BYTES:
                    raise httpx.DecodingError("the answer is too long")
            return _Answer(response.status_code, bytes(raw), _retry_after(response.headers))

    def _refused(self, request: Request, answer: _Answer) -> errors.RateLimited:
        pause = self._limiter.refused(answer.retry_after)
        words = messages.of_error(answer.body, self._secrets(request))
        message = f"Together limits the rate of calls: {words}" if words else "Too many calls"
        return errors.RateLimited(message, retry_after=pause)

    def _secrets(self, request: Request) -> list[str]:
        return [s.get_secret_value() for s in (self._key, *request.secrets)]


def _object(answer: _Answer, request: Request) -> Json:
    if isinstance(answer.body, dict):
        return answer.body
    if request.method == "DELETE" and answer.body is None:
        return {}
    kind = errors.Ambiguous if request.writes else errors.Unavailable
    raise kind("Together's answer is not a JSON object", status=answer.status)


def _translate(answer: _Answer, request: Request, secrets: Iterable[str]) -> errors.RemoteError:
    status = answer.status
    if messages.code_of(answer.body) in _CLOSED:
        return errors.Unsupported(_CLOSED[messages.code_of(answer.body)], status=status)
    words = messages.of_error(answer.body, secrets)
    message = f"Together answered {status}: {words}" if words else f"Together answered {status}"
    if status == 404 and not messages.is_error(answer.body):
        # A wrong base URL or a proxy; taken for "it is gone" it would be bought a second time.
        return errors.Unavailable(f"{message} with something else than JSON", status=status)
    if status in _BY_STATUS:
        return _BY_STATUS[status](message, status=status)
    if status == 408 or status >= 500:
        kind = errors.Ambiguous if request.writes else errors.Unavailable
        return kind(message, status=status)
    if 300 <= status < 400:
        return errors.Unavailable(f"{message}, a redirect; check the base URL", status=status)
    return errors.Rejected(message, status=status)


def _lost(request: Request, why: str) -> errors.RemoteError:
    kind = errors.Ambiguous if request.writes else errors.Unavailable
    return kind(f"Together's answer was lost: {why}")


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds to wait by `retry-after-ms`, else by `Retry-After` in seconds or as a date."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None
