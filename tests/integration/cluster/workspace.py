"""A namespace to work in, manifests to put there, and what to wait for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import ThrowawayCluster

Object = dict[str, Any]
PATIENCE_SECONDS = 30.0


def container(script: str, **fields: Any) -> Object:
    """A container that runs a shell script."""
    return {"name": "main", "image": "any/image:1", "command": ["sh", "-c", script], **fields}


def pod(name: str, *containers: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": list(containers), **spec},
    }


def job(name: str, *containers: Object, pod_spec: Object | None = None, **spec: Any) -> Object:
    template = {"restartPolicy": "Never", "containers": list(containers), **(pod_spec or {})}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, **spec, "template": {"spec": template}},
    }


def secret(name: str, **values: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


class Workspace:
    """One namespace of a cluster."""

    def __init__(self, cluster: ThrowawayCluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def kubectl(self, *args: str, **options: Any) -> str:
        return self.cluster.kubectl(f"--namespace={self.namespace}", *args, **options)

    def apply(self, *objects: Object) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", input=json.dumps(items))

    def get(self, kind: str, name: str) -> Object:
        found: Object = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def run_pod(self, manifest: Object) -> Object:
        """Apply a pod, wait for its end, and return it."""
        self.apply(manifest)
        return self.wait_for_end(manifest["metadata"]["name"])

    def wait_for_end(self, name: str) -> Object:
        return self.until(name, lambda pod: pod["status"]["phase"] in ("Succeeded", "Failed"))

    def wait_for_run(self, name: str) -> Object:
        return self.until(name, lambda pod: pod["status"]["phase"] == "Running")

    def until(self, name: str, holds: Callable[[Object], bool]) -> Object:
        """Return the pod once something holds of it; a failure shows it as it was last."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(found := self.get("pod", name)):
            assert time.monotonic() < deadline, json.dumps(found["status"], indent=1)
            time.sleep(0.1)
        return found

    def pods_of(self, job_name: str) -> list[Object]:
        selector = f"--selector=batch.kubernetes.io/job-name={job_name}"
        found: list[Object] = json.loads(self.kubectl("get", "pods", selector, "-o", "json"))[
            "items"
        ]
        return found


def terminated(pod: Object) -> Object:
    """How the pod's first container ended."""
    state: Object = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def condition(found: Object, kind: str) -> Object:
    """The condition ``kind`` of an object; empty when it has none."""
    conditions = found["status"].get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie doesn't)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def eventually(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it didn't come to hold"
        time.sleep(0.1)
