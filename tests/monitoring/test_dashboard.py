"""Each panel of the dashboard has data in a real Prometheus that scrapes a real operator."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.monitoring.scene import expressions, panels, scene
from tests.support.environment import until
from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scene(tmp_path_factory.mktemp("monitoring")) as found:
        time.sleep(6)  # for two points of what is compared every five seconds
        yield found


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_panel_has_data(prometheus: Prometheus, panel: dict[str, object]) -> None:
    for expression in expressions(panel):
        until(partial(_has_data, prometheus, expression), 20, f"{expression} has data")


def test_what_was_left_behind_is_shown(prometheus: Prometheus) -> None:
    until(
        lambda: any(
            float(s["value"][1]) > 0 for s in prometheus.query("together_operator_orphans")
        ),
        20,
        "the endpoint without an object is counted",
    )


def _has_data(prometheus: Prometheus, expression: str) -> bool:
    return bool(prometheus.query(expression))
