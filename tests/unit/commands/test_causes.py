"""The chain of causes: on each broken set-up, the true cause comes first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from together_operator.commands.causes import Seen, causes

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Body = dict[str, Any]
LEASE: Body = {
    "kind": "Lease",
    "metadata": {"namespace": "system", "name": "together-operator"},
    "spec": {"holderIdentity": "pod-1", "renewTime": (NOW - timedelta(seconds=5)).isoformat()},
}


def condition(type_: str, status: str, reason: str = "", message: str = "") -> Body:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def thing(kind: str, name: str, reason: str, message: str = "", **status: Any) -> Body:
    """An object of ours whose Ready condition says `reason`."""
    ready = condition("Ready", "True" if reason == "Ready" else "False", reason, message)
    return {
        "kind": kind,
        "metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": {"modelRef": {"name": "model"}} if kind == "ModelDeployment" else {},
        "status": {"observedGeneration": 1, "conditions": [ready], **status},
    }


def model(reason: str, message: str = "", **status: Any) -> Body:
    return thing("CustomModel", "model", reason, message, **status)


def serving(reason: str, message: str = "", **status: Any) -> Body:
    return thing("ModelDeployment", "serving", reason, message, **status)


JOB: Body = {
    "kind": "Job",
    "metadata": {"namespace": "team", "name": "pack", "uid": "uid-job"},
    "status": {},
}


def pod(**status: Any) -> Body:
    """The Job's pod."""
    owner = {"uid": "uid-job", "controller": True}
    meta = {"namespace": "team", "name": "pack-x", "uid": "uid-pod", "ownerReferences": [owner]}
    return {"kind": "Pod", "metadata": meta, "status": status}


def waiting(reason: str, message: str) -> Body:
    return pod(containerStatuses=[{"state": {"waiting": {"reason": reason, "message": message}}}])


def ended(code: int, message: str, reason: str = "Error") -> Body:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
    return pod(containerStatuses=[{"state": state}])


def event(uid: str, reason: str, message: str) -> Body:
    return {
        "involvedObject": {"uid": uid},
        "type": "Warning",
        "reason": reason,
        "message": message,
    }


def look(subject: Body, **facts: Any) -> Seen:
    return Seen(subject=subject, now=NOW, lease=LEASE, **facts)


ARCHIVING = model("Archiving", "Job pack packs the source")


@pytest.mark.parametrize(
    ("seen", "where", "reason", "words"),
    [
        pytest.param(
            look(model("SecretMissing", "Secret 'hub', key 'token': the Secret has no such key")),
            "CustomModel team/model",
            "SecretMissing",
            "has no such key",
            id="a Secret is missing",
        ),
        pytest.param(
            look(serving("WaitingForModel"), model=model("BaseModelUnknown", "not in the catalog")),
            "CustomModel team/model",
            "BaseModelUnknown",
            "not in the catalog",
            id="a deployment waits for a model without a base",
        ),
        pytest.param(
            look(serving("ModelNotFound", "There is no CustomModel model")),
            "CustomModel team/model",
            "NotThere",
            "no such object",
            id="a deployment of no model",
        ),
        pytest.param(
            look(
                serving("WaitingForModel"),
                model=ARCHIVING,
                jobs=[JOB],
                pods=[waiting("ImagePullBackOff", "Back-off pulling image operator:nope")],
            ),
            "Pod team/pack-x",
            "ImagePullBackOff",
            "operator:nope",
            id="the Job's image can't be pulled",
        ),
        pytest.param(
            look(
                ARCHIVING,
                jobs=[JOB],
                pods=[
                    pod(
                        conditions=[
                            condition(
                                "PodScheduled", "False", "Unschedulable", "0/3 nodes are available"
                            )
                        ]
                    )
                ],
            ),
            "Pod team/pack-x",
            "Unschedulable",
            "0/3 nodes",
            id="no node fits",
        ),
        pytest.param(
            look(
                ARCHIVING,
                jobs=[JOB],
                events=[event("uid-job", "FailedCreate", "exceeded quota: pods=0")],
            ),
            "Job team/pack",
            "FailedCreate",
            "exceeded quota",
            id="a quota keeps the pod away",
        ),
        pytest.param(
            look(
                model("ArchiveFailed", "the source can't be packed"),
                jobs=[JOB],
                pods=[ended(65, "progress\nerror: config.json is missing")],
            ),
            "Pod team/pack-x",
            "Error, exit code 65",
            "config.json is missing",
            id="the source can't be packed",
        ),
        pytest.param(
            look(
                model("ArchiveRetrying", "Attempt 1 failed"),
                jobs=[JOB],
                pods=[ended(137, "", "OOMKilled")],
            ),
            "Pod team/pack-x",
            "OOMKilled, exit code 137",
            "",
            id="the worker ran out of memory",
        ),
        pytest.param(
            look(
                serving("ModelFailed"),
                model=model(
                    "ImportFailed",
                    "All 3 attempts failed",
                    **{"import": {"state": "FAILED", "jobID": "job_1", "message": "403 from S3"}},
                ),
            ),
            "import job_1 at Together",
            "FAILED",
            "403 from S3",
            id="the import failed",
        ),
        pytest.param(
            look(
                serving(
                    "Provisioning",
                    "0 of 1 replicas are ready",
                    deployment={
                        "name": "d",
                        "state": "PROVISIONING",
                        "message": "Cannot place replicas: no capacity",
                    },
                )
            ),
            "deployment d at Together",
            "PROVISIONING",
            "no capacity",
            id="Together has no capacity",
        ),
        pytest.param(
            look(model("InUse", "Used by serving"), users=[serving("Ready", "answers")]),
            "ModelDeployment team/serving",
            "InUse",
            "answers",
            id="a model that goes is in use",
        ),
        pytest.param(
            replace(look(serving("WaitingForModel"), model=model("Registering")), lease=None),
            "operator",
            "NotFound",
            "app.kubernetes.io/name=together-operator, and none called together-operator",
            id="there is no Lease",
        ),
        pytest.param(
            replace(look(model("Importing")), lease=None, lease_name="ours"),
            "operator",
            "NotFound",
            "There is no Lease called ours",
            id="there is no Lease of the name that was given",
        ),
        pytest.param(
            replace(
                look(model("Importing")),
                lease={
                    **LEASE,
                    "spec": {"holderIdentity": "pod-1", "renewTime": "2026-03-01T11:00:00Z"},
                },
            ),
            "operator pod-1",
            "NotRunning",
            "2026-03-01 11:00:00 UTC",
            id="the operator died",
        ),
        pytest.param(
            look(serving("WaitingForModel"), model=model("Suspended", "spec.suspend is true")),
            "CustomModel team/model",
            "Suspended",
            "spec.suspend",
            id="a deployment waits for a suspended model",
        ),
    ],
)
def test_the_true_cause_comes_first(seen: Seen, where: str, reason: str, words: str) -> None:
    chain = causes(seen)
    assert (chain[0].where, chain[0].reason) == (where, reason)
    assert words in chain[0].message
    subject = seen.subject["metadata"]["name"]
    assert any(cause.where.endswith(f"/{subject}") for cause in chain), "the object itself is named"


def test_the_whole_chain_leads_to_the_object() -> None:
    seen = look(
        serving("WaitingForModel"),
        model=ARCHIVING,
        jobs=[JOB],
        pods=[waiting("ErrImagePull", "not found")],
    )
    assert [cause.where for cause in causes(seen)] == [
        "Pod team/pack-x",
        "CustomModel team/model",
        "ModelDeployment team/serving",
    ]


def test_an_object_that_nobody_looked_at_says_so_after_the_operator() -> None:
    fresh = model("Ready")
    fresh["status"] = {"observedGeneration": -1}
    assert [c.reason for c in causes(replace(look(fresh), lease=None))] == ["NotFound", "Unseen"]
    assert [c.reason for c in causes(look(fresh))] == ["Unseen"]


def test_a_lease_that_may_not_be_read_accuses_nobody() -> None:
    seen = replace(look(model("Importing")), lease=None, lease_known=False)
    assert [cause.reason for cause in causes(seen)] == ["Importing"]


def test_what_is_ready_has_no_cause() -> None:
    assert causes(look(model("Ready", "can be deployed"))) == []


def test_the_next_try_is_told() -> None:
    due = {"failures": 3, "nextAttemptTime": "2026-03-01T12:05:00Z"}
    [cause] = causes(look(model("NameTaken", "taken", retry=due)))
    assert "2026-03-01T12:05:00Z" in cause.remedy
