"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler on ports of 127.0.0.1."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
from typing import TYPE_CHECKING

from tests.support.cluster import audit
from tests.support.cluster.certificates import CertificateAuthority, new_key
from tests.support.cluster.component import Component, free_ports
from tests.support.cluster.errors import ClusterError
from tests.support.cluster.kubeconfig import write_kubeconfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

USERS = {
    "admin": "system:masters",
    # No group of its own: it may do what a test's RBAC objects let the user "operator" do.
    "operator": "",
    "process-node": "system:masters",
    "kube-controller-manager": "system:masters",
    "kube-scheduler": "system:masters",
}
LOOPBACK = "127.0.0.1"
NODE_MONITOR_SECONDS = 1
# A node is taken for lost this long after its last heartbeat (Kubernetes: 50 s), and pods that
# don't say otherwise are evicted from it this much later (Kubernetes: 300 s).
NODE_GRACE_SECONDS = 10
UNREACHABLE_TOLERATION_SECONDS = 3


class ControlPlane:
    """The four processes; each can be killed, stopped, started and restarted on its own."""

    def __init__(
        self,
        folder: Path,
        binaries: Mapping[str, Path],
        *,
        name: str,
        address: str = LOOPBACK,
        grace_seconds: int = NODE_GRACE_SECONDS,
    ) -> None:
        """Prepare keys, tokens and command lines in ``folder``, which must be empty.

        :param address: where the API server is for its clients. On another one than the loopback,
            pods that have a network of their own reach it by the Service ``kubernetes``.
        :param grace_seconds: after which a silent node is lost.
        """
        self._name = name
        self._address = address
        self._grace_seconds = grace_seconds
        self._folder = folder
        (folder / "kubeconfig").mkdir(mode=0o700)
        self.authority = CertificateAuthority(folder / "pki")
        self.serving = self.authority.serving(
            "apiserver",
            sorted({LOOPBACK, address, "10.96.0.1"}),
            ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        )
        self._service_accounts = folder / "pki" / "service-accounts.key"
        new_key(self._service_accounts)
        client, peer, self.port, manager, scheduler = free_ports(5)
        self.server = f"https://{address}:{self.port}"
        self._tokens = {user: secrets.token_urlsafe(24) for user in USERS}
        self._write_tokens()
        tls = ssl.create_default_context(cafile=str(self.authority.certificate))
        self.etcd = self._component("etcd", binaries, self._etcd(client, peer), client, None)
        self.api_server = self._component(
            "kube-apiserver", binaries, self._api_server(client), self.port, tls, "/readyz"
        )
        self.controller_manager = self._component(
            "kube-controller-manager", binaries, self._controller_manager(manager), manager, tls
        )
        self.scheduler = self._component(
            "kube-scheduler", binaries, self._scheduler(scheduler), scheduler, tls
        )

    @property
    def components(self) -> tuple[Component, ...]:
        return (self.etcd, self.api_server, self.controller_manager, self.scheduler)

    def start(self) -> None:
        """Start those that don't run and wait until all four are ready (2 to 3 s on 2 cores).

        :raises ComponentError: when one of them ends or doesn't become ready.
        """
        self.etcd.start()
        self.api_server.start()
        self.controller_manager.start(wait=False)
        self.scheduler.start(wait=False)
        self.controller_manager.wait_ready()
        self.scheduler.wait_ready()

    def kill(self) -> None:
        """End all four at once; nothing here outlives the cluster, so there is nothing to save."""
        for component in reversed(self.components):
            component.kill()

    def kubeconfig(self, user: str) -> Path:
        """Return a kubeconfig file for ``user``.

        :raises ClusterError: when that is none of ``USERS``.
        """
        if user not in USERS:
            raise ClusterError(f"no user {user!r}: there are {', '.join(USERS)}")
        path = self._folder / "kubeconfig" / user
        if path.exists():
            return path
        return write_kubeconfig(
            path,
            name=self._name,
            cluster={
                "server": self.server,
                "certificate-authority-data": base64.b64encode(
                    self.authority.certificate.read_bytes()
                ).decode(),
            },
            user={"token": self._tokens[user]},
        )

    def token(self, user: str) -> str:
        """Return the bearer token of ``user``, one of ``USERS``."""
        return self._tokens[user]

    def rotate_token(self, user: str) -> None:
        """Let ``user`` have another token from now on; the API server is restarted by that."""
        self._tokens[user] = secrets.token_urlsafe(24)
        self._write_tokens()
        path = self._folder / "kubeconfig" / user
        content = json.loads(path.read_text())
        content["users"][0]["user"]["token"] = self._tokens[user]
        path.write_text(json.dumps(content, indent=2))
        self.api_server.restart()
        self.recover()

    def audit(self, skip: int = 0) -> Iterator[audit.AuditEntry]:
        """Yield every request that the API server has answered so far, without the first ones."""
        return audit.read_audit_log(self._folder / "audit.log", skip)

    def recover(self) -> None:
        """Make all four work again after etcd or the API server was killed or restarted.

        Controllers and scheduler are started anew: each watch of theirs that failed doubles the
        wait before its next try, up to a minute, and three restarts of the API server get there.

        :raises ComponentError: when one of them ends or doesn't become ready.
        """
        self.controller_manager.kill()
        self.scheduler.kill()
        self.start()

    def _component(
        self,
        name: str,
        binaries: Mapping[str, Path],
        options: dict[str, object],
        port: int,
        tls: ssl.SSLContext | None,
        health: str = "/health",
    ) -> Component:
        if tls is not None and health == "/health":
            health = "/healthz"
        flags = [f"--{option}={value}" for option, value in options.items()]
        return Component(
            name,
            [str(binaries[name]), *flags],
            folder=self._folder,
            port=port,
            health=health,
            tls=tls,
        )

    def _write_tokens(self) -> None:
        lines = [f'{self._tokens[user]},{user},{user},"{group}"' for user, group in USERS.items()]
        path = self._folder / "pki" / "tokens.csv"
        path.touch(mode=0o600)
        path.write_text("\n".join(lines) + "\n")

    def _etcd(self, client: int, peer: int) -> dict[str, object]:
        client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return {
            "name": "default",
            "data-dir": self._folder / "etcd",
            "listen-client-urls": client_url,
            "advertise-client-urls": client_url,
            "listen-peer-urls": peer_url,
            "initial-advertise-peer-urls": peer_url,
            "initial-cluster": f"default={peer_url}",
            # Data survive a kill of the process, not of the machine.
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    def _api_server(self, etcd: int) -> dict[str, object]:
        policy = self._folder / "audit-policy.json"
        policy.write_text(json.dumps(audit.POLICY))
        return {
            "etcd-servers": f"http://127.0.0.1:{etcd}",
            **self._reachable(),
            "secure-port": self.port,
            "tls-cert-file": self.serving[0],
            "tls-private-key-file": self.serving[1],
            "client-ca-file": self.authority.certificate,
            "token-auth-file": self._folder / "pki" / "tokens.csv",
            "authorization-mode": "Node,RBAC",
            "service-account-key-file": self._service_accounts,
            "service-account-signing-key-file": self._service_accounts,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-cluster-ip-range": "10.96.0.0/16",
            "allow-privileged": "true",
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-certificate-authority": self.authority.certificate,
            "default-not-ready-toleration-seconds": UNREACHABLE_TOLERATION_SECONDS,
            "default-unreachable-toleration-seconds": UNREACHABLE_TOLERATION_SECONDS,
            "audit-policy-file": policy,
            "audit-log-path": self._folder / "audit.log",
            "audit-log-maxsize": 10_000,
        }

    def _reachable(self) -> dict[str, object]:
        if self._address == LOOPBACK:
            # The Service "kubernetes" can't have an endpoint on a loopback address.
            return {"bind-address": LOOPBACK, "endpoint-reconciler-type": "none"}
        # On the loopback too, where its readiness is looked at.
        return {"bind-address": "0.0.0.0", "advertise-address": self._address}  # noqa: S104

    def _controller_manager(self, port: int) -> dict[str, object]:
        return self._serving(port) | {
            "kubeconfig": self.kubeconfig("kube-controller-manager"),
            "service-account-private-key-file": self._service_accounts,
            "root-ca-file": self.authority.certificate,
            "cluster-signing-cert-file": self.authority.certificate,
            "cluster-signing-key-file": self.authority.key,
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            # With the default of 20 requests a second, start-up takes 4 s longer.
            "kube-api-qps": 500,
            "kube-api-burst": 1000,
            # Or a claim waits for its volume for 15 s.
            "pvclaimbinder-sync-period": "1s",
            # One eviction in 10 s is for clusters of many nodes.
            "node-eviction-rate": 10,
            "node-monitor-period": f"{NODE_MONITOR_SECONDS}s",
            "node-monitor-grace-period": f"{self._grace_seconds}s",
        }

    def _scheduler(self, port: int) -> dict[str, object]:
        return self._serving(port) | {
            "kubeconfig": self.kubeconfig("kube-scheduler"),
            "leader-elect": "false",
        }

    def _serving(self, port: int) -> dict[str, object]:
        return {
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "tls-cert-file": self.serving[0],
            "tls-private-key-file": self.serving[1],
        }
