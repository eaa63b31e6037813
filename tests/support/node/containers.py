"""containerd with folders of its own."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from tests.support.cluster.component import Component
from tests.support.node.isolation import CNI

SANDBOX_IMAGE = "localhost/pause:1"


class Containerd(Component):
    """The process; ready when its socket answers."""

    def __init__(self, folder: Path, cni: Path) -> None:
        self.socket = folder / "containerd.sock"
        configuration = folder / "containerd.toml"
        configuration.write_text(_configuration(folder, self.socket, cni))
        command = ["containerd", "--config", str(configuration)]
        super().__init__("containerd", command, folder=folder, port=0, health="", tls=None)

    def healthy(self) -> bool:
        """Whether the socket answers."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.socket))
            except OSError:
                return False
        return True

    def load(self, archive: Path) -> None:
        """Import an archive of images."""
        self.ctr("images", "import", "--no-unpack", str(archive))

    def ctr(self, *args: str) -> str:
        """Run ctr in Kubernetes' namespace, and return what it printed."""
        command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", *args]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _configuration(folder: Path, socket_path: Path, cni: Path) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE, no sandbox would start.
    return f"""
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket_path}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI}"
conf_dir = "{cni}"
"""
