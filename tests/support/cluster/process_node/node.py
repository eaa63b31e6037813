"""The node itself: registers, renews its lease, and runs the pods that are bound to it."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import traceback
from typing import TYPE_CHECKING

from tests.support.cluster.process_node.api import MERGE_PATCH, STRATEGIC_MERGE_PATCH, APIError
from tests.support.cluster.process_node.pod import PodRunner
from tests.support.cluster.process_node.time import now, precise_now

if TYPE_CHECKING:
    from tests.support.cluster.process_node.api import KubeAPI, Object
    from tests.support.cluster.process_node.launch import Surroundings

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
# More than any test asks for: what a pod requests is never what keeps it from being scheduled.
CAPACITY = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "100Ti", "pods": "1000"}
RETRY_SECONDS = 0.1
NOT_FOUND = 404
GONE = 410


class Node:
    """A node of the cluster whose pods are processes."""

    def __init__(
        self,
        name: str,
        version: str,
        surroundings: Surroundings,
        *,
        port: int,
        grace_seconds: int,
    ) -> None:
        """Describe the node.

        :param version: Kubernetes version that it claims to be of.
        :param port: where the logs are served.
        :param grace_seconds: after how long a silence the controllers take the node for lost.
        """
        self._name = name
        self._version = version
        self._surroundings = surroundings
        self._api: KubeAPI = surroundings.api
        self._port = port
        self._grace = grace_seconds
        self._pods: dict[str, PodRunner] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.listed = asyncio.Event()
        """Set once the pods that were bound to the node before are known."""

    def pod(self, namespace: str, name: str) -> PodRunner | None:
        """The newest pod of that name on this node."""
        found = [
            pod for pod in self._pods.values() if (pod.namespace, pod.name) == (namespace, name)
        ]
        return found[-1] if found else None

    async def register(self) -> None:
        """Make the Node object, and wait until the scheduler may use it."""
        while True:
            try:
                await self._renew_lease()
                await self._register()
                return await self._wait_for_taints_to_go()
            except APIError:
                await asyncio.sleep(RETRY_SECONDS)

    async def heartbeat(self) -> None:
        """Renew the lease four times in the grace period; register again when that is needed."""
        pause = self._grace / 4
        while True:
            await asyncio.sleep(pause)
            try:
                await self._renew_lease()
                if not await self._is_ready():
                    await self._register()
                pause = self._grace / 4
            except APIError:
                # After an outage, be there before the controllers count the silence.
                pause = RETRY_SECONDS

    async def _wait_for_taints_to_go(self) -> None:
        selector = {"fieldSelector": f"metadata.name={self._name}"}
        async for _, node in self._api.watch(NODES, **selector):
            if not node["spec"].get("taints"):
                return

    async def run_pods(self) -> None:
        """Follow the pods bound to this node, forever."""
        selector = {"fieldSelector": f"spec.nodeName={self._name}"}
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list(selector)
                    self.listed.set()
                version = await self._watch(selector, version)
            except APIError as error:
                if error.status == GONE:
                    version = ""
                elif error.status:
                    print(f"{PODS}: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_SECONDS)

    async def _list(self, selector: dict[str, str]) -> str:
        pods = await self._api.get(PODS, **selector)
        present = {pod["metadata"]["uid"] for pod in pods["items"]}
        for uid in self._pods.keys() - present:
            self._pods[uid].vanish()
        for pod in pods["items"]:
            self._take(pod)
        return str(pods["metadata"]["resourceVersion"])

    async def _watch(self, selector: dict[str, str], version: str) -> str:
        events = self._api.watch(
            PODS, **selector, resourceVersion=version, allowWatchBookmarks="true"
        )
        async for kind, pod in events:
            version = pod["metadata"]["resourceVersion"]
            if kind == "DELETED" and pod["metadata"]["uid"] in self._pods:
                self._pods[pod["metadata"]["uid"]].vanish()
            elif kind in ("ADDED", "MODIFIED"):
                self._take(pod)
        return version

    def _take(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            self._pods[uid] = PodRunner(self._surroundings, pod)
            task = asyncio.create_task(self._run(uid))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._pods[uid].update(pod)

    async def _run(self, uid: str) -> None:
        try:
            await self._pods[uid].run()
        except Exception:  # noqa: BLE001 - one pod's trouble isn't the node's
            traceback.print_exc()
        finally:
            del self._pods[uid]

    async def _register(self) -> None:
        labels = {
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
            # When all nodes of a cluster are lost, the controllers take it for an outage of their
            # own network and evict nothing; with this label, this one doesn't count as all.
            "node.kubernetes.io/exclude-disruption": "true",
        }
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self._name, "labels": labels},
        }
        try:
            await self._api.get(f"{NODES}/{self._name}")
        except APIError as error:
            if error.status != NOT_FOUND:
                raise
            await self._api.create(NODES, node)
        path = f"{NODES}/{self._name}/status"
        await self._api.patch(path, {"status": self._status()}, STRATEGIC_MERGE_PATCH)

    def _status(self) -> Object:
        time = now()
        conditions = {
            "Ready": ("True", "ProcessNodeReady", "pods run as processes of this machine"),
            "MemoryPressure": ("False", "NotWatched", ""),
            "DiskPressure": ("False", "NotWatched", ""),
            "PIDPressure": ("False", "NotWatched", ""),
        }
        return {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": self._name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": str(os.getpid()),
                "kernelVersion": platform.release(),
                "osImage": "processes of this machine, not containers",
                "containerRuntimeVersion": "process://1",
                "kubeletVersion": self._version,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": _architecture(),
            },
            "conditions": [
                {
                    "type": kind,
                    "status": status,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": time,
                    "lastTransitionTime": time,
                }
                for kind, (status, reason, message) in conditions.items()
            ],
        }

    async def _is_ready(self) -> bool:
        try:
            node = await self._api.get(f"{NODES}/{self._name}", resourceVersion="0")
        except APIError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        conditions = node["status"].get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    async def _renew_lease(self) -> None:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": self._grace,
            "renewTime": precise_now(),
        }
        try:
            await self._api.patch(f"{LEASES}/{self._name}", {"spec": spec}, MERGE_PATCH)
        except APIError as error:
            if error.status != NOT_FOUND:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._name},
                "spec": spec,
            }
            await self._api.create(LEASES, lease)


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
