"""The commands that ask Together, on the simulator."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.simulators.hub import HubSimulator
from tests.support.simulators.together import TogetherSimulator
from together_operator.cli import cli
from together_operator.commands import plan as plan_module
from together_operator.commands.cluster import Cluster
from together_operator.reconcilers.custom_model import CustomModelReconciler

EXAMPLES = Path(__file__).parents[3] / "examples"
HUB_EXAMPLE = str(EXAMPLES / "custommodel-huggingface.yaml")
DEPLOYMENT_EXAMPLE = str(EXAMPLES / "modeldeployment.yaml")
SIGNED = {"secretKeyRef": {"name": "signed", "key": "url"}}


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


TOTAL, OF_NAMESPACES = (
    "TOGETHER_OPERATOR_MAX_HOURLY_COST",
    "TOGETHER_OPERATOR_NAMESPACE_MAX_HOURLY_COST",
)


def serving(name: str = "serving", **spec: Any) -> str:
    """The example's model, and a deployment of it."""
    deployment = manifest("ModelDeployment", name, modelRef={"name": "minilm"}, **spec)
    return f"{Path(HUB_EXAMPLE).read_text()}\n---\n{deployment}"


@pytest.mark.parametrize(
    ("ceilings", "replicas", "words"),
    [
        ({TOTAL: "0.50"}, 1, "the operator's ceiling allows $0.50"),
        ({OF_NAMESPACES: "default=2"}, 2, "the ceiling of namespace default allows $2.00"),
        ({OF_NAMESPACES: "other=0"}, 2, None),
        ({TOTAL: "1.49"}, 1, None),
    ],
)
def test_the_operators_ceilings_are_held_against_a_plan(
    ceilings: dict[str, str], replicas: int, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ceilings.items():
        monkeypatch.setenv(name, value)
    code, plan = planned("-f", "-", text=serving(replicas=replicas))
    _, deployment = plan["objects"]
    expected = (65, "OverBudget") if words else (0, "Ready")
    assert (code, deployment["reason"]) == expected
    assert (words or "") in deployment["message"]
    assert any("what other deployments use of the ceilings" in note for note in plan["notes"])


def test_one_ceiling_is_for_all_that_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOTAL, "2")
    _, plan = planned("-f", "-", text=f"{serving('a')}---\n{serving('b').split('---')[-1]}")
    reasons = [o["reason"] for o in plan["objects"]]
    assert reasons == ["Ready", "Ready", "OverBudget"]
    assert plan["dollarsPerHour"] == "1.49"


class Served(Cluster):
    """A cluster with another deployment, which costs 1 dollar an hour."""

    def __init__(self) -> None:
        super().__init__(None, "default")

    async def admitted(self, kind: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """As it is."""
        return dict(body)

    async def object(self, kind: str, namespace: str, name: str) -> None:
        """None of the planned ones is there."""

    async def objects(self, kind: str, namespace: str | None = None) -> list[Mapping[str, Any]]:
        """The other one."""
        meta = {"namespace": "other", "name": "served", "uid": "u"}
        status = {"cost": {"reservedPerHour": "1.00"}}
        return [{"kind": kind, "metadata": meta, "spec": {"model": "a/b"}, "status": status}]


@pytest.mark.parametrize(("namespaces", "reason"), [("", "OverBudget"), ("default", "Ready")])
def test_what_the_clusters_deployments_reserve_is_taken(
    namespaces: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def connected(_: object) -> AsyncIterator[Cluster]:
        yield Served()

    monkeypatch.setattr(plan_module, "connected", connected)
    monkeypatch.setenv("TOGETHER_OPERATOR_CLUSTER_ID", "cluster")
    monkeypatch.setenv("TOGETHER_OPERATOR_NAMESPACES", namespaces)
    monkeypatch.setenv(TOTAL, "2")
    result = run("plan", "-o", "json", "-f", "-", text=serving())
    plan = json.loads(result.stdout)
    assert (plan["objects"][1]["reason"], plan["notes"]) == (reason, [])


def test_a_plan_tells_the_most_that_autoscaling_may_cost() -> None:
    _, plan = planned("-f", "-", text=serving(autoscaling={"maxReplicas": 8}))
    deployment = plan["objects"][1]
    assert (deployment["dollarsPerHour"], deployment["maxDollarsPerHour"]) == ("1.49", "11.92")
    assert (plan["dollarsPerMonth"], plan["maxDollarsPerMonth"]) == ("1087.70", "8701.60")
    table = run("plan", "--offline", "-f", "-", text=serving(autoscaling={"maxReplicas": 8}))
    assert "$1.49 to $11.92 an hour" in table.stdout


def on(day: datetime) -> dict[str, Any]:
    """A schedule that is open on one day of the week."""
    line = f"0 0 * * {day:%a}".upper()
    return {"windows": [{"start": line, "stop": f"0 0 * * {day + timedelta(days=1):%a}".upper()}]}


@pytest.mark.parametrize("days", [0, 3])
def test_a_schedule_is_priced_by_its_open_hours(days: int) -> None:
    schedule = on(datetime.now(UTC) + timedelta(days=days))
    code, plan = planned("-f", "-", text=serving(replicas=2, schedule=schedule))
    deployment = plan["objects"][1]
    assert (code, deployment["dollarsPerHour"]) == (0, "2.98")
    assert ("opens" in deployment) == (days > 0)
    # Of 730 hours every seventh day: four or five of them, the first one perhaps in part.
    assert 72 <= deployment["hoursPerMonth"] <= 120
    month = deployment["hoursPerMonth"] * 2.98
    assert float(plan["dollarsPerMonth"]) == pytest.approx(month, abs=0.1)
    if days:
        actions = [step["action"] for step in deployment["opens"]["steps"]]
        assert actions == ["create endpoint", "deploy", "route traffic"]
        assert [step["action"] for step in deployment["steps"]] == ["create endpoint"]


def test_what_can_not_start_when_its_window_opens_is_told_now() -> None:
    schedule = on(datetime.now(UTC) + timedelta(days=3))
    code, plan = planned("-f", "-", text=serving(schedule=schedule, maxHourlyCost="1"))
    deployment = plan["objects"][1]
    assert (code, deployment["ends"], deployment["opens"]["reason"]) == (65, "Ready", "OverBudget")


def test_a_lifetime_is_priced_as_long_as_it_is() -> None:
    _, plan = planned("-f", "-", text=serving(ttl={"seconds": 7200}))
    assert plan["objects"][1]["hoursPerMonth"] == pytest.approx(2, abs=0.01)
    assert float(plan["dollarsPerMonth"]) == pytest.approx(2.98, abs=0.02)


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
        (manifest("CustomModel", "", source={"presignedURL": SIGNED}), "metadata.name: write"),
        (
            manifest("CustomModel", "m", source={}),
            "default/m: spec.source: source must",
        ),
        (
            manifest("ModelDeployment", "d", replicas=1),
            "default/d: spec: give exactly one",
        ),
        (
            manifest("ModelDeployment", "d", modelRef={"name": "m"}, replica=5),
            "default/d: spec.replica: there is no such field; did you mean replicas?",
        ),
        (
            manifest("ModelDeployment", "d", modelRef={"name": "m"}, maxHourlyCost="1,5"),
            "ModelDeployment default/d: spec.maxHourlyCost: must be dollars as decimal text",
        ),
        ("apiVersion: together.ai/v1alpha1\nmetadata: []", "metadata: write a map"),
        ("kind: Secret\nmetadata: {name: s}\ndata: [a]", "Secret: data: write a map"),
    ],
)
def test_a_bad_manifest_is_named(text: str, words: str) -> None:
    result = run("plan", "--offline", "-f", "-", text=text)
    assert isinstance(result.exception, SystemExit), "no traceback"
    assert result.exit_code != 0
    assert words in result.output


def test_without_a_cluster_a_plan_says_what_was_not_checked() -> None:
    _, plan = planned("-f", HUB_EXAMPLE)
    [note] = plan["notes"]
    assert note.startswith("not checked against all of the CRD's rules")
    assert "CustomModel default/minilm" in note


def test_a_bug_ends_a_plan_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def reconcile(*_: object) -> None:
        raise AssertionError("secret")

    monkeypatch.setattr(CustomModelReconciler, "__call__", reconcile)
    result = run("plan", "--offline", "-f", HUB_EXAMPLE)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("Error: CustomModel default/minilm can't be planned (AssertionError)")
    assert "secret" not in line


def test_words_in_brackets_are_printed() -> None:
    text = manifest(
        "CustomModel",
        "odd",
        baseModel="nobody/nothing",
        source={"s3": {"uri": "s3://bucket/[prod]/[/v1].zip"}},
    )
    result = run("plan", "--offline", "-f", "-", text=text)
    assert isinstance(result.exception, SystemExit)
    assert "[/v1].zip" in result.stdout


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
