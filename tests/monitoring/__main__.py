"""`python -m tests.monitoring`: draws docs/dashboard.svg from a Prometheus and an operator."""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.monitoring.drawing import Chart, draw
from tests.monitoring.scene import expressions, panels, scene
from tests.support.prometheus import Prometheus

PICTURE = Path(__file__).parents[2] / "docs" / "dashboard.svg"
SECONDS = 60.0
"""How long the scene is watched after everything has become ready."""


def main() -> None:
    """Run the scene and draw every panel."""
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="together-monitoring-") as folder,
        scene(Path(folder)) as prometheus,
    ):
        time.sleep(SECONDS)
        seconds = time.monotonic() - begun
        PICTURE.write_text(draw([_chart(prometheus, panel, seconds) for panel in panels()]))
    print(PICTURE)


def _chart(prometheus: Prometheus, panel: dict[str, Any], seconds: float) -> Chart:
    unit = panel["fieldConfig"]["defaults"].get("unit", "short")
    series = []
    for target, expression in zip(panel["targets"], expressions(panel), strict=True):
        for found in prometheus.range(expression, seconds, 1.0):
            points = [(float(t), float(v)) for t, v in found["values"] if v != "NaN"]
            if points:
                series.append((_name(target.get("legendFormat", ""), found["metric"]), points))
    return Chart(panel["title"], unit, series, panel["type"] == "stat")


def _name(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda m: labels.get(m[1], ""), pattern)


if __name__ == "__main__":
    main()
