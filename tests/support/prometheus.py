"""Prometheus and promtool: those on the PATH, else Debian's, unpacked in the user's cache."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "together-operator"
START_SECONDS = 30.0


class PrometheusMissingError(Exception):
    """There is no Prometheus, and no way to get one."""


def program(name: str) -> Path:
    """`prometheus` or `promtool`.

    Raises:
        PrometheusMissingError: it is not on the PATH, and there is no apt to get it with.
    """
    found = shutil.which(name)
    return Path(found) if found is not None else _unpacked() / "usr" / "bin" / name


def _unpacked() -> Path:
    folder = _CACHE / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "usr" / "bin" / "promtool").exists():
            _unpack(folder)
    return folder


def _unpack(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PrometheusMissingError("put prometheus and promtool on the PATH")
    command = ["apt-get", "download", "prometheus"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        raise PrometheusMissingError(
            f"put prometheus and promtool on the PATH: apt-get can't get them: {result.stderr}"
        )
    [package] = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    package.unlink()


class Prometheus:
    """A running Prometheus that scrapes one address every second."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        return self._result("query", {"query": expression})

    def range(self, expression: str, seconds: float, step: float) -> list[dict[str, Any]]:
        """The series of the last `seconds`."""
        now = time.time()
        times = {"start": str(now - seconds), "end": str(now), "step": str(step)}
        return self._result("query_range", {"query": expression, **times})

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return httpx.get(f"{self._url}/-/ready").is_success
        except httpx.HTTPError:
            return False

    def _result(self, what: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self._url}/api/v1/{what}", params=parameters).raise_for_status()
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found


@contextmanager
def scraping(target: str, folder: Path, port: int) -> Iterator[Prometheus]:
    """A Prometheus on a port of this machine, with its data in a folder.

    Args:
        target: host and port whose `/metrics` is scraped.
    """
    jobs = [{"job_name": "operator", "static_configs": [{"targets": [target]}]}]
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [
        str(program("prometheus")),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not prometheus.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Prometheus does not start")
            time.sleep(0.1)
        yield prometheus
    finally:
        process.terminate()
        process.wait()
