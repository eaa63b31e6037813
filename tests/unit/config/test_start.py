"""What keeps the operator from starting is one line, and no traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from together_operator.config import Config, ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


def refused(**variables: str) -> str:
    """What `together-operator run` says when it doesn't start."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "together_operator", "run"],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("content", [None, "apiVersion: [", "kind: Config"])
def test_a_cluster_that_nothing_names(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)

    said = refused(KUBECONFIG=str(file), HOME=str(tmp_path))

    assert said.startswith("Error: Kubernetes can't be reached: ")
    assert said.endswith("; set KUBECONFIG")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],"
        " users: [{name: u, user: {}}], clusters: [{name: c, cluster: {server: 'http://[::1]:1'}}]}"
    )
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
        port = str(taken.getsockname()[1])
        said = refused(KUBECONFIG=str(file), TOGETHER_OPERATOR_HTTP_PORT=port)

    assert said == (
        f"Error: TOGETHER_OPERATOR_HTTP_PORT={port} can't be listened on: Address already in use"
    )


@pytest.mark.parametrize("name", ["team-*", "!other", "Team", "a/b", "-a", "a" * 64])
def test_namespaces_are_names(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("TOGETHER_OPERATOR_NAMESPACES", f"team-a, {name}")

    with pytest.raises(
        ConfigError, match=r"TOGETHER_OPERATOR_NAMESPACES: .*no name of a namespace"
    ):
        load()


def test_names_of_namespaces_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_OPERATOR_NAMESPACES", "team-a, 1b,c")

    assert load().namespaces == ("team-a", "1b", "c")


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize(
    "name", [name for name, field in Config.model_fields.items() if field.annotation is float]
)
def test_times_are_finite(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    variable = f"TOGETHER_OPERATOR_{name.upper()}"
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match=variable):
        load()
