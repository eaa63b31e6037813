"""The node's network: a bridge with the node's address, and CNI's bridge for the pods."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

NODE_ADDRESS = "10.89.0.1"
"""Of node, API server and simulators: not a loopback address, so that pods reach it."""
POD_RANGE = "10.88.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"


def set_up(folder: Path) -> Path:
    """Give this network namespace its addresses; return the folder with the CNI configuration."""
    # `ip link add … type dummy` does not exist on every kernel; a bridge does.
    _ip("link", "set", "lo", "up")
    _ip("link", "add", "node0", "type", "bridge")
    _ip("addr", "add", f"{NODE_ADDRESS}/32", "dev", "node0")
    _ip("link", "set", "node0", "up")
    # kubelet wants a default route to find its own address; nothing is behind this one.
    _ip("route", "add", "default", "dev", "node0")
    for name, value in (
        ("net/ipv4/ip_forward", "1"),
        ("net/bridge/bridge-nf-call-iptables", "1"),
    ):
        setting = Path("/proc/sys") / name
        if setting.exists():
            setting.write_text(value)
    configuration = {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(folder / "ipam"),
                    "ranges": [[{"subnet": POD_RANGE}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }
    target = folder / "cni"
    target.mkdir()
    (target / "10-pods.conflist").write_text(json.dumps(configuration))
    return target


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)
