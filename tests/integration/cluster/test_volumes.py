"""Volumes, and the mount paths that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.cluster.workspace import Workspace, container, pod, secret

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_a_claim_on_a_host_path_is_readable(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    workspace.cluster.create_claim(workspace.namespace, "weights", tmp_path)
    claim = {"name": "weights", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}
    mount = {"name": "weights", "mountPath": "/source", "subPath": "model", "readOnly": True}

    workspace.run_pod(
        pod("reader", container("cat /source/config.json", volumeMounts=[mount]), volumes=[claim])
    )

    assert workspace.kubectl("logs", "reader") == "{}\n"


def test_secrets_and_config_maps_as_files(workspace: Workspace) -> None:
    workspace.apply(secret("keys", token="t0ps3cret"))
    workspace.kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    volumes = [
        {
            "name": "keys",
            "secret": {
                "secretName": "keys",
                "defaultMode": 0o400,
                "items": [{"key": "token", "path": "deep/token"}],
            },
        },
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "absent", "secret": {"secretName": "no", "optional": True}},
    ]
    mounts = [
        {"name": "keys", "mountPath": "/etc/keys"},
        {"name": "settings", "mountPath": "/etc/settings"},
        {"name": "absent", "mountPath": "/etc/absent"},
    ]
    script = (
        "cat /etc/keys/deep/token; echo; stat -c %a /etc/keys/deep/token;"
        " cat /etc/settings/colour; echo; ls /etc/absent"
    )

    workspace.run_pod(pod("files", container(script, volumeMounts=mounts), volumes=volumes))

    assert workspace.kubectl("logs", "files").splitlines() == ["t0ps3cret", "400", "blue"]


def test_a_service_account_token_is_accepted_by_the_api_server(workspace: Workspace) -> None:
    script = "cat /var/run/secrets/kubernetes.io/serviceaccount/token"

    workspace.run_pod(pod("identity", container(script)))

    token = workspace.kubectl("logs", "identity").strip()
    who = workspace.kubectl("auth", "whoami", f"--token={token}", user="operator")
    assert f"system:serviceaccount:{workspace.namespace}:default" in who


def test_a_volume_at_tmp_is_where_temporary_files_go(workspace: Workspace) -> None:
    volume, mount = {"name": "tmp", "emptyDir": {}}, {"name": "tmp", "mountPath": "/tmp"}
    script = 'touch "$TMPDIR/here"; ls /tmp'

    workspace.run_pod(pod("tmp", container(script, volumeMounts=[mount]), volumes=[volume]))

    assert workspace.kubectl("logs", "tmp") == "here\n"
