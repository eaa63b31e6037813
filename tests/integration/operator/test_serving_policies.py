"""Scaling, money, time and use of a ModelDeployment on a real API server."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.integration.operator.surroundings import CHAT
from tests.integration.operator.workspace import DEPLOYMENT
from tests.support.cluster import KubectlError
from tests.support.conditions import condition
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

pytestmark = pytest.mark.integration


@pytest.fixture
def chat(workspace: Workspace) -> Workspace:
    """A namespace with a model."""
    workspace.apply(custom_model("chat", hugging_face(CHAT)))
    return workspace


def test_a_deployment_of_12_dollars_under_a_ceiling_of_10_is_not_created(chat: Workspace) -> None:
    chat.ready("CustomModel", "chat")
    price = 1.49
    replicas = 8  # 11.92 dollars
    chat.apply(model_deployment("serve", "chat", replicas=replicas, maxHourlyCost="10"))

    found = chat.shows(DEPLOYMENT, "serve", "OverBudget", f"${price * replicas:.2f}", "$10.00")

    assert condition(found, "Affordable")["status"] == "False"
    assert condition(found, "Stalled")["status"] == "True"
    assert chat.audit("endpoint") == []
    assert chat.audit("deployment") == []
    assert "OverBudget" in chat.kubectl("get", "modeldeployment/serve")
    # The message with both numbers is what `kubectl get -o` and `describe` show.
    path = "jsonpath={.status.conditions[?(@.type=='Affordable')].message}"
    message = chat.kubectl("get", "modeldeployment/serve", "-o", path)
    assert "$11.92" in message
    assert "$10.00" in message

    chat.patch(DEPLOYMENT, "serve", replicas=6)

    assert chat.ready(DEPLOYMENT, "serve")["status"]["cost"]["reservedPerHour"] == "8.94"
    chat.patch(DEPLOYMENT, "serve", replicas=7)
    refused = chat.shows(DEPLOYMENT, "serve", "OverBudget", "$10.43", "$10.00")
    assert refused["status"]["readyReplicas"] == 6, "what runs goes on"


def test_scaling_to_zero_stops_the_bill_within_one_reconcile(chat: Workspace) -> None:
    chat.apply(model_deployment("serve", "chat", replicas=1))
    chat.ready(DEPLOYMENT, "serve")
    before = len(chat.audit("deployment", "PATCH"))

    chat.scale("serve", 0)

    stopped = chat.ready(DEPLOYMENT, "serve")
    assert condition(stopped, "Ready")["reason"] == "Stopped"
    assert stopped["status"]["cost"] == {
        "perReplicaHour": "1.49",
        "perHour": "0.00",
        "reservedPerHour": "0.00",
    }
    assert len(chat.audit("deployment", "PATCH")) - before == 1
    assert [d["scheduledReplicas"] for d in chat.deployments()] == [0]


def test_a_horizontal_pod_autoscaler_drives_the_scale_subresource(chat: Workspace) -> None:
    """Without a metrics server it still brings replicas to its minimum, by the subresource."""
    chat.apply(model_deployment("serve", "chat", replicas=1))
    chat.ready(DEPLOYMENT, "serve")
    target = {"apiVersion": "together.ai/v1alpha1", "kind": "ModelDeployment", "name": "serve"}
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "serve"},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5},
    }
    chat.mark()

    chat.kubectl("apply", "-f", "-", input=json.dumps(autoscaler))

    def grown(found: Object) -> bool:
        return (found["spec"]["replicas"], found["status"].get("readyReplicas")) == (3, 3)

    chat.until(DEPLOYMENT, "serve", grown, "has the autoscaler's minimum")
    chat.kubectl("delete", "hpa/serve")


def test_autoscaling_reaches_together_and_the_scale_subresource_keeps_below_its_maximum(
    chat: Workspace,
) -> None:
    autoscaling = {
        "maxReplicas": 3,
        "metrics": [{"name": "ttft", "target": 500, "percentile": "p95"}],
        "scaleDownWindow": "600s",
    }
    chat.apply(model_deployment("serve", "chat", autoscaling=autoscaling, inactiveTimeout=1440))

    status = chat.ready(DEPLOYMENT, "serve")["status"]

    assert status["scaling"]["minReplicas"] == 1
    assert status["scaling"]["maxReplicas"] == 3
    assert status["cost"]["perHour"] == "1.49"
    assert status["cost"]["reservedPerHour"] == "4.47"
    [live] = _live(chat, status)
    assert (live["autoscaling"]["minReplicas"], live["autoscaling"]["maxReplicas"]) == (1, 3)
    assert live["autoscaling"]["scalingMetrics"] == [
        {"name": "ttft", "type": "METRIC_TARGET_TYPE_VALUE", "target": 500, "percentile": "p95"}
    ]
    assert live["autoscaling"]["scaleDownWindow"] == "600s"
    assert live["inactiveTimeout"] == 1440
    with pytest.raises(KubectlError, match=r"autoscaling\.maxReplicas"):
        chat.scale("serve", 4)

    chat.patch(DEPLOYMENT, "serve", autoscaling=None, inactiveTimeout=None)

    status = chat.ready(DEPLOYMENT, "serve")["status"]
    [live] = _live(chat, status)
    assert live["autoscaling"]["maxReplicas"] == 1
    assert live["inactiveTimeout"] == 0


def _one_of_each_policy(chat: Workspace) -> dict[str, Object]:
    """Two that are ready, by their names: drift of one is corrected, of the other reported."""
    chat.apply(
        model_deployment("corrected", "chat"),
        model_deployment("reported", "chat", driftPolicy="Report"),
    )
    found = {n: chat.ready(DEPLOYMENT, n)["status"] for n in ("corrected", "reported")}
    chat.mark()
    return found


def test_what_somebody_else_changed_is_corrected_or_reported(chat: Workspace) -> None:
    found = _one_of_each_policy(chat)
    for status in found.values():
        path = f"endpoints/{status['endpoint']['id']}/deployments/{status['deployment']['id']}"
        bounds = {"autoscaling": {"minReplicas": 2, "maxReplicas": 2}}
        chat.simulators.call("PATCH", path, bounds, updateMask="autoscaling")

    chat.shows(DEPLOYMENT, "reported", "Drifted", "2 replicas instead of 1 replica")
    chat.eventually(
        lambda: chat.count("deployment", "corrected", "PATCH") >= 2, "replicas are set back"
    )
    chat.patch(DEPLOYMENT, "reported", replicas=3)
    assert chat.ready(DEPLOYMENT, "reported")["status"]["readyReplicas"] == 3


def test_traffic_that_somebody_else_took_away_is_given_back_or_reported(chat: Workspace) -> None:
    found = _one_of_each_policy(chat)

    for status in found.values():
        path = f"endpoints/{status['endpoint']['id']}"
        chat.simulators.call("PATCH", path, {"trafficSplit": []}, updateMask="trafficSplit")

    told = chat.shows(DEPLOYMENT, "reported", "Drifted", "no weight in the traffic split")
    assert condition(told, "Routed")["status"] == "False"
    assert _split(chat, found["reported"]) == []
    chat.eventually(
        lambda: _split(chat, found["corrected"]) == [found["corrected"]["deployment"]["id"]],
        "traffic is given back",
    )
    chat.patch(DEPLOYMENT, "reported", driftPolicy="Correct")
    chat.ready(DEPLOYMENT, "reported")
    assert _split(chat, found["reported"]) == [found["reported"]["deployment"]["id"]]


def test_a_lifetime_ends_in_a_stop_or_in_a_deletion(chat: Workspace) -> None:
    chat.apply(
        model_deployment("stops", "chat", ttl={"seconds": 12}),
        model_deployment("goes", "chat", ttl={"seconds": 12, "action": "Delete"}),
    )

    running = chat.ready(DEPLOYMENT, "stops")
    assert running["status"]["nextChange"]["action"] == "Stop"

    stopped = chat.shows(DEPLOYMENT, "stops", "Expired", "spec.ttl")
    assert stopped["status"]["phase"] == "Stopped"
    chat.gone(DEPLOYMENT, "goes")
    assert chat.remote_name("goes") not in chat.endpoints()


def test_a_schedule_starts_and_stops_and_tells_what_comes_next(chat: Workspace) -> None:
    never_now = datetime.now(UTC) + timedelta(hours=6)
    window = {
        "start": f"0 {never_now.hour} * * *",
        "stop": f"30 {never_now.hour} * * *",
    }
    chat.apply(model_deployment("serve", "chat", schedule={"windows": [window]}))

    found = chat.ready(DEPLOYMENT, "serve")

    assert condition(found, "Ready")["reason"] == "OutsideSchedule"
    assert found["status"]["nextChange"]["action"] == "Start"
    assert chat.audit("deployment") == []

    opened = {"start": window["stop"], "stop": window["start"]}  # open but for half an hour
    chat.patch(DEPLOYMENT, "serve", schedule={"windows": [opened]})

    running = chat.ready(DEPLOYMENT, "serve")
    assert condition(running, "Ready")["reason"] == "Ready"
    assert running["status"]["nextChange"]["action"] == "Stop"


def test_a_cron_line_that_never_fires_is_told(chat: Workspace) -> None:
    schedule = {"windows": [{"start": "0 8 31 4,6 *", "stop": "0 9 * * *"}]}
    chat.apply(model_deployment("serve", "chat", schedule=schedule))

    chat.shows(DEPLOYMENT, "serve", "ScheduleInvalid", "spec.schedule.windows[0].start", "never")

    assert chat.audit("deployment") == []


def test_the_connection_is_published_kept_true_and_removed(chat: Workspace) -> None:
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs"},
        "data": {"important": "yes"},
    }
    chat.kubectl("apply", "-f", "-", input=json.dumps(theirs))
    chat.apply(model_deployment("serve", "chat", connection={"configMapName": "first"}))
    status = chat.ready(DEPLOYMENT, "serve")["status"]

    published = _config_map(chat, "first")

    assert published["data"] == {
        "baseURL": f"{chat.surroundings.together.url.rstrip('/')}/v1",
        "model": status["endpoint"]["name"],
    }
    assert chat.simulators.key not in json.dumps(published)
    [owner] = published["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ModelDeployment", "serve")

    chat.patch(DEPLOYMENT, "serve", connection={"configMapName": "theirs"})

    taken = chat.shows(DEPLOYMENT, "serve", "ConfigMapTaken", "theirs")
    assert condition(taken, "Published")["status"] == "False"
    assert condition(taken, "Routed")["status"] == "True"
    assert _config_map(chat, "theirs")["data"] == {"important": "yes"}
    assert not _exists(chat, "first"), "the old one was deleted"

    chat.patch(DEPLOYMENT, "serve", connection={"configMapName": "second"})

    chat.ready(DEPLOYMENT, "serve")
    assert _config_map(chat, "second")["data"]["model"] == status["endpoint"]["name"]

    chat.delete("modeldeployment/serve")
    chat.gone(DEPLOYMENT, "serve")
    chat.eventually(lambda: not _exists(chat, "second"), "the ConfigMap goes with its owner")
    chat.kubectl("delete", "configmap/theirs")


def test_a_model_in_use_is_deleted_only_after_its_users(chat: Workspace) -> None:
    chat.apply(model_deployment("serve", "chat"))
    chat.ready(DEPLOYMENT, "serve")

    chat.delete("custommodel/chat")

    found = chat.shows("CustomModel", "chat", "InUse", "serve")
    assert found["metadata"].get("deletionTimestamp")
    assert chat.remote_name("chat") in chat.models()
    chat.delete("modeldeployment/serve")
    chat.gone(DEPLOYMENT, "serve")
    chat.gone("CustomModel", "chat")


def _live(workspace: Workspace, status: Object) -> list[Object]:
    """Deployments of an object at Together, in full."""
    path = f"endpoints/{status['endpoint']['id']}/deployments"
    found: list[Object] = workspace.simulators.call("GET", path)["data"]
    return found


def _split(workspace: Workspace, status: Object) -> list[str]:
    """Ids of the deployments that an object's endpoint sends traffic to."""
    endpoint = workspace.simulators.call("GET", f"endpoints/{status['endpoint']['id']}")
    return [share["deploymentId"] for share in endpoint["trafficSplit"]]


def _config_map(workspace: Workspace, name: str) -> Object:
    found: Object = json.loads(workspace.kubectl("get", f"configmap/{name}", "-o", "json"))
    return found


def _exists(workspace: Workspace, name: str) -> bool:
    return bool(workspace.kubectl("get", f"configmap/{name}", "--ignore-not-found", "-o", "name"))
