"""Where the cluster comes from: our own control plane, kind, or one that the user names."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.support.cluster import binaries
from tests.support.cluster.certificates import new_key, signing_request
from tests.support.cluster.control_plane import NODE_GRACE_SECONDS, ControlPlane
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.kubeconfig import write_kubeconfig
from tests.support.cluster.kubectl import Kubectl
from tests.support.cluster.process_node import ProcessNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

USERS = ("admin", "operator")


class Backend(Protocol):
    """A cluster that runs."""

    kubectl_binary: Path

    def kubeconfig(self, user: str) -> Path: ...

    def stop(self) -> None: ...


@dataclass
class Own:
    """Our own control plane in ``folder``."""

    control_plane: ControlPlane
    node: ProcessNode
    kubectl_binary: Path

    @classmethod
    def start(
        cls, folder: Path, name: str, pod_environment: Mapping[str, str], entrypoint: Sequence[str]
    ) -> Own:
        found = binaries.find()
        control_plane = ControlPlane(folder, found, name=name)
        node = ProcessNode(
            folder,
            server=control_plane.server,
            token=control_plane.token("process-node"),
            authority=control_plane.authority.certificate,
            serving=control_plane.serving,
            version=binaries.kubernetes_version(),
            grace_seconds=NODE_GRACE_SECONDS,
            environment=pod_environment,
            entrypoint=entrypoint,
        )
        # It takes a while to import what it needs, and then asks until the API server is there.
        node.start(wait=False)
        control_plane.start()
        node.wait_ready()
        return cls(control_plane, node, found["kubectl"])

    def kubeconfig(self, user: str) -> Path:
        return self.control_plane.kubeconfig(user)

    def stop(self) -> None:
        self.node.lose()
        self.control_plane.kill()


class Foreign:
    """A cluster made by somebody else; its administrator's kubeconfig is handed in.

    The user ``operator`` gets a client certificate from the cluster's own signer, so that RBAC
    objects name the same subject (User ``operator``) everywhere.
    """

    def __init__(self, folder: Path, admin: Path) -> None:
        self._folder = folder
        self._admin = admin
        self.kubectl_binary = binaries.find(["kubectl"])["kubectl"]
        self._kubectl = Kubectl(self.kubectl_binary, folder)

    def kubeconfig(self, user: str) -> Path:
        if user not in USERS:
            raise ClusterError(f"no user {user!r}: there are {', '.join(USERS)}")
        if user == "admin":
            return self._admin
        path = self._folder / f"kubeconfig-{user}"
        return path if path.exists() else self._issue(user, path)

    def stop(self) -> None:
        """Leave the cluster as it is."""

    def _issue(self, user: str, path: Path) -> Path:
        key_path = self._folder / f"{user}.key"
        request = signing_request(new_key(key_path), user)
        name = f"together-{user}-{secrets.token_hex(4)}"
        manifest = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {
                "request": base64.b64encode(request).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "expirationSeconds": 24 * 3600,
                "usages": ["client auth"],
            },
        }
        run = self._kubectl.run
        run("create", "-f", "-", kubeconfig=self._admin, stdin=json.dumps(manifest))
        try:
            run("certificate", "approve", name, kubeconfig=self._admin)
            issued = ("--for=jsonpath={.status.certificate}", "--timeout=30s", f"csr/{name}")
            run("wait", *issued, kubeconfig=self._admin)
            query = ("csr", name, "-o", "jsonpath={.status.certificate}")
            certificate = run("get", *query, kubeconfig=self._admin)
        finally:
            run("delete", "csr", name, kubeconfig=self._admin)
        view = ("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
        cluster = json.loads(run(*view, kubeconfig=self._admin))["clusters"][0]["cluster"]
        return write_kubeconfig(
            path,
            name=user,
            cluster=cluster,
            user={
                "client-certificate-data": certificate,
                "client-key-data": base64.b64encode(key_path.read_bytes()).decode(),
            },
        )


def existing(folder: Path) -> Foreign:
    """Use the current context of ``$KUBECONFIG`` (or ~/.kube/config), and only that.

    The context is copied, so that a later ``kubectl config use-context`` changes nothing here.
    """
    kubectl = binaries.find(["kubectl"])["kubectl"]
    command = [str(kubectl), "config", "view", "--raw", "--flatten", "--minify"]
    view = subprocess.run(command, capture_output=True, text=True, check=False)
    if view.returncode:
        raise ClusterError(
            "CLUSTER=existing needs a kubeconfig with a current context, in KUBECONFIG or"
            f" ~/.kube/config: {view.stderr.strip()}"
        )
    path = folder / "kubeconfig-admin"
    path.touch(mode=0o600)
    path.write_text(view.stdout)
    return Foreign(folder, path)


def kind_command(name: str, verb: str, *options: str) -> Sequence[str]:
    """The command line that creates or deletes the kind cluster ``name``."""
    program = shutil.which("kind")
    if program is None:
        raise ClusterError("CLUSTER=kind needs the program kind on PATH")
    return [program, verb, "cluster", "--name", name, *options]


def kind(folder: Path, name: str) -> Foreign:
    """Create the kind cluster ``name``; the reaper deletes it."""
    path = folder / "kubeconfig-admin"
    command = kind_command(name, "create", "--kubeconfig", str(path), "--wait", "120s")
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ClusterError(f"kind create cluster failed: {run.stderr.strip()}")
    return Foreign(folder, path)
