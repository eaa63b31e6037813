"""Everything the operator lives with: a cluster, the simulators, and the operator as a process."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import httpx

from tests.support.cluster import ThrowawayCluster
from tests.support.crashes import is_crash

ROOT = Path(__file__).parents[2]
BUCKET = "example-models"


@dataclass
class Simulators:
    """The simulators' process and where they listen."""

    process: subprocess.Popen[str]
    urls: dict[str, dict[str, str]]

    @classmethod
    def start(
        cls,
        *,
        time_scale: float,
        state_file: Path | None = None,
        timing: Mapping[str, float] | None = None,
    ) -> Self:
        """Start all of them and wait until they listen.

        Args:
            time_scale: simulated seconds that pass in a real one.
            timing: simulated seconds of steps, by the names of the simulator's `Timing`.
        """
        command = [sys.executable, "-m", "tests.support.simulators", "--bucket", BUCKET]
        command += ["--time-scale", str(time_scale)]
        for name, seconds in (timing or {}).items():
            command += ["--timing", f"{name}={seconds}"]
        if state_file is not None:
            command += ["--state-file", str(state_file)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulators ended with exit code {process.wait()}")
        return cls(process, json.loads(line))

    @property
    def together(self) -> str:
        """Base URL of Together."""
        return self.urls["together"]["url"]

    @property
    def key(self) -> str:
        """The API key that is let in."""
        return self.urls["together"]["key"]

    def state(self) -> dict[str, Any]:
        """What is at Together, and what was billed."""
        answer = httpx.get(f"{self.together}/_sim/state").raise_for_status()
        state: dict[str, Any] = answer.json()
        return state

    def audit(self, after: int = 0) -> list[dict[str, Any]]:
        """Every call that changed something, oldest first, without the first `after` ones."""
        query = {"after": after}
        url = f"{self.together}/_sim/audit"
        answer = httpx.get(url, params=query, timeout=60).raise_for_status().json()
        entries: list[dict[str, Any]] = answer["data"] if isinstance(answer, dict) else answer
        return entries

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: str
    ) -> dict[str, Any]:
        """Call Together as a person with the same key would; `path` is below the project.

        Raises:
            httpx.HTTPStatusError: it was refused.
        """
        answer = httpx.request(
            method,
            f"{self.together}/v2/projects/{self.urls['together']['project']}/{path}",
            headers={"Authorization": f"Bearer {self.key}"},
            json=body,
            params=query,
        ).raise_for_status()
        document: dict[str, Any] = answer.json() if answer.content else {}
        return document

    def fault(self, effect: str, **rule: Any) -> None:
        """Let calls to Together go wrong; the rule's fields are those of `Fault`."""
        self._control("POST", "faults", {"effect": effect, **rule})

    def clear_faults(self) -> None:
        """Let nothing more go wrong."""
        self._control("DELETE", "faults")

    def behave(self, **changes: Any) -> None:
        """Set switches of Together's behaviour; the names are those of `Behaviour`."""
        self._control("POST", "behaviour", changes)

    def behave_well(self) -> None:
        """Reset the behaviour."""
        self._control("DELETE", "behaviour")

    def _control(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> None:
        url = f"{self.together}/_sim/{what}"
        answer = httpx.request(method, url, json=body)
        assert answer.is_success, answer.text

    def add_repository(self, name: str, directory: Path, *, private: bool = False) -> None:
        """Have the hub serve a directory as `org/name`."""
        body = {"name": name, "directory": str(directory), "private": private}
        hub = self.urls["hub"]["url"]
        httpx.post(f"{hub}/_sim/repositories", json=body).raise_for_status()

    def commit(self, name: str, revision: str, directory: Path) -> None:
        """Let a branch of a repository on the hub point to a directory's content."""
        body = {"name": name, "revision": revision, "directory": str(directory)}
        hub = self.urls["hub"]["url"]
        httpx.post(f"{hub}/_sim/commits", json=body).raise_for_status()

    @property
    def aws(self) -> dict[str, str]:
        """Environment that leads the AWS clients to the S3 server."""
        return {"AWS_ENDPOINT_URL": self.urls["s3"]["url"], "AWS_REGION": "us-east-1"}

    def s3_secret(self, namespace: str, name: str = "s3-credentials") -> str:
        """A Secret with credentials for the S3 server."""
        s3 = self.urls["s3"]
        values = {
            "AWS_ACCESS_KEY_ID": s3["accessKeyID"],
            "AWS_SECRET_ACCESS_KEY": s3["secretAccessKey"],
        }
        return secret(namespace, name, values)

    def stop(self) -> None:
        """End the process."""
        end(self.process)


@dataclass
class OperatorProcess:
    """`together-operator run` as a process, with its log in a file."""

    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _file: IO[bytes] | None = field(default=None, repr=False)
    _begin: int = field(default=0, repr=False)
    """Where the newest start's part of the log begins."""

    _port: int | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; the log is appended to."""
        self._file = self.log.open("ab")
        self._begin, self._port = self._file.tell(), None
        self.process = subprocess.Popen(
            [sys.executable, "-m", "together_operator", "run"],
            env=self.environment,
            stderr=self._file,
            stdout=self._file,
        )

    def wait_ready(self, seconds: float = 180.0) -> None:
        """Wait until it holds the Lease and watches."""
        answer = "nothing"

        def is_ready() -> bool:
            nonlocal answer
            if self.has_ended():
                raise RuntimeError(f"the operator ended early:\n{self.tail()}")
            port = self.http_port()
            if port is None:
                return False
            with contextlib.suppress(httpx.TransportError):
                probe = httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1.0)
                answer = probe.text
                return probe.status_code == 200
            return False

        def explain() -> str:
            return f"/readyz says {answer}; the log ends with\n{self.tail()}"

        until(is_ready, seconds, "the operator is ready", explain)

    def is_ready(self) -> bool:
        """Whether this start of it holds the Lease and watches."""
        port = self.http_port() if not self.has_ended() else None
        if port is None:
            return False
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=1.0).status_code == 200
        return False

    def has_ended(self) -> bool:
        """True when the process is not running."""
        return self.process is None or self.process.poll() is not None

    def http_port(self) -> int | None:
        """Port of probes and metrics of the newest start, from the log."""
        if self._port is None and self.log.exists():
            with self.log.open("rb") as log:
                log.seek(self._begin)
                for line in log:
                    with contextlib.suppress(ValueError):
                        entry = json.loads(line)
                        if isinstance(entry, dict) and entry.get("event") == "started":
                            self._port = int(entry["http_port"])
                            break
        return self._port

    def metrics(self, *names: str) -> dict[str, float]:
        """Samples of `/metrics`, all or those that are named, by their names with labels."""
        url = f"http://127.0.0.1:{self.http_port()}/metrics"
        text = httpx.get(url, params={"name[]": names}).text
        samples = (line.rpartition(" ") for line in text.splitlines() if line[:1] not in {"#", ""})
        return {name: float(value) for name, _, value in samples}

    def tail(self, lines: int = 40) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def crashes(self) -> list[str]:
        """Lines of the log about a reconcile that failed as none is foreseen to: a defect."""
        return [line for line in self.log.read_text().splitlines() if is_crash(line)]

    def kill(self) -> None:
        """kill -9, as a node that dies."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._close()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None:
            end(self.process)
        self._close()

    def _close(self) -> None:
        self.process = None
        if self._file is not None:
            self._file.close()
            self._file = None


def operator_environment(
    cluster: ThrowawayCluster,
    simulators: Simulators,
    user: str = "operator",
    **settings: str,
) -> dict[str, str]:
    """Environment of an operator that knows nothing but this cluster and these simulators."""
    prefixed = {f"TOGETHER_OPERATOR_{name.upper()}": value for name, value in settings.items()}
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "HOME": str(cluster.folder),
        "KUBECONFIG": str(cluster.kubeconfig(user)),
        "TOGETHER_API_KEY": simulators.key,
        "TOGETHER_BASE_URL": simulators.together,
        "HF_ENDPOINT": simulators.urls["hub"]["url"],
        "TOGETHER_OPERATOR_HTTP_PORT": "0",
        "TOGETHER_OPERATOR_LOG_FORMAT": "json",
        "TOGETHER_OPERATOR_LEASE_NAMESPACE": "default",
        # The simulators are there.
        "TOGETHER_OPERATOR_ALLOWED_ADDRESSES": "127.0.0.0/8,::1",
        **simulators.aws,
        **prefixed,
    }


def install(cluster: ThrowawayCluster) -> None:
    """Apply the CRDs and let the user `operator` do what the operator's role says."""
    cluster.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    cluster.kubectl("apply", "-f", str(ROOT / "deploy" / "clusterrole.yaml"))
    group = "rbac.authorization.k8s.io"
    for scope, metadata, role in (
        ("Cluster", {}, "together-operator"),
        ("", {"namespace": "default"}, "together-operator-lease"),
    ):
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": f"{scope}RoleBinding",
            "metadata": {"name": role, **metadata},
            "roleRef": {"apiGroup": group, "kind": f"{scope}Role", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "operator"}],
        }
        cluster.kubectl("apply", "-f", "-", input=json.dumps(binding))
    kinds = ("crd/custommodels.together.ai", "crd/modeldeployments.together.ai")
    cluster.kubectl("wait", "--for=create", *kinds, "--timeout=30s")
    until(
        lambda: "modeldeployments" in cluster.kubectl("api-resources", "--api-group=together.ai"),
        30,
        "the API server serves both kinds",
    )


def secret(namespace: str, name: str, values: Mapping[str, str]) -> str:
    """A Secret as JSON for `kubectl apply`."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"namespace": namespace, "name": name}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


def upload(simulators: Simulators, folder: Path, prefix: str) -> None:
    """Put the files of a folder under a prefix of the bucket."""
    client = s3_client(simulators)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            client.upload_file(str(path), BUCKET, prefix + str(path.relative_to(folder)))


def s3_client(simulators: Simulators) -> Any:
    """A boto3 client for the S3 server."""
    import boto3
    from botocore.config import Config

    s3 = simulators.urls["s3"]
    return boto3.client(
        "s3",
        endpoint_url=s3["url"],
        aws_access_key_id=s3["accessKeyID"],
        aws_secret_access_key=s3["secretAccessKey"],
        region_name="us-east-1",
        config=Config(signature_version="s3v4"),
    )


def until(
    check: Callable[[], bool],
    seconds: float,
    what: str,
    explain: Callable[[], str] = lambda: "",
    *,
    pause: float = 0.05,
) -> None:
    """Wait for something to become true; says what did not when the time is over."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s still not: {what}\n{explain()}")
        time.sleep(pause)


def end(process: subprocess.Popen[Any]) -> None:
    """SIGTERM, then SIGKILL for one that does not end in time."""
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def stopping(*things: Simulators | OperatorProcess) -> Iterator[None]:
    """Stop all of them at the end, the last first."""
    try:
        yield
    finally:
        for thing in reversed(things):
            thing.stop()
