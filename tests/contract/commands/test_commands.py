"""The commands that ask Together, on the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.simulators.hub import HubSimulator
from tests.support.simulators.together import TogetherSimulator
from together_operator.cli import cli

EXAMPLES = Path(__file__).parents[3] / "examples"
HUB_EXAMPLE = str(EXAMPLES / "custommodel-huggingface.yaml")
DEPLOYMENT_EXAMPLE = str(EXAMPLES / "modeldeployment.yaml")


@pytest.fixture(autouse=True)
def configured(
    together_sim: TogetherSimulator, hub_sim: HubSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator's environment, without a cluster."""
    monkeypatch.setenv("TOGETHER_API_KEY", together_sim.key)
    monkeypatch.setenv("TOGETHER_BASE_URL", together_sim.url)
    monkeypatch.setenv("HF_ENDPOINT", hub_sim.url)
    monkeypatch.delenv("KUBECONFIG", raising=False)


def run(*args: str, text: str | None = None) -> Result:
    """One command."""
    return CliRunner().invoke(cli, args, input=text)


def planned(*args: str, text: str | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `plan`."""
    result = run("plan", "--offline", "-o", "json", *args, text=text)
    assert result.stdout, (result.stderr, result.exception)
    return result.exit_code, json.loads(result.stdout)


def manifest(kind: str, name: str, **spec: Any) -> str:
    body = {"apiVersion": "together.ai/v1alpha1", "kind": kind, "metadata": {"name": name}}
    return yaml.safe_dump({**body, "spec": spec})


def test_a_plan_has_actions_and_dollars_and_creates_nothing(
    together_sim: TogetherSimulator,
) -> None:
    code, plan = planned("-f", HUB_EXAMPLE, "-f", DEPLOYMENT_EXAMPLE)
    assert code == 0
    model, deployment = plan["objects"]
    assert [step["action"] for step in model["steps"]] == ["create model", "import"]
    assert [step["action"] for step in deployment["steps"]] == [
        "create endpoint",
        "deploy",
        "route traffic",
    ]
    assert {model["ends"], deployment["ends"]} == {"Ready"}
    assert (
        deployment["steps"][1]["detail"] == "1 replica of 1xnvidia-l40s-48gb on acme/default-minilm"
    )
    assert deployment["dollarsPerHour"] == "1.49"
    assert plan["dollarsPerHour"] == "1.49"
    assert together_sim.audit() == []
    assert together_sim.state()["models"] == []


def test_a_plan_for_people_says_the_price_for_longer_too(together_sim: TogetherSimulator) -> None:
    result = run("plan", "--offline", "-f", HUB_EXAMPLE, "-f", DEPLOYMENT_EXAMPLE)
    assert result.exit_code == 0, result.output
    assert "create model" in result.stdout
    assert "acme/default-minilm" in result.stdout
    assert "$1.49 an hour by list price, $35.76 a day, $1088 in a month" in result.stdout
    assert "\x1b[" not in result.stdout, "no colours where there is no terminal"
    assert together_sim.audit() == []


def test_all_examples_can_be_planned_without_a_cluster(together_sim: TogetherSimulator) -> None:
    # Without the Secrets, whose values are for the reader to fill in.
    files = sorted(p for p in EXAMPLES.glob("*.yaml") if not p.name.startswith("secrets"))
    code, plan = planned(*(word for path in files for word in ("-f", str(path))))
    stalled = {o["name"]: o["reason"] for o in plan["objects"] if o["ends"] != "Ready"}
    # The canary's example refers to a CustomModel that the reader has.
    assert (code, stalled) == (65, {"support": "ModelNotFound"})
    steps = {o["name"]: [s["action"] for s in o["steps"]] for o in plan["objects"]}
    assert steps["minilm-s3"] == ["archive", "create model", "import"]
    assert together_sim.audit() == []


def test_a_plan_tells_what_would_stall_and_ends_with_65(together_sim: TogetherSimulator) -> None:
    text = manifest(
        "CustomModel",
        "odd",
        baseModel="nobody/nothing",
        source={"huggingFace": {"repo": "tiny/embedding"}},
    )
    code, plan = planned("-f", "-", text=text)
    [odd] = plan["objects"]
    assert (code, odd["ends"], odd["reason"]) == (65, "Stalled", "BaseModelUnknown")
    assert odd["steps"] == []


def test_a_taken_name_is_seen_before_anything_is_bought(together_sim: TogetherSimulator) -> None:
    together_sim.seed_models(["default-minilm"])
    code, plan = planned("-f", HUB_EXAMPLE, "-f", DEPLOYMENT_EXAMPLE)
    assert code == 65
    assert [o["reason"] for o in plan["objects"]] == ["NameTaken", "ModelFailed"]
    assert plan["dollarsPerHour"] == "0.00"


def test_secrets_of_the_manifests_are_used(together_sim: TogetherSimulator) -> None:
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
    secret = yaml.safe_dump({**key, "stringData": {"TOGETHER_API_KEY": "wrong"}})
    model = manifest(
        "CustomModel",
        "keyed",
        source={"huggingFace": {"repo": "tiny/embedding"}},
        apiKeySecretRef={"name": "key"},
    )
    code, plan = planned("-f", "-", text=f"{secret}---\n{model}")
    assert (code, plan["objects"][0]["reason"]) == (65, "Unauthorized")


def test_v1_is_planned_by_its_own_steps(
    together_sim: TogetherSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_OPERATOR_API_VERSION", "v1")
    code, plan = planned("-f", HUB_EXAMPLE, "-f", DEPLOYMENT_EXAMPLE)
    assert code == 0, json.dumps(plan, indent=1)
    assert [step["action"] for step in plan["objects"][0]["steps"]] == ["import"]
    assert float(plan["dollarsPerHour"]) == pytest.approx(1.49)
    assert together_sim.audit() == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: [", "stdin"),
        ("a: b", "no object of together.ai"),
        (manifest("CustomModel", "m"), "spec.source: Field required"),
        (manifest("CustomThing", "m"), "CustomThing is no kind of together.ai"),
    ],
)
def test_a_bad_manifest_is_named(text: str, words: str) -> None:
    result = run("plan", "--offline", "-f", "-", text=text)
    assert result.exit_code != 0
    assert words in result.output


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_OPERATOR_API_VERSION", "v3")
    result = run("plan", "--offline", "-f", HUB_EXAMPLE)
    assert result.exit_code == 1
    assert "TOGETHER_OPERATOR_API_VERSION" in result.output


def test_commands_are_listed_and_import_nothing_heavy_before_they_run() -> None:
    with click.Context(cli) as context:
        names = cli.list_commands(context)
    assert {"plan", "status", "why", "export", "cost", "completion"} <= set(names)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0, result.output
    assert "_TOGETHER_OPERATOR_COMPLETE" in result.stdout
