"""A cluster for one test session or one demo."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

from tests.support.cluster import backends
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.kubectl import Kubectl
from tests.support.cluster.process_node import ENTRYPOINT
from tests.support.cluster.reaper import Reaper

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from tests.support.cluster.audit import AuditEntry
    from tests.support.cluster.component import Component
    from tests.support.cluster.control_plane import ControlPlane
    from tests.support.cluster.process_node import ProcessNode

Mode = Literal["own", "existing", "kind"]


class ThrowawayCluster:
    """A Kubernetes cluster that ends with the ``with`` block, or with this process.

    Users: ``admin`` may do everything; ``operator`` only what RBAC objects grant to the User
    ``operator``.
    """

    def __init__(self, name: str, folder: Path, reaper: Reaper, backend: backends.Backend) -> None:
        """Use :meth:`start`."""
        self.name = name
        self.folder = folder
        self._reaper = reaper
        self._backend = backend
        self._kubectl = Kubectl(backend.kubectl_binary, folder)

    @classmethod
    def start(
        cls,
        name: str = "test",
        *,
        mode: Mode | None = None,
        pod_environment: Mapping[str, str] | None = None,
        entrypoint: Sequence[str] = ENTRYPOINT,
    ) -> Self:
        """Start a cluster and wait until it works (4 s for our own on 2 cores).

        :param mode: ``own`` builds and starts a control plane; ``existing`` uses the current
            context of KUBECONFIG; ``kind`` creates a kind cluster. By default what the environment
            variable CLUSTER says, else ``own``: without it, no cluster of the user's is touched.
        :param pod_environment: variables for every container on the process node. Besides these it
            gets what its spec says, and nothing that this process has.
        :param entrypoint: what a container without ``command`` runs on the process node.
        :raises ClusterError: when it can't be built or started.
        """
        mode = mode or _mode_from_environment()
        folder = Path(tempfile.mkdtemp(prefix=f"together-cluster-{name}-"))
        kind_name = f"together-{name}-{secrets.token_hex(3)}"
        at_end = backends.kind_command(kind_name, "delete") if mode == "kind" else ()
        reaper = Reaper(folder, at_end)
        try:
            backend: backends.Backend
            if mode == "own":
                backend = backends.Own.start(folder, name, pod_environment or {}, entrypoint)
            elif mode == "existing":
                backend = backends.existing(folder)
            else:
                backend = backends.kind(folder, kind_name)
            cluster = cls(name, folder, reaper, backend)
            cluster._wait_for_service_account("default")
        except BaseException:
            reaper.close()
            raise
        return cluster

    def stop(self) -> None:
        """End everything that belongs to the cluster and remove its folder; more than once is fine.

        A cluster of the mode ``existing`` stays as it is.
        """
        self._backend.stop()
        self._reaper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def kubeconfig(self, user: str = "admin") -> Path:
        """Return the path of a kubeconfig for ``admin`` or ``operator``."""
        return self._backend.kubeconfig(user)

    def kubectl(
        self,
        *args: str,
        user: str = "admin",
        check: bool = True,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has
    ) -> str:
        """Run kubectl as ``user`` and return what it printed.

        :param input: text for ``-f -``.
        :raises KubectlError: when it fails, unless ``check`` is false.
        """
        kubeconfig = self.kubeconfig(user)
        return self._kubectl.run(*args, kubeconfig=kubeconfig, check=check, stdin=input)

    def kubectl_binary(self) -> Path:
        """The program: of the cluster's version, where the cluster is our own."""
        return self._kubectl.binary

    def kubectl_process(self, *args: str, user: str = "admin") -> subprocess.Popen[str]:
        """Start kubectl with its output in pipes, for ``--watch`` and ``logs --follow``."""
        return self._kubectl.popen(*args, kubeconfig=self.kubeconfig(user))

    @contextlib.contextmanager
    def new_namespace(self, prefix: str = "test") -> Iterator[str]:
        """Make a namespace that pods can be put into; afterwards, start to delete it."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        self._wait_for_service_account(name)
        yield name
        self.kubectl("delete", "namespace", name, "--wait=false")

    def create_claim(self, namespace: str, name: str, path: Path) -> None:
        """Make ``path``, a folder of this machine, a PersistentVolumeClaim, and wait for it.

        :raises ClusterError: when the nodes aren't this machine.
        """
        _ = self._own
        common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
        size = {"storage": "1Ti"}
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{namespace}-{name}"},
            "spec": {
                **common,
                "capacity": size,
                "hostPath": {"path": str(path)},
                "claimRef": {"namespace": namespace, "name": name},
            },
        }
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {
                **common,
                "resources": {"requests": size},
                "volumeName": f"{namespace}-{name}",
            },
        }
        both = {"apiVersion": "v1", "kind": "List", "items": [volume, claim]}
        self.kubectl("apply", "-f", "-", input=json.dumps(both))
        self.kubectl(
            *("wait", "--for=jsonpath={.status.phase}=Bound", f"pvc/{name}"),
            *(f"--namespace={namespace}", "--timeout=30s"),
        )

    @property
    def node(self) -> ProcessNode:
        """The node that runs pods as processes."""
        return self._own.node

    @property
    def etcd(self) -> Component:
        return self._control_plane.etcd

    @property
    def api_server(self) -> Component:
        return self._control_plane.api_server

    @property
    def controller_manager(self) -> Component:
        return self._control_plane.controller_manager

    @property
    def scheduler(self) -> Component:
        return self._control_plane.scheduler

    def audit(self, skip: int = 0) -> Iterator[AuditEntry]:
        """Yield every request that the API server has answered so far, oldest first.

        :param skip: how many of the first are left out.
        """
        return self._control_plane.audit(skip)

    def rotate_token(self, user: str) -> None:
        """Give ``user`` a new token in its kubeconfig; the old one is refused afterwards."""
        self._control_plane.rotate_token(user)

    def recover(self) -> None:
        """Make the whole control plane work again after a part of it was killed or restarted."""
        self._control_plane.recover()

    def _wait_for_service_account(self, namespace: str) -> None:
        """Wait for what the controllers put into a namespace; without it, no pod is admitted."""
        self.kubectl(
            *("wait", "--for=create", "serviceaccount/default", f"--namespace={namespace}"),
            "--timeout=60s",
        )

    @property
    def _control_plane(self) -> ControlPlane:
        return self._own.control_plane

    @property
    def _own(self) -> backends.Own:
        if isinstance(self._backend, backends.Own):
            return self._backend
        raise ClusterError(
            "this needs a control plane and a node of our own: unset CLUSTER, or set CLUSTER=own"
        )


def _mode_from_environment() -> Mode:
    value = os.environ.get("CLUSTER") or "own"
    for mode in get_args(Mode):
        if value == mode:
            return mode  # type: ignore[no-any-return]
    raise ClusterError(f"CLUSTER is {value!r}; it can be {', '.join(get_args(Mode))}, or unset")
