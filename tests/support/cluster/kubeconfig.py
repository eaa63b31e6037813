"""Kubeconfig files for the users of a throw-away cluster."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_kubeconfig(
    path: Path, *, name: str, cluster: dict[str, str], user: dict[str, str]
) -> Path:
    """Write a kubeconfig (as JSON, which is YAML) with one context, for its owner only.

    :param cluster: the fields of the kubeconfig's ``cluster``, such as ``{"server": …}``.
    :param user: the fields of its ``user``, such as ``{"token": …}``.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=2))
    return path
