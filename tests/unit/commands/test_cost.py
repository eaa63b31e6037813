"""Adding up list prices."""

from typing import Any

from together_operator.commands.cost import costs


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
