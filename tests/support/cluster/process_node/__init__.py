"""A node without containers: it runs the pods that the scheduler gives it as local processes.

The image is ignored; the command is looked up on a PATH that starts with the folder of this Python
interpreter, so that a pod runs what the environment under test has installed. What else a pod may
ask for, and what is refused, is in :mod:`support`; how mount paths work without mounting, in
:mod:`paths`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.cluster.component import free_ports
from tests.support.cluster.errors import ClusterError, ComponentError
from tests.support.cluster.reaper import MARK, kill_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[4]
NODE_MARK = "TOGETHER_PROCESS_NODE"
NAME = "process-node"
ENTRYPOINT = ("together-operator",)
ANSWER_SECONDS = 30.0
# Nothing else of the caller's environment reaches a pod: no credentials, no proxies.
INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ProcessNode:
    """The node's process, as its owner sees it."""

    name = NAME

    def __init__(
        self,
        folder: Path,
        *,
        server: str,
        token: str,
        authority: Path,
        serving: tuple[Path, Path],
        version: str,
        grace_seconds: int,
        environment: Mapping[str, str],
        entrypoint: Sequence[str] = ENTRYPOINT,
    ) -> None:
        """Describe the node, without starting it.

        :param folder: the cluster's folder.
        :param serving: certificate and key for the log server.
        :param grace_seconds: after how long a silence the controllers take the node for lost.
        :param environment: variables that every container gets.
        :param entrypoint: what a container without ``command`` runs, before its ``args``.
        """
        self._cluster_folder = folder
        self._folder = folder / "node"
        self._folder.mkdir(mode=0o700)
        self.log = folder / "logs" / f"{NAME}.log"
        self._process: subprocess.Popen[str] | None = None
        self._ready = False
        address = server.removeprefix("https://")
        host, _, port = address.partition(":")
        settings = {
            "name": NAME,
            "version": version,
            "folder": str(self._folder / "pods"),
            "server": server,
            "token": token,
            "authority": str(authority),
            "certificate": str(serving[0]),
            "key": str(serving[1]),
            "port": free_ports(1)[0],
            "grace_seconds": grace_seconds,
            "entrypoint": list(entrypoint),
            "environment": {
                **{key: os.environ[key] for key in INHERITED if key in os.environ},
                "PATH": os.environ.get("PATH", os.defpath),
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": port,
                **environment,
                MARK: str(folder),
                NODE_MARK: str(self._folder),
            },
        }
        self._settings = self._folder / "settings.json"
        self._settings.touch(mode=0o600)
        self._settings.write_text(json.dumps(settings))

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, *, wait: bool = True) -> None:
        """Start the node if it isn't running, and by default wait until pods can be scheduled.

        :raises ComponentError: when it ends, or isn't ready in time.
        """
        if self.pid is None:
            self.log.parent.mkdir(exist_ok=True)
            self._ready = False
            path = os.environ.get("PATH", os.defpath)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(self._settings)],
                    cwd=ROOT,
                    env={"PATH": path, MARK: str(self._cluster_folder)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until pods can be scheduled on the node."""
        if not self._ready:
            self._read()
            self._ready = True

    def evict(
        self,
        namespace: str,
        pod: str,
        message: str = "The node was low on resource: ephemeral-storage.",
    ) -> None:
        """Evict a pod as the kubelet does when the node runs out of something; returns when done.

        The pod ends as Failed/Evicted with the condition DisruptionTarget and stays there. For an
        eviction through the API, ``kubectl drain process-node`` does what it does elsewhere.

        :raises ClusterError: when the pod isn't on the node, or has ended.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        order = {"namespace": namespace, "pod": pod, "message": message}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise ClusterError(answer["error"])

    def lose(self) -> None:
        """Lose the node, as by a power cut: no heartbeat any more, no process, no status."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        while kill_marked(NODE_MARK, str(self._folder)):
            time.sleep(0.01)

    def recover(self) -> None:
        """Start the lost node again: containers that ran have ended with code 255."""
        self.start()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        line = self._process.stdout.readline() if readable else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        problem = "ended" if readable else f"didn't answer in {ANSWER_SECONDS:.0f} s"
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        raise ComponentError(f"the process node {problem}:\n{tail}")
