"""The archive Job: what its pod may do and is told, and that it holds no secret."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.unit.domain import situations as s
from tests.unit.domain.situations import PREFIX
from together_operator.domain.addresses import VARIABLE, AddressPolicy
from together_operator.domain.archive_job import (
    FINAL_EXIT_CODES,
    OWNER_LABEL,
    destination_prefix,
    job_name,
)
from together_operator.domain.archive_manifest import Certificates, Worker, manifest

FULL: s.Spec = {
    "source": {
        "s3": {
            "uri": "s3://weights/run 7",
            "region": "eu-west-1",
            "endpointURL": "https://source.example.com",
            "credentialsSecretRef": {"name": "source-keys"},
        }
    },
    "archive": {
        "destination": {
            "uri": "s3://archives/",
            "region": "us-east-2",
            "endpointURL": "https://destination.example.com",
            "credentialsSecretRef": {"name": "destination-keys"},
        }
    },
    "job": {
        "image": "registry.example.com/worker:2",
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
                ]
            }
        },
        "serviceAccountName": "archiver",
        "priorityClassName": "batch",
        "activeDeadlineSeconds": 7200,
        "ttlSecondsAfterFinished": 600,
        "labels": {"team": "search", "app.kubernetes.io/name": "not-ours"},
        "annotations": {"note": "kept"},
    },
}


def made(spec: s.Spec = PREFIX) -> dict[str, Any]:
    """The manifest for an object of this spec."""
    cm = s.found(spec)
    return manifest(cm, job_name(cm, "cluster", 1), Worker("operator:1"), "cluster")


def pod(job: dict[str, Any]) -> dict[str, Any]:
    """Its pod's spec."""
    found: dict[str, Any] = job["spec"]["template"]["spec"]
    return found


def container(job: dict[str, Any]) -> dict[str, Any]:
    """Its pod's only container."""
    (only,) = pod(job)["containers"]
    assert isinstance(only, dict)
    return only


@pytest.mark.parametrize("spec", [PREFIX, FULL], ids=["least", "full"])
def test_the_pod_passes_the_restricted_pod_security_level(spec: s.Spec) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    job = made(spec)
    security = pod(job)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] != 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    own = container(job)["securityContext"]
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    forbidden = {"hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"}
    assert not forbidden & pod(job).keys()
    assert "ports" not in container(job)
    assert not {"privileged", "procMount", "runAsUser"} & own.keys()


def test_the_pod_gets_no_token_and_can_not_write_to_its_image() -> None:
    job = made()
    assert pod(job)["automountServiceAccountToken"] is False
    assert pod(job)["enableServiceLinks"] is False
    assert container(job)["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_command_is_the_command_line_that_users_have() -> None:
    assert container(made())["command"] == [
        "together-operator",
        "archive",
        "s3://bucket/weights/",
        destination_prefix(s.found(PREFIX), "cluster"),
        "--format",
        "zip",
        "--progress",
        "json",
    ]


@pytest.mark.parametrize(
    ("spec", "source"),
    [
        pytest.param(s.PINNED, "hf://org/model@commit-1", id="the commit that was seen"),
        pytest.param(s.CLAIM, "/source/models/v1", id="a folder of a volume"),
        pytest.param(
            {**s.CLAIM, "source": {"persistentVolumeClaim": {"claimName": "weights"}}},
            "/source",
            id="a volume's root",
        ),
        pytest.param(
            {**s.CLAIM, "source": {"persistentVolumeClaim": {"claimName": "w", "path": "a/$(X)/"}}},
            "/source/a/$(X)",
            id="what looks like a variable is none",
        ),
        pytest.param(
            {
                **s.CLAIM,
                "source": {"persistentVolumeClaim": {"claimName": "w", "path": "$$(X)/$$"}},
            },
            "/source/$$(X)/$$",
            id="nor is one that looks escaped",
        ),
    ],
)
def test_each_source_is_told_as_the_command_line_takes_it(spec: s.Spec, source: str) -> None:
    assert expanded(container(made(spec))["command"][2], {"X": "a secret"}) == source


def expanded(word: str, variables: dict[str, str]) -> str:
    """A word of a command as Kubernetes hands it to the process: `$$` is `$`, `$(NAME)` a value."""
    return re.sub(
        r"\$(\$|\((\w+)\))",
        lambda found: "$" if found[1] == "$" else variables.get(found[2], found[0]),
        word,
    )


def test_a_claim_is_mounted_read_only() -> None:
    job = made(s.CLAIM)
    (volume,) = pod(job)["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    (mount,) = container(job)["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert mount["mountPath"] == "/source"


def test_a_token_of_the_hub_is_a_reference_and_a_mirror_is_told() -> None:
    hub = {**s.PINNED["source"]["huggingFace"], "tokenSecretRef": {"name": "hub", "key": "t"}}
    cm = s.found({**s.PINNED, "source": {"huggingFace": hub}})
    worker = Worker("operator:1", "https://mirror")
    env = container(manifest(cm, "job", worker, "cluster"))["env"]
    assert env == [
        {
            "name": "HF_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "hub", "key": "t", "optional": False}},
        },
        {"name": "HF_ENDPOINT", "value": "https://mirror"},
        {"name": "TOGETHER_OPERATOR_ALLOWED_ADDRESSES", "value": ""},
    ]
    assert [e["name"] for e in container(made(s.PINNED))["env"]] == [VARIABLE]


def test_the_configuration_of_the_operator_reaches_the_worker() -> None:
    worker = Worker(
        "operator:1",
        addresses=AddressPolicy.parse("127.0.0.0/8,::1"),
        proxies={"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".cluster.local"},
        certificates=Certificates(config_map="bundle", key="root.pem"),
    )
    job = manifest(s.found(PREFIX), "job", worker, "cluster")

    told = {e["name"]: e.get("value") for e in container(job)["env"]}
    assert told[VARIABLE] == "127.0.0.0/8,::1/128"
    assert (told["HTTPS_PROXY"], told["NO_PROXY"]) == ("http://proxy:3128", ".cluster.local")
    assert "HTTP_PROXY" not in told
    (volume,) = pod(job)["volumes"]
    items = [{"key": "root.pem", "path": "ca.crt"}]
    assert volume["configMap"] == {"name": "bundle", "items": items, "optional": True}
    (mount,) = container(job)["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    bundle = f"{mount['mountPath']}/ca.crt"
    assert told["SSL_CERT_FILE"] == told["AWS_CA_BUNDLE"] == bundle


def test_certificates_can_be_in_a_secret_and_beside_a_claim() -> None:
    worker = Worker("operator:1", certificates=Certificates(secret="bundle"))
    job = manifest(s.found(s.CLAIM), "job", worker, "cluster")

    claim, bundle = pod(job)["volumes"]
    assert "persistentVolumeClaim" in claim
    assert bundle["secret"]["secretName"] == "bundle"
    assert len(container(job)["volumeMounts"]) == 2


def test_a_compressed_archive_gets_the_memory_that_it_takes() -> None:
    plain = container(made())
    packed = container(made({**PREFIX, "archive": {**s.TO, "format": "tar.gz"}}))
    assert packed["command"][packed["command"].index("--concurrency") + 1] == "8"
    assert "--concurrency" not in plain["command"]
    assert packed["resources"]["limits"]["memory"] > plain["resources"]["limits"]["memory"]


def test_stores_and_regions_are_told_by_options() -> None:
    command = container(made(FULL))["command"]
    assert command[2] == "s3://weights/run 7/", "a prefix is a folder"
    options = dict(zip(command[8::2], command[9::2], strict=True))
    assert options == {
        "--endpoint-url": "https://destination.example.com",
        "--region": "us-east-2",
        "--source-endpoint-url": "https://source.example.com",
        "--source-region": "eu-west-1",
    }


def test_a_source_at_aws_is_not_told_as_one_in_the_store_of_the_archives() -> None:
    spec = {**FULL, "source": {"s3": {"uri": "s3://weights/run 7"}}}
    given = container(made(spec))
    env = {v["name"]: v.get("value") for v in given["env"]}
    assert not {"--endpoint-url", "--region"} & set(given["command"])
    assert env["DESTINATION_AWS_ENDPOINT_URL"] == "https://destination.example.com"
    assert env["DESTINATION_AWS_REGION"] == "us-east-2"
    assert "DESTINATION_AWS_ACCESS_KEY_ID" in env
    assert "AWS_ACCESS_KEY_ID" not in env, "the source's identity is the ambient one"


def test_no_variable_of_the_worker_has_the_value_of_another_in_it() -> None:
    address = "https://$(DESTINATION_AWS_SECRET_ACCESS_KEY).example.com"
    destination = {**FULL["archive"]["destination"], "endpointURL": address}
    spec = {
        **FULL,
        "source": {"s3": {"uri": "s3://weights/run 7"}},
        "archive": {"destination": destination},
    }
    env = {v["name"]: v.get("value", "") for v in container(made(spec))["env"]}
    told = expanded(env["DESTINATION_AWS_ENDPOINT_URL"], {"DESTINATION_AWS_SECRET_ACCESS_KEY": "s"})
    assert told == address


def test_credentials_are_references_and_never_values() -> None:
    env = [e for e in container(made(FULL))["env"] if e["name"] != VARIABLE]
    assert all(set(variable) == {"name", "valueFrom"} for variable in env)
    found = {
        variable["name"]: (
            variable["valueFrom"]["secretKeyRef"]["name"],
            variable["valueFrom"]["secretKeyRef"]["key"],
            variable["valueFrom"]["secretKeyRef"]["optional"],
        )
        for variable in env
    }
    assert found == {
        "SOURCE_AWS_ACCESS_KEY_ID": ("source-keys", "AWS_ACCESS_KEY_ID", False),
        "SOURCE_AWS_SECRET_ACCESS_KEY": ("source-keys", "AWS_SECRET_ACCESS_KEY", False),
        "SOURCE_AWS_SESSION_TOKEN": ("source-keys", "AWS_SESSION_TOKEN", True),
        "AWS_ACCESS_KEY_ID": ("destination-keys", "AWS_ACCESS_KEY_ID", False),
        "AWS_SECRET_ACCESS_KEY": ("destination-keys", "AWS_SECRET_ACCESS_KEY", False),
        "AWS_SESSION_TOKEN": ("destination-keys", "AWS_SESSION_TOKEN", True),
    }


def test_without_secrets_the_pod_has_its_own_identity() -> None:
    assert container(made())["env"] == [{"name": VARIABLE, "value": ""}]


def test_what_users_say_of_the_pod_is_taken() -> None:
    job = made(FULL)
    spec = pod(job)
    assert spec["nodeSelector"] == {"disk": "ssd"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    (term,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "zone"
    assert term["labelSelector"]["matchLabels"] == {"a": "b"}
    assert spec["serviceAccountName"] == "archiver"
    assert spec["priorityClassName"] == "batch"
    assert container(job)["image"] == "registry.example.com/worker:2"
    assert container(job)["resources"]["limits"] == {"memory": "1Gi"}
    assert job["spec"]["activeDeadlineSeconds"] == 7200
    assert job["spec"]["ttlSecondsAfterFinished"] == 600
    assert job["spec"]["template"]["metadata"]["annotations"] == {"note": "kept"}


@pytest.mark.parametrize(("wanted", "kept"), [(0, 300), (299, 300), (301, 301)])
def test_a_finished_job_is_kept_until_its_result_was_read(wanted: int, kept: int) -> None:
    job = made({**PREFIX, "job": {"ttlSecondsAfterFinished": wanted}})
    assert job["spec"]["ttlSecondsAfterFinished"] == kept


def test_what_users_leave_out_is_left_out() -> None:
    job = made()
    chosen = {"nodeSelector", "tolerations", "affinity", "serviceAccountName", "priorityClassName"}
    assert not chosen & pod(job).keys()
    assert container(job)["image"] == "operator:1"
    assert set(container(job)["resources"]) == {"requests", "limits"}


def test_labels_of_ours_are_not_to_be_overridden() -> None:
    labels = made(FULL)["metadata"]["labels"]
    assert labels["team"] == "search"
    assert labels["app.kubernetes.io/name"] == "together-operator"
    assert labels[OWNER_LABEL] == "uid-1"
    assert made(FULL)["spec"]["template"]["metadata"]["labels"] == labels


def test_the_job_goes_with_its_object() -> None:
    metadata = made()["metadata"]
    assert (metadata["namespace"], metadata["name"]) == (
        "team",
        job_name(s.found(PREFIX), "cluster", 1),
    )
    (owner,) = metadata["ownerReferences"]
    assert owner == {
        "apiVersion": "together.ai/v1alpha1",
        "kind": "CustomModel",
        "name": "model",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_wrong_input_ends_the_job_and_lost_nodes_do_not_count() -> None:
    spec = made()["spec"]
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"] == {
        "containerName": "archive",
        "operator": "In",
        "values": sorted(FINAL_EXIT_CODES),
    }
    assert 75 not in FINAL_EXIT_CODES, "temporary failures are tried again"
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert pod(made())["restartPolicy"] == "Never", "a podFailurePolicy demands it"
    assert spec["backoffLimit"] > 0
    assert spec["activeDeadlineSeconds"] > 0, "it ends, whatever happens"


def test_names_fit_labels_and_dns() -> None:
    cm = s.found(PREFIX)
    for name in ("m", "a.b", "x" * 63, "x" * 40 + "." + "y" * 22):
        renamed = cm.model_copy(update={"metadata": cm.metadata.model_copy(update={"name": name})})
        for attempt in (1, 99):
            job = job_name(renamed, "cluster", attempt)
            assert len(job) <= 63
            assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", job), job
            assert ".-" not in job


@pytest.mark.parametrize("uri", ["s3://b", "s3://b/", "s3://b/a", "s3://b/a/"])
def test_archives_go_below_the_destination_into_a_folder_of_the_object(uri: str) -> None:
    spec = {**PREFIX, "archive": {"destination": {"uri": uri}}}
    folder = destination_prefix(s.found(spec), "cluster")
    assert folder.startswith(uri.rstrip("/") + "/team/model-")
    assert folder.endswith("/")
    assert "//" not in folder.removeprefix("s3://")
    assert folder != destination_prefix(s.found(spec), "another-cluster")


def test_a_manifest_is_plain_json() -> None:
    assert json.loads(json.dumps(made(FULL))) == made(FULL)
