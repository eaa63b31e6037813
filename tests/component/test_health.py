"""Metrics are served whole, or those that are asked for."""

from __future__ import annotations

import aiohttp
import pytest

from together_operator.shell.health import HealthServer
from together_operator.telemetry import Metrics

ONE, OTHER = "together_operator_reconciles_total", "together_operator_leader"


@pytest.mark.parametrize(
    ("query", "there", "not_there"),
    [
        pytest.param("", {ONE, OTHER}, set[str](), id="all"),
        pytest.param(f"name[]={ONE}", {ONE}, {OTHER}, id="one"),
        pytest.param(f"name[]={ONE}&name[]={OTHER}", {ONE, OTHER}, set[str](), id="both"),
        pytest.param("name[]=unknown", set[str](), {ONE, OTHER}, id="none"),
    ],
)
async def test_metrics(query: str, there: set[str], not_there: set[str]) -> None:
    metrics = Metrics()
    metrics.reconciled("custommodels", "done", 0.1, 0.1)
    metrics.leader.set(1)
    refreshed: list[bool] = []
    server = HealthServer(metrics, lambda: None, lambda: None, lambda: refreshed.append(True))
    await server.start(0)
    try:
        url = f"http://127.0.0.1:{server.port}/metrics?{query}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            text = await response.text()
    finally:
        await server.stop()

    assert refreshed == [True]
    names = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()}
    assert there <= names
    assert not names & not_there
