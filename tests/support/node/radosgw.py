"""A real S3 server: Ceph's object gateway from Debian, on a monitor and an OSD in memory.

It checks signatures, expiry and multipart uploads as a store in production does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.support.cluster.errors import ClusterError

PACKAGES = {
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
    "ceph": "ceph-common",
    "monmaptool": "ceph-common",
}
START_SECONDS = 60.0
MEMORY_BYTES = 4 * 2**30


def lacking() -> list[str]:
    """Debian's packages that this machine lacks."""
    return sorted({p for program, p in PACKAGES.items() if shutil.which(program) is None})


class Radosgw:
    """The three processes, in a folder of their own.

    Args:
        folder: a folder that is empty or not there.
        address: of the gateway.
    """

    def __init__(self, folder: Path, address: str, port: int = 7480) -> None:
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._configuration = folder / "ceph.conf"
        self._address, self._port = address, port
        self.url = f"http://{address}:{port}"
        self.access_key_id = secrets.token_hex(10).upper()
        self.secret_access_key = secrets.token_urlsafe(30)

    def start(self) -> None:
        """Start it and wait until the gateway answers.

        Raises:
            ClusterError: a part of it failed.
        """
        self._folder.mkdir(exist_ok=True)
        identity = uuid.uuid4()
        self._configuration.write_text(self._ini(identity))
        for name in ("mon", "osd", "run"):
            (self._folder / name).mkdir()
        monitors = self._folder / "monmap"
        address = ("[v2:127.0.0.1:3300,v1:127.0.0.1:6789]",)
        self._run(
            "monmaptool", "--create", "--fsid", str(identity), "--addv", "a", *address, monitors
        )
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors)
        self._start("ceph-mon", "-i", "a")
        disk = str(uuid.uuid4())
        self._run("ceph", "osd", "new", disk)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._start("ceph-osd", "-i", "0")
        self._run(
            *("radosgw-admin", "user", "create", "--uid=e2e", "--display-name=e2e"),
            *("--access-key", self.access_key_id, "--secret-key", self.secret_access_key),
        )
        self._start("radosgw", "-n", "client.admin")
        self._wait()

    def stop(self) -> None:
        """End all of it; nothing in it is worth saving."""
        for process in reversed(self._processes.values()):
            process.kill()
            process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(self.url, timeout=2.0)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise ClusterError(f"radosgw does not answer; see {self._folder}/log") from None
                time.sleep(0.2)
            else:
                return

    def _run(self, *command: str | Path) -> None:
        words = [str(word) for word in command]
        options = [] if words[0] == "monmaptool" else ["-c", str(self._configuration)]
        what = " ".join(words[:3])
        try:
            run = subprocess.run(
                [*words, *options],
                env=self._environment(),
                capture_output=True,
                text=True,
                timeout=START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"{what} had no answer for {START_SECONDS:.0f} s. {self._ended()}"
            ) from None
        if run.returncode:
            raise ClusterError(f"{what} failed: {run.stderr[-1000:]}")

    def _ended(self) -> str:
        """Which processes are no more, with their last words."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        if not ended:
            return f"Its processes run; their logs are in {self._folder}"
        return "\n".join(
            f"{name} has ended: {(self._folder / f'{name}.log').read_text()[-1000:]}"
            for name in ended
        )

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.log").open("wb") as log:
            self._processes[command[0]] = subprocess.Popen(
                [*command, "-f", "-c", str(self._configuration)],
                env=self._environment(),
                stdout=log,
                stderr=log,
            )

    def _environment(self) -> Mapping[str, str]:
        return os.environ | {"CEPH_CONF": str(self._configuration)}

    def _ini(self, identity: uuid.UUID) -> str:
        folder = self._folder
        return f"""
[global]
fsid = {identity}
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
mon data = {folder}/mon
osd data = {folder}/osd
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
pid file = {folder}/run/$name.pid
log file = {folder}/run/$name.out
keyring = {folder}/keyring
# A monitor ends, without a word to its clients, when its file system is 95 % full.
mon data avail crit = 0
mon data avail warn = 0
osd objectstore = memstore
memstore device bytes = {MEMORY_BYTES}
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
rgw frontends = beast endpoint={self._address}:{self._port}
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw max chunk size = 4194304
"""
