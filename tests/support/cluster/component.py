"""One process of the control plane: started, watched until ready, killed, started again."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.cluster.errors import ComponentError
from tests.support.cluster.reaper import MARK

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

POLL_SECONDS = 0.03
READY_SECONDS = 60.0
# kube-apiserver would wait a minute for its watches to end.
STOP_SECONDS = 2.0


class Component:
    """A process with a health page on 127.0.0.1; keeps its ports and data over restarts."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        port: int,
        health: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        """Describe it, without starting it.

        :param folder: the cluster's folder; the log is ``<folder>/logs/<name>.log``.
        :param port: where ``health`` (a path) answers 200 once the component is ready.
        """
        self.name = name
        self.log = folder / "logs" / f"{name}.log"
        self._command = list(command)
        self._folder = folder
        self._port = port
        self._health = health
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def running(self) -> bool:
        return self.pid is not None

    def start(self, *, wait: bool = True) -> None:
        """Start the process if it isn't running, and by default wait until it is ready.

        :raises ComponentError: when it ends, or isn't ready in time.
        """
        if not self.running:
            self.log.parent.mkdir(exist_ok=True)
            # Not the caller's environment: etcd takes options from ETCD_*, Go from GODEBUG.
            environment = {
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._folder),
                # A cluster lives for minutes: memory is cheaper than collecting it.
                "GOGC": "400",
                MARK: str(self._folder),
            }
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=environment,
                    start_new_session=True,
                )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait up to ``timeout`` seconds for the health page to answer 200."""
        deadline = time.monotonic() + timeout
        while not self.healthy():
            if not self.running:
                raise ComponentError(f"{self.name} ended while starting:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ComponentError(
                    f"{self.name} wasn't ready after {timeout:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(POLL_SECONDS)

    def healthy(self) -> bool:
        """Whether the health page answers 200 now."""
        connection: http.client.HTTPConnection
        if self._tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        else:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self._port, timeout=5, context=self._tls
            )
        try:
            connection.request("GET", self._health)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash or a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End the process with SIGTERM, and with SIGKILL when that takes more than 2 seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def restart(self) -> None:
        """Stop, start on the same ports with the same data, and wait until ready."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 20) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody listens on, each at most once.

    They are outside the range from which the kernel takes the local ports of outgoing connections
    (from 32768 by default), so that none is taken while a component restarts.
    """
    ports: list[int] = []
    while len(ports) < count:
        # Not of the module random: tests seed that, and two sessions would choose alike.
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            ports.append(port)
    return ports
