"""Which cluster and namespace a kubeconfig leads to, and what is said of one that leads nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner

from together_operator.commands.cluster import Where, connected
from together_operator.orphans_cli import orphans_command

if TYPE_CHECKING:
    from pathlib import Path

TWO = """
current-context: dev
contexts:
- {name: dev, context: {cluster: dev, user: u, namespace: of-dev}}
- {name: prod, context: {cluster: prod, user: u, namespace: of-prod}}
- {name: bare, context: {cluster: prod}}
clusters:
- {name: dev, cluster: {server: "http://127.0.0.1:1"}}
- {name: prod, cluster: {server: "http://127.0.0.1:2"}}
users:
- {name: u, user: {token: a-token}}
"""
NO_CURRENT = TWO.replace("current-context: dev\n", "")
NO_USERS = TWO.replace("http:", "https:").partition("users:")[0]
TOKEN_MISPLACED = TWO.replace("user: {token: a-token}", "token: a-token")


async def led_to(path: Path, context: str | None, namespace: str | None) -> tuple[str, str]:
    """Host and namespace."""
    async with connected(Where(str(path), context, namespace)) as cluster:
        return cluster.api.configuration.host, cluster.namespace


@pytest.mark.parametrize(
    ("content", "context", "option", "host", "namespace"),
    [
        pytest.param(TWO, None, None, 1, "of-dev", id="the current context"),
        pytest.param(TWO, "prod", None, 2, "of-prod", id="another context: its namespace"),
        pytest.param(NO_CURRENT, "prod", None, 2, "of-prod", id="no current context is needed"),
        pytest.param(TWO, "bare", None, 2, "default", id="a context without a namespace"),
        pytest.param(TWO, "prod", "mine", 2, "mine", id="the option wins"),
    ],
)
async def test_the_namespace_is_that_of_the_context_in_use(
    tmp_path: Path, content: str, context: str | None, option: str | None, host: int, namespace: str
) -> None:
    file = tmp_path / "config"
    file.write_text(content)

    assert await led_to(file, context, option) == (f"http://127.0.0.1:{host}", namespace)


BROKEN = [
    pytest.param(None, id="no file"),
    pytest.param("", id="an empty file"),
    pytest.param("a: [b", id="broken YAML"),
    pytest.param("- a", id="a list"),
    pytest.param("contexts: 5", id="a number"),
    pytest.param(NO_USERS, id="the context's user is not there"),
    pytest.param(NO_CURRENT, id="no context is chosen"),
    pytest.param(TOKEN_MISPLACED, id="a user without what identifies it"),
]


@pytest.mark.parametrize("content", BROKEN)
async def test_a_kubeconfig_that_is_none_is_named_in_one_line(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)

    with pytest.raises(click.ClickException) as caught:
        await led_to(file, None, None)

    assert caught.value.message.startswith(f"No cluster: kubeconfig {file}: ")
    assert "\n" not in caught.value.message
    assert "a-token" not in caught.value.message


def test_orphans_without_a_cluster_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: object, **__: object) -> str | None:
        raise OSError("no such file")

    monkeypatch.setattr("kubernetes.aio.config.load_kube_config", nowhere)
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    monkeypatch.setenv("TOGETHER_API_KEY", "a-key")

    done = CliRunner().invoke(orphans_command, [])

    assert done.exit_code == 1
    assert done.stderr == (
        "Error: Kubernetes can't be reached: kubeconfig /nowhere/config: no such file;"
        " set KUBECONFIG\n"
    )
