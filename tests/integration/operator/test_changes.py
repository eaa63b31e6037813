"""Changes of the served model on a real API server, under a stream of requests."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.changes import CHANGES, Change
from tests.integration.operator.request_stream import RequestStream
from tests.integration.operator.surroundings import CHAT, OTHER_CHAT, TIME_SCALE
from tests.integration.operator.workspace import DEPLOYMENT
from tests.support.conditions import condition, is_ready
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration

CANARY = {
    "strategy": "Canary",
    "canary": {
        "steps": [{"traffic": 10}, {"traffic": 50}, {"traffic": 100}],
        "intervalSeconds": 120,
        "gates": [{"metric": "ErrorRate", "max": "0.05"}],
    },
}
BLUE_GREEN, ROLLING, RECREATE = ({"strategy": s} for s in ("BlueGreen", "Rolling", "Recreate"))
WITHOUT_GAP = [BLUE_GREEN, CANARY, ROLLING]


def by_strategy(rollout: Object) -> str:
    """Name of a case."""
    return str(rollout["strategy"])


@pytest.fixture
def chats(workspace: Workspace) -> Workspace:
    """A namespace with two models."""
    workspace.apply(
        custom_model("first", hugging_face(CHAT)), custom_model("second", hugging_face(OTHER_CHAT))
    )
    return workspace


def serving(chats: Workspace, rollout: Object, **spec: object) -> Object:
    """An object that serves the first model; its status."""
    chats.apply(model_deployment("serve", "first", rollout=rollout, **spec))
    for model in ("first", "second"):
        chats.ready("CustomModel", model)
    status: Object = chats.ready(DEPLOYMENT, "serve")["status"]
    return status


@dataclass
class Measured:
    """A change under way: the requests, and the outcome that it shall be noted with."""

    requests: RequestStream
    outcome: str = ""


@contextmanager
def measured(chats: Workspace, rollout: Object, before: Object) -> Iterator[Measured]:
    """Send requests, and note what the change in the block did to them and to the bill."""
    with RequestStream(chats.simulators, before["endpoint"]["name"]) as requests:
        requests.until_answered_by(before["deployment"]["id"])
        found = Measured(requests)
        began, billed = time.monotonic(), chats.simulators.state()["dollarsBilled"]
        yield found
        dollars = chats.simulators.state()["dollarsBilled"] - billed
        hours = (time.monotonic() - began) * TIME_SCALE / 3600
    CHANGES.append(
        Change(
            strategy=rollout["strategy"],
            outcome=found.outcome,
            sent=requests.sent,
            failed=requests.failed,
            dollars=dollars,
            price=float(before["cost"]["perHour"]),
            hours=hours,
            at_once=at_once(chats, before["endpoint"]["id"]),
        )
    )


def at_once(chats: Workspace, endpoint_id: str) -> int:
    """The most deployments that an endpoint ever had, by what was asked of Together."""
    there: set[str] = set()
    most = 0
    for entry in chats.simulators.audit():
        if (
            entry["resource"] == "deployment"
            and entry["committed"]
            and endpoint_id in entry["path"]
        ):
            there = there | {entry["id"]} if entry["method"] == "POST" else there
            there = there - {entry["id"]} if entry["method"] == "DELETE" else there
            most = max(most, len(there))
    assert most, "the audit has no deployment of this endpoint"
    return most


def serves_alone(chats: Workspace, status: Object) -> None:
    """The deployment in status is the only one, has all the traffic, and runs."""
    [left] = chats.deployments()
    assert left["id"] == status["deployment"]["id"]
    assert (left["state"], left["readyReplicas"]) == ("READY", status["replicas"])
    endpoint = chats.simulators.call("GET", f"endpoints/{status['endpoint']['id']}")
    assert [share["deploymentId"] for share in endpoint["trafficSplit"]] == [left["id"]]
    assert status.keys().isdisjoint({"previous", "intent"})


@pytest.mark.parametrize("rollout", WITHOUT_GAP, ids=by_strategy)
def test_another_model_takes_over_and_no_request_is_lost(chats: Workspace, rollout: Object) -> None:
    before = serving(chats, rollout)

    with measured(chats, rollout, before) as change:
        chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
        after = chats.ready(DEPLOYMENT, "serve")["status"]
        change.requests.until_answered_by(after["deployment"]["id"])
        change.outcome = "another model: it serves"

    assert change.requests.failed == 0, change.requests.outcomes
    assert after["deployment"]["id"] != before["deployment"]["id"]
    assert after["model"]["name"] == f"acme/{chats.remote_name('second')}"
    assert set(change.requests.answered) == {s["deployment"]["id"] for s in (before, after)}
    assert "rollout" not in after
    serves_alone(chats, after)
    told = [version["status"] for version in chats.versions(DEPLOYMENT, "serve")]
    assert {s["rollout"]["phase"] for s in told if "rollout" in s} >= {"Preparing", "Running"}
    assert {s["previous"]["id"] for s in told if "previous" in s} == {before["deployment"]["id"]}
    assert CHANGES[-1].at_once == 2
    assert CHANGES[-1].ratio > 1, "both were billed for a while"


def test_recreate_never_has_two_deployments_and_never_pays_for_two(chats: Workspace) -> None:
    before = serving(chats, RECREATE)

    with measured(chats, RECREATE, before) as change:
        chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
        after = chats.ready(DEPLOYMENT, "serve")["status"]
        change.requests.until_answered_by(after["deployment"]["id"])
        change.outcome = "another model: it serves"

    assert after["model"]["name"] == f"acme/{chats.remote_name('second')}"
    serves_alone(chats, after)
    assert CHANGES[-1].at_once == 1
    assert CHANGES[-1].ratio <= 1
    assert change.requests.failed > 0, "the price of it: nothing answers meanwhile"


@pytest.mark.parametrize("rollout", WITHOUT_GAP, ids=by_strategy)
def test_a_model_that_does_not_start_returns_to_the_old_one_by_itself(
    chats: Workspace, rollout: Object
) -> None:
    before = serving(chats, rollout)
    chats.simulators.behave(
        deployments=[{"outcome": "failed", "message": "weights do not fit", "count": None}]
    )

    with measured(chats, rollout, before) as change:
        chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
        found = chats.shows(
            DEPLOYMENT, "serve", "RolloutFailed", "weights do not fit", "CUDA out of memory"
        )
        change.outcome = "a model that fails: the old serves"

    assert change.requests.failed == 0, change.requests.outcomes
    assert condition(found, "RolledOut")["reason"] == "RolloutFailed"
    assert condition(found, "Routed")["status"] == "True"
    assert found["status"]["deployment"]["id"] == before["deployment"]["id"]
    assert found["status"]["model"] == before["model"]
    serves_alone(chats, found["status"])


def test_recreate_makes_the_old_one_again_when_the_new_one_fails(chats: Workspace) -> None:
    before = serving(chats, RECREATE)
    chats.simulators.behave(deployments=[{"outcome": "failed", "message": "weights do not fit"}])

    with measured(chats, RECREATE, before) as change:
        chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
        found = chats.shows(
            DEPLOYMENT, "serve", "RolloutFailed", "weights do not fit", "serves again"
        )
        change.outcome = "a model that fails: the old serves"

    assert found["status"]["model"] == before["model"]
    assert found["status"]["deployment"]["name"] == before["deployment"]["name"]
    serves_alone(chats, found["status"])
    assert CHANGES[-1].at_once == 1
    assert CHANGES[-1].ratio <= 1


def test_a_canary_whose_gate_trips_returns_and_the_old_manifest_ends_the_matter(
    chats: Workspace,
) -> None:
    before = serving(chats, CANARY)
    chats.simulators.behave(
        rollouts=[{"step": 1, "message": "router_error_rate 0.31 is above the threshold"}]
    )

    with measured(chats, CANARY, before) as change:
        chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
        found = chats.shows(DEPLOYMENT, "serve", "RolloutFailed", "METRIC_REGRESSION", "0.31")
        change.outcome = "a gate that trips: the old serves"

    assert change.requests.failed == 0, change.requests.outcomes
    assert len(change.requests.answered) == 2, "the new one had its first share"
    serves_alone(chats, found["status"])
    chats.patch(DEPLOYMENT, "serve", modelRef={"name": "first"})
    after = chats.ready(DEPLOYMENT, "serve")["status"]
    assert after["deployment"]["id"] == before["deployment"]["id"]
    assert "rollout" not in after


SLOW = {
    "strategy": "Canary",
    "canary": {"steps": [{"traffic": 10}, {"traffic": 100}], "intervalSeconds": 86400},
}


def test_a_rollout_is_paused_and_promoted_and_the_old_model_stays_until_it_is_left(
    chats: Workspace,
) -> None:
    before = serving(chats, SLOW)
    chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})
    chats.shows(DEPLOYMENT, "serve", "RollingOut", "10% of the traffic", "step 1 of 2")

    chats.delete("custommodel/first")

    chats.shows("CustomModel", "first", "InUse", "ModelDeployment serve (it still runs it)")
    chats.patch(DEPLOYMENT, "serve", rollout={**SLOW, "paused": True})
    paused = chats.shows(DEPLOYMENT, "serve", "RolloutPaused", "10%", "together.ai/promote=")
    assert condition(paused, "Routed")["status"] == "True"
    price = float(before["cost"]["perHour"])
    assert float(paused["status"]["cost"]["perHour"]) == pytest.approx(2 * price)
    assert chats.get("CustomModel", "first")["metadata"]["deletionTimestamp"]

    target = paused["status"]["rollout"]["target"]["name"]
    chats.annotate(DEPLOYMENT, "serve", "together.ai/promote", target)

    after = chats.ready(DEPLOYMENT, "serve")["status"]
    assert after["model"]["name"] == f"acme/{chats.remote_name('second')}"
    assert after["cost"]["perHour"] == before["cost"]["perHour"]
    chats.gone("CustomModel", "first")
    refused = [
        entry
        for entry in chats.simulators.audit()
        if entry["method"] == "DELETE"
        and entry["name"] == chats.remote_name("first")
        and entry["status"] >= 400
    ]
    assert refused == [], "Together was not even asked while it was in use"


def test_a_change_that_would_cost_too_much_while_both_run_does_not_begin(
    chats: Workspace,
) -> None:
    before = serving(chats, BLUE_GREEN, maxHourlyCost="2")

    chats.patch(DEPLOYMENT, "serve", modelRef={"name": "second"})

    found = chats.shows(DEPLOYMENT, "serve", "OverBudget", "$2.98", "$2.00")
    assert condition(found, "RolledOut")["reason"] == "OverBudget"
    assert condition(found, "Routed")["status"] == "True"
    assert [d["id"] for d in chats.deployments()] == [before["deployment"]["id"]]
    chats.patch(DEPLOYMENT, "serve", rollout=RECREATE)
    after = chats.ready(DEPLOYMENT, "serve")["status"]
    assert after["model"]["name"] == f"acme/{chats.remote_name('second')}"


def test_a_new_revision_is_rolled_out_or_stays_by_policy(workspace: Workspace) -> None:
    repository, folder = f"{workspace.namespace}/model", workspace.surroundings.folder
    workspace.simulators.add_repository(repository, folder / "chat")
    workspace.apply(
        custom_model("chat", hugging_face(repository)),
        model_deployment("latest", "chat"),
        model_deployment("pinned", "chat", revisionPolicy="Pinned"),
    )
    before = {n: workspace.ready(DEPLOYMENT, n)["status"] for n in ("latest", "pinned")}
    old = before["pinned"]["model"]["revision"]
    workspace.mark()

    workspace.simulators.commit(repository, "main", folder / "other-chat")

    def is_new(found: Object) -> bool:
        there = is_ready(found) and found["status"]["model"]["revision"] != old
        return there and "rollout" not in found["status"]

    latest = workspace.until(DEPLOYMENT, "latest", is_new, "serves the new revision")["status"]
    assert latest["endpoint"] == before["latest"]["endpoint"]
    assert latest["deployment"]["id"] != before["latest"]["deployment"]["id"]
    pinned = workspace.get(DEPLOYMENT, "pinned")["status"]
    assert (pinned["model"]["revision"], pinned["deployment"]["id"]) == (
        old,
        before["pinned"]["deployment"]["id"],
    )
    workspace.patch(DEPLOYMENT, "latest", revisionPolicy="Pinned", revision=old)
    back = workspace.ready(DEPLOYMENT, "latest")["status"]
    assert back["model"]["revision"] == old, "a rollback to a revision that is named"
