"""A real Kubernetes for tests and the demo: started in seconds, without root, gone afterwards.

>>> with ThrowawayCluster.start(name="demo") as cluster:
...     print(cluster.kubectl("get", "nodes"))
"""

from tests.support.cluster.audit import AuditEntry
from tests.support.cluster.errors import BuildError, ClusterError, ComponentError, KubectlError
from tests.support.cluster.throwaway import ThrowawayCluster

__all__ = [
    "AuditEntry",
    "BuildError",
    "ClusterError",
    "ComponentError",
    "KubectlError",
    "ThrowawayCluster",
]
