"""`Calls` by means of the official SDK 2.42.0, which is the reference for v1."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from together_operator.domain import errors
from together_operator.ports import Priority

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "requirements" / "sdk-v1.txt"
FOLDER = ROOT / ".venv" / "sdk-v1"
Json = dict[str, Any]

_ERRORS: dict[int, type[errors.RemoteError]] = {
    400: errors.Rejected,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    422: errors.Rejected,
    429: errors.RateLimited,
}


def install() -> None:
    """Put the SDK into its own folder, unless it is there (pinned and hashed, a few seconds)."""
    stamp = FOLDER / ".requirements"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
    target = ["--upgrade", "--target", str(FOLDER), "-r", str(REQUIREMENTS)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *target], check=True)
    stamp.write_text(REQUIREMENTS.read_text())


class SdkCalls:
    """The calls through a process that has the SDK. `url` is the simulator's, without a path."""

    def __init__(self, url: str, key: str) -> None:
        self._arguments = (f"{url}/v1", key)
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def whoami(self) -> Json:
        """The SDK's whoami."""
        answer: Json = await self._read("whoami")
        return answer

    async def list_models(self, priority: Priority) -> list[Json]:
        """The SDK's models.list."""
        answer: list[Json] = await self._read("list_models")
        return answer

    async def upload_model(self, body: Mapping[str, Any], secrets: tuple[SecretStr, ...]) -> Json:
        """The SDK's models.upload."""
        answer: Json = await self._write("upload_model", **body)
        return answer

    async def get_job(self, job_id: str) -> Json:
        """The SDK's models.uploads.status."""
        answer: Json = await self._read("get_job", job_id)
        return answer

    async def list_hardware(self, model: str) -> list[Json]:
        """The SDK's endpoints.list_hardware."""
        answer: list[Json] = await self._read(
            "list_hardware", **({"model": model} if model else {})
        )
        return answer

    async def list_endpoints(self, priority: Priority) -> list[Json]:
        """The SDK's endpoints.list."""
        answer: list[Json] = await self._read("list_endpoints", type="dedicated", mine=True)
        return answer

    async def get_endpoint(self, endpoint_id: str, priority: Priority) -> Json:
        """The SDK's endpoints.retrieve."""
        answer: Json = await self._read("get_endpoint", endpoint_id)
        return answer

    async def create_endpoint(self, body: Mapping[str, Any]) -> Json:
        """The SDK's endpoints.create."""
        answer: Json = await self._write("create_endpoint", **body)
        return answer

    async def update_endpoint(self, endpoint_id: str, body: Mapping[str, Any]) -> Json:
        """The SDK's endpoints.update."""
        answer: Json = await self._write("update_endpoint", endpoint_id, **body)
        return answer

    async def delete_endpoint(self, endpoint_id: str) -> None:
        """The SDK's endpoints.delete."""
        await self._write("delete_endpoint", endpoint_id)

    async def _read(self, call: str, *args: Any, **kwargs: Any) -> Any:
        return self._taken(await self._ask(call, args, kwargs), errors.Unavailable)

    async def _write(self, call: str, *args: Any, **kwargs: Any) -> Any:
        return self._taken(await self._ask(call, args, kwargs), errors.Ambiguous)

    def _taken(self, reply: Json, lost: type[errors.RemoteError]) -> Any:
        if "lost" in reply:
            raise lost(f"the SDK says {reply['lost']}")
        if "status" in reply:
            raise _error(reply["status"], reply["body"], lost)
        answer = reply["answer"]
        return (
            answer["data"]
            if isinstance(answer, dict) and "object" in answer and (answer["object"] == "list")
            else answer
        )

    async def _ask(self, call: str, args: tuple[Any, ...], kwargs: Json) -> Json:
        async with self._turn:
            process = await self._started()
            assert process.stdin is not None
            assert process.stdout is not None
            request = {"call": call, "args": args, "kwargs": kwargs}
            process.stdin.write(json.dumps(request).encode() + b"\n")
            line = await process.stdout.readline()
            assert line, "the SDK's process ended"
            reply: Json = json.loads(line)
            return reply

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            script = str(Path(__file__).with_name("sdk_process.py"))
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                script,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(FOLDER)},
                limit=2**24,
            )
        return self._process


def _error(status: int, body: object, lost: type[errors.RemoteError]) -> errors.RemoteError:
    inner = body.get("error", body) if isinstance(body, dict) else {}
    words, code = inner.get("message", ""), inner.get("code")
    if code == "endpoints_v1_create_access_disabled":
        return errors.Unsupported(words, status=status)
    return _ERRORS.get(status, lost)(words, status=status)
