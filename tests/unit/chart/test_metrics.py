"""Alerts and dashboard of the chart ask only for metrics that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from together_operator.telemetry import Metrics

FILES = Path(__file__).parents[3] / "charts/together-operator/files"


def expressions() -> list[str]:
    """Every expression of both files."""
    alerts = yaml.safe_load((FILES / "alerts.yaml").read_text())
    dashboard = json.loads((FILES / "dashboard.json").read_text())
    return [
        *(rule["expr"] for group in alerts["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_exists(expression: str) -> None:
    asked = set(re.findall(r"together_operator_\w+", expression))
    samples = {
        name
        for family in Metrics().registry.collect()
        for name in (
            family.name,
            *(f"{family.name}_{suffix}" for suffix in ("total", "bucket", "count", "sum")),
        )
    }

    assert asked
    assert asked <= samples
