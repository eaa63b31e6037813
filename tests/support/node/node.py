"""A cluster of one real node."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster import binaries
from tests.support.cluster.component import Component
from tests.support.cluster.control_plane import ControlPlane
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.kubectl import Kubectl
from tests.support.node.containers import Containerd
from tests.support.node.isolation import CGROUP, make_cgroups
from tests.support.node.network import NODE_ADDRESS, POD_RANGE, SERVICE_RANGE, set_up

NAME = "node"
READY_SECONDS = 120.0
BINARIES = (*binaries.CONTROL_PLANE, "kubelet", "kube-proxy")
# On a busy machine, kubelet's heartbeats are late; Kubernetes' own grace is 50 s.
GRACE_SECONDS = 60


class NodeCluster:
    """Control plane, containerd, kubelet and kube-proxy; in the namespaces of `isolation` only.

    Args:
        folder: an empty folder for all of it.
        images: archives of the images that pods may use.
    """

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        self.folder = folder
        found = binaries.find(BINARIES)
        self.control_plane = ControlPlane(
            folder, found, name="e2e", address=NODE_ADDRESS, grace_seconds=GRACE_SECONDS
        )
        self._kubectl = Kubectl(found["kubectl"], folder)
        self.containerd = Containerd(folder, set_up(folder))
        self._images = images
        self.kubelet = self._make_kubelet(found["kubelet"])
        self.proxy = self._make_proxy(found["kube-proxy"])

    def start(self) -> None:
        """Start all of it and wait until the node is ready.

        Raises:
            ClusterError: a part of it did not get ready; with the end of its log.
        """
        self.control_plane.start()
        self.containerd.start()
        for archive in self._images:
            self.containerd.load(archive)
        make_cgroups()
        self.kubelet.start()
        self.proxy.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready():
            if time.monotonic() > deadline:
                raise ClusterError(f"the node isn't ready:\n{self.kubelet.log_tail()}")
            time.sleep(0.3)

    def kubeconfig(self, user: str = "admin") -> Path:
        """The path of a kubeconfig."""
        return self.control_plane.kubeconfig(user)

    def kubectl(self, *args: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return what it printed.

        Raises:
            KubectlError: it failed, unless `check` is false.
        """
        return self._kubectl.run(*args, kubeconfig=self.kubeconfig(), check=check, stdin=stdin)

    def _is_ready(self) -> bool:
        listed = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in listed
            for condition in node.get("status", {}).get("conditions", [])
        )

    def _make_kubelet(self, binary: Path) -> Component:
        certificate, key = self.control_plane.authority.serving("kubelet", [NODE_ADDRESS], [NAME])
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            # The API server asks for logs without a client certificate. Nobody else is here.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "tlsCertFile": str(certificate),
            "tlsPrivateKeyFile": str(key),
            "containerRuntimeEndpoint": f"unix://{self.containerd.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{CGROUP}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "evictionHard": {"memory.available": "1%", "nodefs.available": "1%"},
            "podLogsDir": str(self.folder / "pod-logs"),
            "staticPodPath": "",
            "clusterDNS": [],
            "imageGCHighThresholdPercent": 100,
            "nodeStatusUpdateFrequency": "5s",
        }
        path = self.folder / "kubelet.json"
        path.write_text(json.dumps(configuration))
        flags = {
            "config": path,
            "kubeconfig": self.kubeconfig("process-node"),
            "hostname-override": NAME,
            "node-ip": NODE_ADDRESS,
            "root-dir": self.folder / "kubelet",
            "v": 1,
        }
        return self._component("kubelet", binary, flags, 10248)

    def _make_proxy(self, binary: Path) -> Component:
        flags = {
            "kubeconfig": self.kubeconfig("process-node"),
            "hostname-override": NAME,
            "proxy-mode": "iptables",
            "cluster-cidr": POD_RANGE,
            "masquerade-all": "true",
            "conntrack-max-per-core": 0,
            "healthz-bind-address": "127.0.0.1:10256",
            "metrics-bind-address": "127.0.0.1:10249",
        }
        return self._component("kube-proxy", binary, flags, 10256)

    def _component(self, name: str, binary: Path, flags: dict[str, object], port: int) -> Component:
        command = [str(binary), *(f"--{flag}={value}" for flag, value in flags.items())]
        return Component(name, command, folder=self.folder, port=port, health="/healthz", tls=None)


__all__ = ["NODE_ADDRESS", "SERVICE_RANGE", "NodeCluster"]
