"""What the operator lives with on the node."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.operator.recorder import Recorder
from tests.support import manifests
from tests.support.conditions import is_ready
from tests.support.environment import ROOT, Simulators, secret, until
from tests.support.node import NodeCluster, radosgw
from tests.support.node.containers import SANDBOX_IMAGE
from tests.support.relay import Relay

PAUSE = SANDBOX_IMAGE
RELEASE = NAMESPACE = "together-operator"
USER_NAMESPACE = "team"
CHART = ROOT / "charts/together-operator"
SERVICE_ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
KINDS = "custommodels,modeldeployments"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
READY_SECONDS = 180.0

Object = dict[str, Any]


def lacking() -> list[str]:
    """What this machine lacks besides node and image."""
    return radosgw.lacking()


@dataclass
class Surroundings:
    """Node, simulators and stores; `together` and `hub` are what pods call them.

    `ceph` is a real S3 server; `store` is the tests' own, which completes an upload of some of its
    parts, as AWS does and Ceph doesn't.
    """

    node: NodeCluster
    recorder: Recorder
    simulators: Simulators
    together: str
    hub: str
    store: Store
    ceph: Store
    helm_binary: str
    image: str
    facts: dict[str, str] = field(default_factory=dict)
    """What the summary at the end tells."""

    def helm(self, *args: str) -> str:
        """Run helm as administrator and return what it printed."""
        environment = os.environ | {
            "KUBECONFIG": str(self.node.kubeconfig()),
            "HELM_CACHE_HOME": str(self.node.folder / "helm"),
        }
        run = subprocess.run(
            [self.helm_binary, *args, f"--namespace={NAMESPACE}"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"helm {' '.join(args)}:\n{run.stdout}{run.stderr}"
        return run.stdout + run.stderr

    def values(self) -> list[str]:
        """The default values, and where everything outside of the cluster is."""
        pairs = {
            "together.baseURL": self.together,
            "together.apiKey.existingSecret": "together",
            "huggingFace.endpoint": self.hub,
            # A hundred simulated seconds pass in a real one.
            "config.pollSeconds": "1",
        }
        return [f"--set={name}={value}" for name, value in pairs.items()]

    def get(self, what: str, namespace: str = USER_NAMESPACE) -> Object:
        """An object, or a list of them."""
        found: Object = json.loads(
            self.node.kubectl("get", what, f"--namespace={namespace}", "-o", "json")
        )
        return found

    def items(self, what: str, namespace: str = USER_NAMESPACE) -> list[Object]:
        """A list's objects."""
        listed: list[Object] = self.get(what, namespace)["items"]
        return listed

    def apply(self, *objects: Object) -> None:
        """Apply objects of the user's namespace."""
        body = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.node.kubectl(
            "apply", f"--namespace={USER_NAMESPACE}", "-f", "-", stdin=json.dumps(body)
        )

    def patch(self, name: str, change: Object) -> None:
        """Merge a change into an object of the user's namespace, as `kind/name`."""
        where = f"--namespace={USER_NAMESPACE}"
        self.node.kubectl("patch", name, where, "--type=merge", f"--patch={json.dumps(change)}")

    def wait_ready(self, *names: str, seconds: float = READY_SECONDS) -> None:
        """Wait until objects, as `kind/name`, are Ready."""
        until(
            lambda: all(is_ready(self.get(name)) for name in names),
            seconds,
            f"{', '.join(names)} ready",
            self.explain,
        )

    def wait_gone(self, seconds: float = READY_SECONDS) -> None:
        """Wait until no object is left in the user's namespace."""
        until(lambda: not self.items(KINDS), seconds, "all objects gone", self.explain)

    def operator_pods(self) -> list[Object]:
        """The operator's pods, those that end too."""
        return [
            pod
            for pod in self.items("pods", NAMESPACE)
            if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "operator"
        ]

    def pod_has_ended(self, name: str) -> bool:
        """Whether a pod of the user's namespace is gone, or has run to its end."""
        phases = {p["metadata"]["name"]: p["status"]["phase"] for p in self.items("pods")}
        return phases.get(name, "Failed") in {"Failed", "Succeeded"}

    def job_pods(self) -> list[Object]:
        """Pods of archive Jobs, oldest first."""
        return sorted(self.items("pods"), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def explain(self) -> str:
        """What a person would look at next."""
        everywhere = "--all-namespaces"
        return "\n".join(
            self.node.kubectl(*args, check=False)
            for args in (
                ("get", KINDS, everywhere, "-o", "wide"),
                ("get", "pods,jobs", everywhere, "-o", "wide"),
                ("get", "events", everywhere, "--sort-by=.lastTimestamp"),
                ("logs", f"deployment/{RELEASE}", f"--namespace={NAMESPACE}", "--tail=40"),
                ("describe", "pods", f"--namespace={NAMESPACE}"),
            )
        )

    def left_at_together(self) -> dict[str, int]:
        """How much of each thing is at Together."""
        state = self.simulators.state()
        return {n: len(state[n]) for n in ("models", "endpoints", "deployments") if state.get(n)}


@dataclass(frozen=True)
class Store:
    """An S3 server as pods see it, through a relay; tests see it without."""

    name: str
    relay: Relay
    direct: str
    access_key_id: str
    secret_access_key: str
    bucket: str
    secret_name: str

    @property
    def url(self) -> str:
        """Base URL for pods."""
        return self.relay.url

    def secret(self, namespace: str = USER_NAMESPACE) -> Object:
        """A Secret with its credentials."""
        values = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        made: Object = json.loads(secret(namespace, self.secret_name, values))
        return made

    def location(self, prefix: str) -> Object:
        """A location of a manifest."""
        return {
            "uri": f"s3://{self.bucket}/{prefix}",
            "region": "us-east-1",
            "endpointURL": self.url,
            "credentialsSecretRef": {"name": self.secret_name},
        }

    def client(self) -> Any:
        """A boto3 client."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.direct,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    def upload(self, folder: Path, prefix: str) -> None:
        """Put the files of a folder under a prefix."""
        client = self.client()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), self.bucket, prefix + str(path.relative_to(folder)))


def custom_model(name: str, source: Object, **spec: Any) -> Object:
    """A CustomModel of the embedding model."""
    embedding = {"type": "Embedding", "baseModel": manifests.EMBEDDING_BASE}
    return manifests.custom_model(name, source, **{**embedding, **spec})
