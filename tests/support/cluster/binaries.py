"""Finds or builds kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and etcd.

They are looked for in ``$KUBEBUILDER_ASSETS`` (as setup-envtest lays it out: kube-apiserver, etcd
and kubectl; the other two are then our own build, so the assets should be of the same minor
version), then in the user's cache, and else built from the Go modules in ``hack/cluster``.
kubelet and kube-proxy are built the same way, but only when asked for.

Measured on 2 cores: 4 to 5 minutes with empty Go caches, seconds with warm ones.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import go_module
from tests.support.cluster.errors import BuildError
from tests.support.go_module import GoModule

if TYPE_CHECKING:
    from collections.abc import Sequence

MODULE = Path(__file__).parents[3] / "hack" / "cluster"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
CONTROL_PLANE = (
    "etcd",
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
)
ASSETS = ("etcd", "kube-apiserver", "kubectl")


def find(names: Sequence[str] = CONTROL_PLANE) -> dict[str, Path]:
    """Return an executable for every name, building what isn't there.

    :raises BuildError: when a binary can't be built, or ``$KUBEBUILDER_ASSETS`` lacks one.
    """
    found = _assets()
    missing = [name for name in names if name not in found]
    if missing:
        try:
            found |= module().find(missing)
        except go_module.BuildError as error:
            raise BuildError(str(error)) from None
    return {name: found[name] for name in names}


def module() -> GoModule:
    """The Go module that pins and builds them."""
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    base = "k8s.io/component-base/version"
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return GoModule(
        MODULE,
        "cluster",
        PACKAGES,
        "about 5 minutes",
        {f"{base}.{key}": value for key, value in stamps.items()},
    )


def cache_folder() -> Path:
    """The folder for binaries of exactly these module versions."""
    return module().cache_folder()


def kubernetes_version() -> str:
    """The version of Kubernetes that is built, such as ``v1.35.4``."""
    pins = (MODULE / "go.mod").read_text()
    match = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", pins, re.MULTILINE)
    if match is None:
        raise BuildError("hack/cluster/go.mod pins no k8s.io/kubernetes")
    return match.group(1)


def _assets() -> dict[str, Path]:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return {}
    lacking = [name for name in ASSETS if not os.access(Path(folder) / name, os.X_OK)]
    if lacking:
        raise BuildError(
            f"KUBEBUILDER_ASSETS names {folder}, which has no {', '.join(lacking)};"
            " correct it, or unset it to use a build of our own"
        )
    return {name: Path(folder) / name for name in PACKAGES if (Path(folder) / name).exists()}
