"""What a pod's processes get, and what is told of their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.cluster.workspace import (
    Workspace,
    alive,
    container,
    eventually,
    job,
    pod,
    secret,
    terminated,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration


def test_a_job_completes(workspace: Workspace) -> None:
    workspace.apply(job("greeting", container("echo hello")))

    workspace.kubectl("wait", "--for=condition=Complete", "job/greeting", "--timeout=30s")

    assert workspace.kubectl("logs", "job/greeting") == "hello\n"


def test_a_container_without_a_command_runs_the_entry_point(workspace: Workspace) -> None:
    main = {"name": "main", "image": "any", "args": ["--version"]}

    ended = workspace.run_pod(pod("entry", main))

    assert terminated(ended)["exitCode"] == 0
    assert "together-operator" in workspace.kubectl("logs", "entry")


def test_the_environment_comes_from_everywhere_a_pod_can_take_it_from(workspace: Workspace) -> None:
    workspace.kubectl("create", "configmap", "settings", "--from-literal=COLOUR=blue")
    workspace.apply(secret("keys", TOKEN="t0ps3cret", OTHER="x"))
    variables = [
        {"name": "PLAIN", "value": "p"},
        {"name": "DERIVED", "value": "$(PLAIN)-$(PREFIX_TOKEN)-$(UNKNOWN)-$$(PLAIN)"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "TOKEN"}}},
        {
            "name": "ABSENT",
            "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}},
        },
        {"name": "HUE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "COLOUR"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    sources = [{"secretRef": {"name": "keys"}, "prefix": "PREFIX_"}]
    main = container(
        "for name in PLAIN DERIVED KEY ABSENT HUE POD CPUS PREFIX_OTHER;"
        ' do eval echo "$name=\\${$name-unset}"; done',
        env=variables,
        envFrom=sources,
        resources={"limits": {"cpu": "1500m"}},
    )

    workspace.run_pod(pod("env", main))

    assert workspace.kubectl("logs", "env").splitlines() == [
        "PLAIN=p",
        "DERIVED=p-t0ps3cret-$(UNKNOWN)-$(PLAIN)",
        "KEY=t0ps3cret",
        "ABSENT=unset",
        "HUE=blue",
        "POD=env",
        "CPUS=2",
        "PREFIX_OTHER=x",
    ]


def test_nothing_of_the_callers_environment_leaks_into_a_pod(workspace: Workspace) -> None:
    workspace.run_pod(pod("clean", container("env")))

    names = {line.partition("=")[0] for line in workspace.kubectl("logs", "clean").splitlines()}
    assert not {name for name in names if name.startswith(("AWS_", "PYTEST", "UV_", "PIP_"))}
    assert "KUBECONFIG" not in names


def test_a_pod_waits_for_a_secret_that_appears_later(workspace: Workspace) -> None:
    reference = {"secretKeyRef": {"name": "late", "key": "TOKEN"}}
    workspace.apply(
        pod("patient", container("echo $TOKEN", env=[{"name": "TOKEN", "valueFrom": reference}]))
    )

    waiting = workspace.until(
        "patient",
        lambda found: (
            "message"
            in found["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {})
        ),
    )
    state = waiting["status"]["containerStatuses"][0]["state"]["waiting"]
    assert state == {"reason": "CreateContainerConfigError", "message": 'secret "late" not found'}

    workspace.apply(secret("late", TOKEN="here"))
    workspace.wait_for_end("patient")
    assert workspace.kubectl("logs", "patient") == "here\n"


def test_a_failure_tells_exit_code_and_termination_message(workspace: Workspace) -> None:
    main = container('echo "wrong input" > /dev/termination-log; exit 65')

    ended = workspace.run_pod(pod("failing", main))

    assert ended["status"]["phase"] == "Failed"
    end = terminated(ended)
    assert (end["exitCode"], end["reason"], end["message"]) == (65, "Error", "wrong input\n")
    assert end["startedAt"] <= end["finishedAt"]


def test_the_path_for_the_termination_message_is_in_the_environment(workspace: Workspace) -> None:
    ended = workspace.run_pod(pod("path", container('echo done > "$TERMINATION_MESSAGE_PATH"')))

    assert terminated(ended)["message"] == "done\n"


def test_the_log_stands_in_for_a_message_that_is_not_there(workspace: Workspace) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}

    ended = workspace.run_pod(pod("talk", container("echo one; echo two; exit 1", **policy)))

    assert terminated(ended)["message"] == "one\ntwo\n"


def test_a_signal_counts_as_128_and_its_number(workspace: Workspace) -> None:
    ended = workspace.run_pod(pod("killed", container("kill -KILL $$$$")))

    assert terminated(ended)["exitCode"] == 137


def test_a_command_that_does_not_exist_is_said_so(workspace: Workspace) -> None:
    main = {"name": "main", "image": "any", "command": ["no-such-program"]}

    ended = workspace.run_pod(pod("typo", main))

    end = terminated(ended)
    assert (end["exitCode"], end["reason"]) == (128, "StartError")
    assert "no-such-program" in end["message"]


def test_a_pod_failure_policy_sees_the_exit_code(workspace: Workspace) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [65]}}
    workspace.apply(
        job(
            "hopeless",
            container("exit 65"),
            backoffLimit=5,
            podFailurePolicy={"rules": [rule]},
        )
    )

    workspace.kubectl("wait", "--for=condition=Failed", "job/hopeless", "--timeout=30s")

    conditions = workspace.get("job", "hopeless")["status"]["conditions"]
    assert {item["reason"] for item in conditions} == {"PodFailurePolicy"}
    assert len(workspace.pods_of("hopeless")) == 1


def test_on_failure_a_container_is_run_again(workspace: Workspace, tmp_path: Path) -> None:
    script = "echo attempt; test -e /data/been || { touch /data/been; exit 1; }"
    volume = {"name": "data", "hostPath": {"path": str(tmp_path)}}
    main = container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])

    ended = workspace.run_pod(pod("again", main, restartPolicy="OnFailure", volumes=[volume]))

    status = ended["status"]["containerStatuses"][0]
    assert ended["status"]["phase"] == "Succeeded"
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert workspace.kubectl("logs", "again", "--previous") == "attempt\n"


def test_init_containers_run_first_and_in_order(workspace: Workspace) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    first = container("sleep 0.2; echo first >> /shared/order", **mounts) | {"name": "first"}
    second = container("echo second >> /shared/order", **mounts) | {"name": "second"}
    shared = {"name": "shared", "emptyDir": {}}

    workspace.run_pod(
        pod(
            "ordered",
            container("cat /shared/order", **mounts),
            initContainers=[first, second],
            volumes=[shared],
        )
    )

    assert workspace.kubectl("logs", "ordered", "-c", "main") == "first\nsecond\n"


def test_a_failed_init_container_ends_the_pod(workspace: Workspace) -> None:
    first = container("exit 3") | {"name": "first"}

    ended = workspace.run_pod(pod("stuck", container("true"), initContainers=[first]))

    assert ended["status"]["phase"] == "Failed"
    assert ended["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert "waiting" in ended["status"]["containerStatuses"][0]["state"]


def test_the_end_of_a_container_ends_all_that_it_started(workspace: Workspace) -> None:
    script = "setsid sleep 300 & echo $!; sleep 0.1"

    workspace.run_pod(pod("parent", container(script)))

    pid = int(workspace.kubectl("logs", "parent"))
    eventually(lambda: not alive(pid))


def test_a_pod_with_a_field_that_is_not_done_is_refused(workspace: Workspace) -> None:
    probe = {"livenessProbe": {"exec": {"command": ["true"]}}}

    ended = workspace.run_pod(pod("probed", container("true", **probe)))

    assert ended["status"]["reason"] == "UnsupportedByProcessNode"
    assert "spec.containers[main].livenessProbe" in ended["status"]["message"]


def test_a_deadline_of_the_pod_ends_it(workspace: Workspace) -> None:
    ended = workspace.run_pod(pod("slow", container("exec sleep 300"), activeDeadlineSeconds=1))

    assert (ended["status"]["phase"], ended["status"]["reason"]) == ("Failed", "DeadlineExceeded")
