"""The alert rules, by Prometheus' own unit tests of rules."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.chart.generate import rendered
from tests.support.prometheus import program

CHART = Path(__file__).parents[2] / "charts" / "together-operator"
RULES, CASES = CHART / "files" / "alerts.yaml", CHART / "tests" / "alerts.promtool.yaml"


def test_promtool_finds_the_rules_right() -> None:
    result = subprocess.run(
        [program("promtool"), "test", "rules", CASES], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


MONITORS = {
    "serviceMonitor": ("a-together-operator", "b-together-operator"),
    "podMonitor": (
        "together-operator/a-together-operator",
        "together-operator/b-together-operator",
    ),
}
"""The jobs of two releases, as the Prometheus operator names them."""


@pytest.mark.parametrize(("monitor", "jobs"), MONITORS.items())
def test_of_two_releases_each_alerts_of_itself(
    tmp_path: Path, monitor: str, jobs: tuple[str, str]
) -> None:
    for release in "ab":
        _write_rules(tmp_path / f"{release}.yaml", release, monitor)
    working, silent = ({"namespace": "together-operator", "job": job} for job in jobs)
    series = {"series": f"together_operator_leader{_selector(working)}", "values": "1x20"}
    annotations = _rules(tmp_path / "b.yaml")[0]["annotations"]
    expected = {"exp_labels": {**silent, "severity": "critical"}, "exp_annotations": annotations}
    down = {"eval_time": "10m", "alertname": "TogetherOperatorDown", "exp_alerts": [expected]}
    case = {"interval": "1m", "input_series": [series], "alert_rule_test": [down]}
    cases = tmp_path / "cases.yaml"
    cases.write_text(yaml.safe_dump({"rule_files": ["a.yaml", "b.yaml"], "tests": [case]}))

    result = subprocess.run(
        [program("promtool"), "test", "rules", cases], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr


def _write_rules(path: Path, release: str, monitor: str) -> None:
    values = path.with_suffix(".values.yaml")
    metrics = {monitor: {"enabled": True}, "prometheusRule": {"enabled": True}}
    values.write_text(yaml.safe_dump({"metrics": metrics}))
    [rule] = (
        body
        for body in yaml.safe_load_all(rendered(str(values), release=release))
        if body and body["kind"] == "PrometheusRule"
    )
    path.write_text(yaml.safe_dump(rule["spec"]))


def _rules(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["groups"][0]["rules"]
    return found


def _selector(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


def test_each_alert_fires_in_a_case() -> None:
    rules = {
        rule["alert"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }
    fired = {
        case["alertname"]
        for test in yaml.safe_load(CASES.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert fired == rules


def test_each_alert_has_a_section_that_says_what_to_do() -> None:
    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    sections = {line.removeprefix("## ") for line in page.splitlines() if line.startswith("## ")}
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert sections == {rule["alert"] for rule in rules}
