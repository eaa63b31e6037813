"""Objects that people edit into nonsense: a clear condition, and never somebody else's resource."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.integration.operator.surroundings import CHAT, OTHER_CHAT
from tests.integration.operator.workspace import DEPLOYMENT, MODEL
from tests.support.conditions import condition, is_ready
from tests.support.manifests import custom_model, hugging_face, model_deployment
from together_operator.domain.plan import FINALIZER

if TYPE_CHECKING:
    from tests.integration.operator.workspace import Object, Workspace

LARGE = 200 * 1024
"""Bytes. The API server takes 256 KiB of annotations."""


def write_status(workspace: Workspace, kind: str, name: str, status: Object) -> None:
    """Replace what an object's status says."""
    changes = [{"op": "replace", "path": "/status", "value": status}]
    workspace.mark()
    workspace.kubectl(
        *("patch", f"{kind.lower()}s.together.ai/{name}", "--subresource=status"),
        *("--type=json", f"--patch={json.dumps(changes)}"),
    )


def wipe(workspace: Workspace, kind: str, name: str) -> None:
    """As `kubectl replace --subresource=status` with an empty one."""
    write_status(workspace, kind, name, {"observedGeneration": -1})


def release(workspace: Workspace, kind: str, name: str) -> None:
    """Take all finalizers off by force."""
    workspace.mark()
    patch = '--patch={"metadata":{"finalizers":null}}'
    workspace.kubectl("patch", f"{kind.lower()}s.together.ai/{name}", "--type=merge", patch)


def serve(workspace: Workspace, name: str = "chat", repo: str = CHAT) -> None:
    """A model and its deployment, ready."""
    workspace.apply(custom_model(name, hugging_face(repo)), model_deployment(name, name))
    workspace.ready(MODEL, name)
    workspace.ready(DEPLOYMENT, name)


def adopt(workspace: Workspace, kind: str, name: str) -> None:
    """A person says that what is at Together is this object's."""
    workspace.patch(kind, name, adoptionPolicy="Adopt")
    workspace.ready(kind, name)


def test_annotations_of_200_kilobytes_change_nothing(workspace: Workspace) -> None:
    large = "x" * LARGE
    manifests = (custom_model("chat", hugging_face(CHAT)), model_deployment("chat", "chat"))
    for manifest in manifests:
        manifest["metadata"]["annotations"] = {"example.com/large": large}
    # Not `kubectl apply`, which would keep a copy in another annotation.
    every = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    workspace.kubectl("create", "-f", "-", input=json.dumps(every))

    workspace.ready(MODEL, "chat")
    workspace.ready(DEPLOYMENT, "chat")
    workspace.patch(DEPLOYMENT, "chat", replicas=2)
    workspace.ready(DEPLOYMENT, "chat")

    for kind in (MODEL, DEPLOYMENT):
        assert workspace.get(kind, "chat")["metadata"]["annotations"]["example.com/large"] == large
    assert workspace.count("model", "chat") == workspace.count("endpoint", "chat") == 1


def test_a_wiped_status_of_a_model_claims_nothing_until_that_is_allowed(
    workspace: Workspace,
) -> None:
    serve(workspace)

    wipe(workspace, MODEL, "chat")

    found = workspace.shows(MODEL, "chat", "NameTaken", "adoptionPolicy")
    assert condition(found, "Stalled")["status"] == "True"
    adopt(workspace, MODEL, "chat")
    assert workspace.count("model", "chat") == 1
    assert workspace.count("import", "chat") == 1


def test_a_wiped_status_of_a_deployment_is_found_again_by_its_derived_name(
    workspace: Workspace,
) -> None:
    serve(workspace)
    before = workspace.get(DEPLOYMENT, "chat")["status"]

    wipe(workspace, DEPLOYMENT, "chat")

    after = workspace.ready(DEPLOYMENT, "chat")["status"]
    assert after["deployment"]["id"] == before["deployment"]["id"]
    assert after["endpoint"] == before["endpoint"]
    assert workspace.count("endpoint", "chat") == 1
    assert workspace.count("deployment", "chat") == 1


def test_a_forged_status_leads_to_no_other_objects_model(workspace: Workspace) -> None:
    serve(workspace, "theirs", OTHER_CHAT)
    serve(workspace, "mine")
    theirs = workspace.get(MODEL, "theirs")["status"]
    mine = workspace.get(MODEL, "mine")["status"]

    write_status(workspace, MODEL, "mine", {**mine, "model": theirs["model"]})
    found = workspace.shows(MODEL, "mine", "NameTaken")
    assert found["status"].get("model") != theirs["model"]
    adopt(workspace, MODEL, "mine")
    write_status(workspace, MODEL, "mine", {**mine, "model": theirs["model"]})
    workspace.delete("modeldeployment/mine", "custommodel/mine")
    workspace.gone(DEPLOYMENT, "mine")
    workspace.gone(MODEL, "mine")

    assert workspace.remote_name("theirs") in workspace.models()
    assert workspace.count("model", "theirs", "DELETE") == 0
    workspace.patch(DEPLOYMENT, "theirs", replicas=2)
    workspace.ready(DEPLOYMENT, "theirs")
    # Its own record may be left: when the forged status was the last one, nothing proved whose.
    left = workspace.models().get(workspace.remote_name("mine"))
    if left is not None:
        workspace.simulators.call("DELETE", f"models/{left['id']}")


def test_a_forged_status_leads_to_no_other_objects_endpoint(workspace: Workspace) -> None:
    serve(workspace, "theirs", OTHER_CHAT)
    serve(workspace, "mine")
    theirs = workspace.get(DEPLOYMENT, "theirs")["status"]
    names = ("endpoint", "deployment")

    def forge() -> None:
        status = workspace.get(DEPLOYMENT, "mine")["status"]
        write_status(workspace, DEPLOYMENT, "mine", status | {n: theirs[n] for n in names})

    forge()
    workspace.patch(DEPLOYMENT, "mine", replicas=2)
    found = workspace.ready(DEPLOYMENT, "mine")
    assert found["status"]["endpoint"] != theirs["endpoint"]
    forge()
    workspace.delete("modeldeployment/mine")
    workspace.gone(DEPLOYMENT, "mine")

    (left,) = workspace.deployments()
    assert left["id"] == theirs["deployment"]["id"]
    assert (left["state"], left["desiredReplicas"]) == ("READY", 1)


def test_a_finalizer_that_was_taken_off_comes_back(workspace: Workspace) -> None:
    serve(workspace)

    for kind in (MODEL, DEPLOYMENT):
        release(workspace, kind, "chat")
        workspace.until(
            kind,
            "chat",
            lambda found: FINALIZER in found["metadata"].get("finalizers", ()) and is_ready(found),
            "has its finalizer again, and is ready",
        )

    assert workspace.count("model", "chat") == workspace.count("endpoint", "chat") == 1


def test_a_restored_object_takes_nothing_of_the_one_that_was_lost(workspace: Workspace) -> None:
    """An old status under a new UID: what it names may be served by another cluster by now."""
    serve(workspace)
    old = {kind: workspace.get(kind, "chat") for kind in (MODEL, DEPLOYMENT)}
    workspace.operator.kill()
    for kind in (DEPLOYMENT, MODEL):
        workspace.delete(f"{kind.lower()}/chat")
        release(workspace, kind, "chat")
        workspace.gone(kind, "chat")
    for kind in (MODEL, DEPLOYMENT):
        workspace.apply(_backup(old[kind]))
        write_status(workspace, kind, "chat", old[kind]["status"])
    workspace.operator.start()
    workspace.operator.wait_ready()

    workspace.shows(MODEL, "chat", "NameTaken")
    workspace.until(
        DEPLOYMENT,
        "chat",
        lambda found: "endpoint" not in found["status"],
        "names nobody's endpoint",
    )
    workspace.delete("modeldeployment/chat", "custommodel/chat")
    workspace.gone(DEPLOYMENT, "chat")
    workspace.gone(MODEL, "chat")

    assert list(workspace.models()) == [workspace.remote_name("chat")]
    (left,) = workspace.deployments()
    assert (left["state"], left["desiredReplicas"]) == ("READY", 1)
    workspace.remove_endpoint_by_hand("chat")
    (model,) = workspace.models().values()
    workspace.simulators.call("DELETE", f"models/{model['id']}")


def test_one_manifest_in_two_namespaces_is_served_once(workspace: Workspace) -> None:
    """Both want one name at Together: the second one says so, and leaves the first one alone."""
    cluster = workspace.surroundings.cluster
    shared = workspace.remote_name("shared")
    manifests = (
        custom_model("chat", hugging_face(CHAT), modelName=shared),
        model_deployment("chat", "chat", endpointName=shared),
    )
    workspace.apply(*manifests)
    workspace.ready(MODEL, "chat")
    first = workspace.ready(DEPLOYMENT, "chat")["status"]

    with cluster.new_namespace() as other:
        every = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        cluster.kubectl(f"--namespace={other}", "apply", "-f", "-", input=json.dumps(every))

        def told(kind: str) -> bool:
            what = ("get", f"{kind.lower()}/chat", f"--namespace={other}", "-o", "json")
            found: dict[str, Any] = json.loads(cluster.kubectl(*what))
            return condition(found, "Ready").get("reason") == "NameTaken"

        workspace.eventually(lambda: told(MODEL), "the second model's name is taken")
        gone = ("delete", "modeldeployment/chat", "custommodel/chat", "--timeout=30s")
        cluster.kubectl(f"--namespace={other}", *gone)

    (left,) = workspace.deployments()
    assert left["id"] == first["deployment"]["id"]
    assert left["state"] == "READY"
    assert list(workspace.models()) == [shared]


def _backup(found: Object) -> Object:
    """What a backup tool puts back: without what the API server assigns."""
    metadata = found["metadata"]
    kept = {key: metadata[key] for key in ("name", "namespace", "finalizers")}
    return {**{key: found[key] for key in ("apiVersion", "kind", "spec")}, "metadata": kept}
