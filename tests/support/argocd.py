"""A real Argo CD on a throw-away cluster: application controller and repo server as processes.

Built from Go modules; redis-server comes from the system (Debian: redis-server).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.cluster.component import free_ports
from tests.support.environment import end
from tests.support.go_module import GoModule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cluster import ThrowawayCluster

ROOT = Path(__file__).parents[2]
PATCH = ROOT / "deploy" / "argocd" / "argocd-cm.yaml"
ARGO_CD = "github.com/argoproj/argo-cd/v3"
MODULE = GoModule(
    ROOT / "hack" / "argocd", "argocd", {"argocd": f"{ARGO_CD}/cmd"}, "about 4 minutes", {}
)
NAMESPACE = "argocd"
PATIENCE_SECONDS = 90.0


class ArgoCDError(Exception):
    """Argo CD can't be started; the message says what is missing."""


def lacking() -> list[str]:
    """Packages of Debian that this machine lacks."""
    return [name for name in ("git", "redis-server") if shutil.which(name) is None]


def binary() -> Path:
    """The one program that all parts of Argo CD are.

    Raises:
        BuildError: it can't be built.
    """
    return MODULE.find(["argocd"])["argocd"]


def resource_override(verb: str, manifest: Path, *args: str) -> str:
    """`argocd admin settings resource-overrides VERB`, with the customizations of this project.

    Raises:
        CalledProcessError: it fails; its words are in `stderr`.
    """
    command = [str(binary()), "admin", "settings", "resource-overrides", verb, str(manifest)]
    command += [*args, "--argocd-cm-path", str(PATCH)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return run.stdout


@contextlib.contextmanager
def running(cluster: ThrowawayCluster, folder: Path) -> Iterator[None]:
    """Install and start Argo CD; its logs are in `folder`.

    Raises:
        ArgoCDError: redis-server is not there.
        BuildError: Argo CD can't be built.
    """
    redis = shutil.which("redis-server")
    if redis is None:
        raise ArgoCDError("redis-server is not on PATH: install it (Debian: redis-server)")
    install(cluster)
    source = MODULE.source(ARGO_CD)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    for role in ("argocd-application-controller", "argocd-repo-server"):
        (bin_folder / role).symlink_to(binary())
    # The repo server calls it by this name even where no signature is wanted.
    wrapper = bin_folder / "git-verify-wrapper.sh"
    shutil.copyfile(source / "hack" / "git-verify-wrapper.sh", wrapper)
    wrapper.chmod(0o755)  # Go's module cache makes everything read-only and not executable
    redis_port, repo_port, metrics, repo_metrics = free_ports(4)
    environment = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "KUBECONFIG": str(cluster.kubeconfig()),
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
    commands = [
        [redis, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""],
        [
            *("argocd-repo-server", "--redis", f"127.0.0.1:{redis_port}"),
            *("--port", str(repo_port), "--metrics-port", str(repo_metrics)),
            # It would look into Git every three minutes; a webhook does better in real life.
            *("--revision-cache-expiration", "1s"),
        ],
        [
            *("argocd-application-controller", "--namespace", NAMESPACE),
            *("--redis", f"127.0.0.1:{redis_port}", "--repo-server", f"127.0.0.1:{repo_port}"),
            *("--metrics-port", str(metrics), "--app-resync", "10", "--app-resync-jitter", "0"),
            # Else only Argo CD's own interface knows the health of each resource.
            "--persist-resource-health",
        ],
    ]
    with contextlib.ExitStack() as stack:
        for command in commands:
            program = shutil.which(command[0], path=environment["PATH"]) or command[0]
            log = stack.enter_context((folder / f"{Path(command[0]).name}.log").open("wb"))
            process = subprocess.Popen(
                [program, *command[1:]],
                executable=program,
                env=environment,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
            stack.callback(end, process)
        yield


def install(cluster: ThrowawayCluster) -> None:
    """Argo CD's CRDs and configuration, patched as `deploy/argocd` says."""
    manifests = MODULE.source(ARGO_CD) / "manifests"
    for name in ("application", "appproject", "applicationset"):
        crd = manifests / "crds" / f"{name}-crd.yaml"
        cluster.kubectl("apply", "--server-side", "-f", str(crd))
    cluster.kubectl("create", "namespace", NAMESPACE)
    for path in sorted((manifests / "base" / "config").glob("argocd-*.yaml")):
        cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(path))
    # Without a key, the controller never sees that argocd-cm has changed.
    key = json.dumps({"stringData": {"server.secretkey": "not-a-secret-of-anything"}})
    cluster.kubectl("patch", "-n", NAMESPACE, "secret/argocd-secret", "-p", key)
    patch = json.dumps({"data": yaml.safe_load(PATCH.read_text())["data"]})
    cluster.kubectl("patch", "-n", NAMESPACE, "configmap/argocd-cm", "--type=merge", "-p", patch)
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"namespace": "*", "server": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(project))


def application(name: str, repository: Path, namespace: str) -> dict[str, Any]:
    """An Application that syncs by itself, heals and prunes, even the last object."""
    automated = {"prune": True, "selfHeal": True, "allowEmpty": True}
    # Without it, a commit that turned out Degraded is tried again and again before a newer one.
    retry = {"limit": 5, "refresh": True, "backoff": {"duration": "2s", "maxDuration": "10s"}}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": f"file://{repository}", "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"automated": automated, "retry": retry},
        },
    }


class Repository:
    """A local Git repository with a branch `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch=main", str(folder), cwd=folder.parent)

    def git(self, *args: str, cwd: Path | None = None) -> str:
        """Run git."""
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        run = subprocess.run(
            ["git", *identity, *args],
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout

    def commit(self, message: str, **files: Any) -> None:
        """Write manifests (None removes one) and commit them."""
        for name, manifest in files.items():
            path = self.folder / f"{name.replace('_', '-')}.yaml"
            if manifest is None:
                path.unlink()
            else:
                path.write_text(yaml.safe_dump(manifest, sort_keys=False))
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", message)

    def revert(self) -> None:
        """Revert the newest commit."""
        self.git("revert", "--no-edit", "HEAD")

    @property
    def head(self) -> str:
        """The newest commit."""
        return self.git("rev-parse", "HEAD").strip()


class Transitions:
    """What an Application went through.

    `seen` has (seconds, sync, health) of each change. `unprovoked` has the moments at which it
    became OutOfSync although nobody had changed Git or the cluster by hand since it was in sync.
    """

    def __init__(self, cluster: ThrowawayCluster, name: str) -> None:
        self._cluster = cluster
        self._name = name
        self._started = time.monotonic()
        self._provoked = True
        self.seen: list[tuple[float, str, str]] = []
        self.unprovoked: list[float] = []

    def provoke(self) -> None:
        """Something is about to be changed, in Git or by hand."""
        self._provoked = True

    def look(self) -> dict[str, Any] | None:
        """The Application's status now, noted when it changed; None when it is gone."""
        text = self._cluster.kubectl(
            *("get", f"application.argoproj.io/{self._name}", "-n", NAMESPACE, "-o", "json"),
            "--ignore-not-found",
        )
        if not text.strip():
            return None
        status: dict[str, Any] = json.loads(text).get("status", {})
        sync = status.get("sync", {}).get("status", "")
        health = status.get("health", {}).get("status", "")
        if not self.seen or self.seen[-1][1:] != (sync, health):
            now = round(time.monotonic() - self._started, 1)
            self.seen.append((now, sync, health))
            if sync == "OutOfSync" and not self._provoked:
                self.unprovoked.append(now)
        return status

    def synced(self, revision: str) -> None:
        """Wait until a commit is synced; from then on nothing may be OutOfSync."""
        self._wait(
            lambda status: (
                status.get("sync", {}).get("status") == "Synced"
                and status.get("sync", {}).get("revision") == revision
                and status.get("operationState", {}).get("phase") == "Succeeded"
            ),
            f"Synced to {revision}",
        )
        self._provoked = False

    def healthy(self, health: str) -> dict[str, Any]:
        """Wait until the Application as a whole is of this health."""
        return self._wait(lambda s: s.get("health", {}).get("status") == health, health)

    def _wait(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status = self.look() or {}
            if holds(status):
                return status
            assert time.monotonic() < deadline, (
                f"after {PATIENCE_SECONDS:.0f} s the Application is still not {what}: "
                f"{self.seen}\n{json.dumps(status, indent=1)[-3000:]}"
            )
            time.sleep(0.2)


if __name__ == "__main__":
    binary()
