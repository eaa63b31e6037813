"""How much of the time that comes something runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.rehearsal.hours import DAY, MONTH, running_hours

NOON = datetime(2026, 11, 27, 12, 0, 30, tzinfo=UTC)
"""A Friday."""
OFFICE = {"windows": [{"start": "0 8 * * MON-FRI", "stop": "0 18 * * MON-FRI"}]}


@pytest.mark.parametrize(
    ("spec", "hours", "ran"),
    [
        pytest.param({}, MONTH, MONTH, id="always"),
        pytest.param({"schedule": OFFICE}, DAY, 6 - 30 / 3600, id="until the evening"),
        pytest.param({"schedule": OFFICE}, 3 * DAY, 6 + 4, id="from Monday morning on"),
        pytest.param({"schedule": OFFICE, "replicas": 0}, DAY, DAY, id="no replicas, no change"),
        pytest.param({"ttl": {"seconds": 7200}}, MONTH, 2, id="its lifetime"),
        pytest.param(
            {"ttl": {"seconds": 86400, "action": "Delete"}, "schedule": OFFICE},
            MONTH,
            6 - 30 / 3600,
            id="a lifetime that ends while it is closed",
        ),
    ],
)
def test_running_hours(spec: dict[str, Any], hours: float, ran: float) -> None:
    meta = {"namespace": "team", "name": "d", "creationTimestamp": "2026-11-27T12:00:30Z"}
    body = {"kind": "ModelDeployment", "metadata": meta, "spec": {"model": "acme/chat", **spec}}

    md = ModelDeployment.model_validate(body)

    assert running_hours(md, NOON, hours) == pytest.approx(ran, abs=0.01)
