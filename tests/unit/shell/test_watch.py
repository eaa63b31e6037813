"""How kopf is led to the API server, and what it may look at."""

from __future__ import annotations

import pytest

from together_operator.shell import watch


@pytest.mark.parametrize(
    ("host", "url"),
    [("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")],
)
def test_the_api_server_is_found_without_dns(host: str, url: str) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}

    assert watch.in_cluster_server(environment) == url


def test_all_namespaces_and_crds_are_looked_at_only_where_all_are_served() -> None:
    assert not watch.settings().scanning.disabled
    assert watch.settings(["team-a"]).scanning.disabled
