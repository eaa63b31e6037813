"""The commands for people, on a real API server with the operator at work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.operator.surroundings import CHAT, PRIVATE
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.environment import until
from tests.support.manifests import (
    custom_model,
    hugging_face,
    model_deployment,
    secret,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration
GOOD = hugging_face(CHAT)


def run(
    workspace: Workspace, *args: str, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """One command, as somebody who may do everything in the cluster."""
    given = workspace.operator.environment
    cluster = workspace.surroundings.cluster
    environment = {
        **{k: v for k, v in given.items() if k.startswith(("TOGETHER", "HF_", "AWS_"))},
        "PATH": os.environ["PATH"],
        "HOME": str(cluster.folder),
        "KUBECONFIG": str(cluster.kubeconfig()),
    }
    command = [sys.executable, "-m", "together_operator", *args, "-n", workspace.namespace]
    return subprocess.run(
        command,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def document(workspace: Workspace, *args: str, text: str | None = None) -> Any:
    """What a command says to programs."""
    result = run(workspace, *args, "-o", "json", text=text)
    assert result.stdout, result.stderr
    return json.loads(result.stdout)


def listed(*manifests: Object) -> str:
    """Manifests for stdin."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})


@dataclass(frozen=True)
class Broken:
    """A set-up that can't work, and the cause that has to come first."""

    name: str
    make: Callable[[Workspace], list[Object]]
    shows: str
    where: str
    reason: str
    words: str
    kind: str = MODEL


def _quota(workspace: Workspace) -> list[Object]:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-pods"},
        "spec": {"hard": {"pods": "0"}},
    }
    spec = workspace.from_prefix("shared/chat/")
    return [quota, workspace.s3_secret(), custom_model("quota", **spec)]


def _unfit(workspace: Workspace) -> list[Object]:
    workspace.upload(workspace.surroundings.folder / "chat.zip", f"{workspace.namespace}/x/a.zip")
    spec = workspace.from_prefix(f"{workspace.namespace}/x/")
    model = custom_model("unfit", **spec)
    return [workspace.s3_secret(), model, model_deployment("unfit-serving", "unfit")]


def _failing_import(workspace: Workspace) -> list[Object]:
    name = f"{workspace.namespace}-import"
    rule = {"model": name, "outcome": "failed", "message": "the disk is full", "count": None}
    workspace.simulators.behave(imports=[rule])
    return [custom_model("import", GOOD)]


BROKEN = [
    Broken(
        "secret",
        lambda _: [
            custom_model(
                "secret", hugging_face(PRIVATE, tokenSecretRef={"name": "none", "key": "t"})
            )
        ],
        "SecretMissing",
        "CustomModel {}/secret",
        "SecretMissing",
        "'none'",
    ),
    Broken(
        "repo",
        lambda _: [custom_model("repo", hugging_face("nobody/nothing"))],
        "SourceNotFound",
        "CustomModel {}/repo",
        "SourceNotFound",
        "nobody/nothing",
    ),
    Broken(
        "base",
        lambda _: [
            custom_model("base", GOOD, baseModel="nobody/base"),
            model_deployment("base-serving", "base"),
        ],
        "ModelFailed",
        "CustomModel {}/base",
        "BaseModelUnknown",
        "nobody/base",
        DEPLOYMENT,
    ),
    Broken(
        "lonely",
        lambda _: [model_deployment("lonely-serving", "lonely")],
        "ModelNotFound",
        "CustomModel {}/lonely",
        "NotThere",
        "no such object",
        DEPLOYMENT,
    ),
    Broken(
        "key",
        lambda _: [
            secret("wrong", TOGETHER_API_KEY="tgp_v1_nobody"),
            custom_model("key", GOOD, apiKeySecretRef={"name": "wrong"}),
        ],
        "Unauthorized",
        "CustomModel {}/key",
        "Unauthorized",
        "401",
    ),
    Broken(
        "hardware",
        lambda _: [
            custom_model("hardware", GOOD),
            model_deployment("hardware-serving", "hardware", hardware={"gpu": "nvidia-none"}),
        ],
        "NoConfig",
        "ModelDeployment {}/hardware-serving",
        "NoConfig",
        "nvidia-none",
        DEPLOYMENT,
    ),
    Broken(
        "suspended",
        lambda _: [
            custom_model("suspended", GOOD, suspend=True),
            model_deployment("suspended-serving", "suspended"),
        ],
        "WaitingForModel",
        "CustomModel {}/suspended",
        "Suspended",
        "spec.suspend",
        DEPLOYMENT,
    ),
    Broken(
        "quota",
        _quota,
        "Archiving",
        "Job {}/",
        "FailedCreate",
        "exceeded quota",
    ),
    Broken(
        "unfit",
        _unfit,
        "ModelFailed",
        "CustomModel {}/unfit",
        "SourceInvalid",
        "config.json",
        DEPLOYMENT,
    ),
    Broken(
        "import",
        _failing_import,
        "ImportFailed",
        "import job_",
        "FAILED",
        "the disk is full",
    ),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_why_names_the_true_cause_first(workspace: Workspace, broken: Broken) -> None:
    workspace.apply(*broken.make(workspace))
    name = broken.name if broken.kind == MODEL else f"{broken.name}-serving"
    workspace.shows(broken.kind, name, broken.shows)

    def first() -> dict[str, str]:
        found: dict[str, str] = document(workspace, "why", f"{broken.kind.lower()}/{name}")[0]
        return found

    # The last link may follow a moment after the condition (a pod's end, a Job's event).
    until(
        lambda: first()["reason"] == broken.reason,
        15,
        f"the first cause is {broken.reason}",
        lambda: str(document(workspace, "why", f"{broken.kind.lower()}/{name}")),
    )
    cause = first()
    assert cause["where"].startswith(broken.where.format(workspace.namespace)), cause
    assert broken.words in cause["message"], cause
    workspace.simulators.behave_well()


def test_status_cost_and_why_of_what_is_well(workspace: Workspace) -> None:
    manifests = [custom_model("fine", GOOD), model_deployment("fine", "fine", replicas=2)]
    workspace.apply(*manifests)
    workspace.all_ready(*manifests)
    lines = {line["kind"]: line for line in document(workspace, "status")}
    assert lines[MODEL]["status"] == lines[DEPLOYMENT]["status"] == "Ready"
    assert lines[DEPLOYMENT]["progress"] == "2/2"
    assert lines[DEPLOYMENT]["together"] == f"acme/{workspace.namespace}-fine"
    table = run(workspace, "status")
    assert "modeldeployment/fine" in table.stdout
    assert "\x1b[" not in table.stdout
    [cost] = document(workspace, "cost")
    hourly = float(lines[DEPLOYMENT]["dollarsPerHour"])
    assert hourly > 0
    assert (cost["replicas"], float(cost["hour"])) == (2, hourly)
    assert float(cost["day"]) == pytest.approx(24 * hourly)
    assert "total" in run(workspace, "cost", "--by", "namespace").stdout
    assert "is ready" in run(workspace, "why", "modeldeployment/fine").stdout


def test_why_says_that_there_is_no_such_object(workspace: Workspace) -> None:
    result = run(workspace, "why", "cmodel/nothing")
    assert result.returncode == 1
    assert f"There is no CustomModel {workspace.namespace}/nothing" in result.stderr


def test_a_plan_knows_what_is_there_and_creates_nothing(workspace: Workspace) -> None:
    model = custom_model("there", GOOD)
    workspace.apply(model)
    workspace.ready(MODEL, "there")
    before = len(workspace.simulators.audit())
    serving = model_deployment("new", "there")
    plan = document(workspace, "plan", "-f", "-", text=listed(model, serving))
    there, new = plan["objects"]
    assert (there["steps"], there["ends"]) == ([], "Ready")
    assert [step["action"] for step in new["steps"]] == [
        "create endpoint",
        "deploy",
        "route traffic",
    ]
    assert len(workspace.simulators.audit()) == before
    assert workspace.kubectl("get", "mdeploy", "new", "--ignore-not-found") == ""


def test_a_plan_has_the_api_servers_own_words_for_what_is_invalid(workspace: Workspace) -> None:
    both = {**GOOD, "s3": {"uri": "s3://bucket/m.zip"}}
    result = run(workspace, "plan", "-f", "-", text=listed(custom_model("both", both)))
    assert result.returncode == 1
    assert "source" in result.stderr
    assert "exactly one" in result.stderr
