"""Metrics can be read at any time, whatever has been told already."""

from prometheus_client import generate_latest

from together_operator.engine.store import Key
from together_operator.telemetry import Metrics

MINE = Key("team", "llama")


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name, {"namespace": "team", "name": "llama"})


def test_costs_are_told_before_anything_was_compared() -> None:
    metrics = Metrics()
    metrics.spent({MINE: (149.0, 12.0)})
    assert value(metrics, "together_operator_hourly_cost_dollars") == 1.49
    assert value(metrics, "together_operator_cost_dollars_total") == 0.12


def test_costs_of_an_object_that_is_gone_are_told_no_more() -> None:
    metrics = Metrics()
    metrics.spent({MINE: (149.0, 12.0)})
    metrics.spent({})
    assert value(metrics, "together_operator_hourly_cost_dollars") is None
    assert value(metrics, "together_operator_cost_dollars_total") is None


def test_comparing_again_and_again_replaces_what_was_found() -> None:
    metrics = Metrics()
    metrics.compared({"model": 2})
    metrics.compared({"model": 0})
    found = metrics.registry.get_sample_value("together_operator_orphans", {"what": "model"})
    assert found == 0
    assert b"together_operator_last_comparison_timestamp_seconds" in generate_latest(
        metrics.registry
    )
