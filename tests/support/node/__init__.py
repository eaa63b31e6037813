"""A real node: kubelet, kube-proxy, containerd, runc and CNI, in namespaces of its own.

Everything runs in a network, mount and process-id namespace (`isolation`), so that the machine's
own network stays as it is, and the kernel ends all of it, containers included, when its first
process ends, however that happens.
"""

from tests.support.node.node import NodeCluster

__all__ = ["NodeCluster"]
