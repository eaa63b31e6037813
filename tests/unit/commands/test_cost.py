"""Adding up list prices."""

from typing import Any

import pytest
from click.testing import CliRunner

from tests.unit.commands.clusters import seen_in
from together_operator.commands.cost import cost_command, costs


def deployment(namespace: str, name: str, replicas: int, per_hour: str | None) -> dict[str, Any]:
    cost = {"cost": {"perHour": per_hour}} if per_hour is not None else {}
    return {
        "metadata": {"namespace": namespace, "name": name},
        "status": {"replicas": replicas, **cost},
    }


BODIES = [
    deployment("a", "small", 1, "1.49"),
    deployment("a", "large", 2, "7.98"),
    deployment("b", "unknown", 1, None),
    deployment("b", "stopped", 0, None),
]


def test_each_object_has_its_hour_day_and_month_the_dearest_first() -> None:
    lines = costs(BODIES, "object")
    assert [line["name"] for line in lines][:2] == [
        "modeldeployment/large",
        "modeldeployment/small",
    ]
    assert (lines[0]["hour"], lines[0]["day"], lines[0]["month"]) == ("7.98", "191.52", "5825.40")


def test_namespaces_are_added_up_and_what_has_no_price_is_counted() -> None:
    first, second = costs(BODIES, "namespace")
    assert (first["namespace"], first["replicas"], first["hour"]) == ("a", 3, "9.47")
    assert (second["namespace"], second["hour"], second["unpriced"]) == ("b", "0.00", 1)


def test_a_forged_price_is_no_price() -> None:
    [line] = costs([deployment("a", "forged", 1, "much")], "object")
    assert (line["hour"], line["unpriced"]) == ("0.00", 1)


@pytest.mark.parametrize("by", ["object", "namespace"])
def test_a_price_that_is_not_known_is_no_zero(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_in("context", monkeypatch, BODIES)

    result = CliRunner().invoke(cost_command, ["-A", "--by", by])

    rows = [line.split() for line in result.stdout.splitlines()]
    (unknown,) = (row for row in rows if "unknown" in row)
    assert unknown[0] == "b"
    assert unknown[-3:] == ["unknown"] * 3
    assert rows[-1][:3] == ["total", "4", "9.47"]
    assert "1 deployment has no known price" in result.stderr
