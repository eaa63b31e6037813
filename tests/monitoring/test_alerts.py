"""The alert rules, by Prometheus' own unit tests of rules."""

import subprocess
from pathlib import Path

import yaml

from tests.support.prometheus import program

CHART = Path(__file__).parents[2] / "charts" / "together-operator"
RULES, CASES = CHART / "files" / "alerts.yaml", CHART / "tests" / "alerts.promtool.yaml"


def test_promtool_finds_the_rules_right() -> None:
    result = subprocess.run(
        [program("promtool"), "test", "rules", CASES], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


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
