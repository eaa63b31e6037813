"""A namespace to work in: what is applied to it, what becomes of that, and what is at Together."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from tests.integration.operator.invariants import status_changes, violations
from tests.support.conditions import condition, is_ready
from tests.support.environment import BUCKET, s3_client
from tests.support.manifests import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.operator.surroundings import Surroundings

Object = dict[str, Any]
PATIENCE_SECONDS = 30.0
MODEL, DEPLOYMENT = "CustomModel", "ModelDeployment"


class Workspace:
    """One namespace. Every wait looks at versions since the last change that was made here."""

    def __init__(self, surroundings: Surroundings, namespace: str) -> None:
        self.surroundings = surroundings
        self.namespace = namespace
        self.simulators = surroundings.simulators
        self.operator = surroundings.operator
        self._recorder = surroundings.recorder
        self._since: dict[tuple[str, str], int] = defaultdict(int)

    # What a user does.

    def kubectl(self, *args: str, **options: Any) -> str:
        """Run kubectl in the namespace."""
        return self.surroundings.cluster.kubectl(f"--namespace={self.namespace}", *args, **options)

    def apply(self, *manifests: Object) -> None:
        """`kubectl apply`, all at once."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self._changed(self.kubectl("apply", "-f", "-", "-o", "json", input=json.dumps(items)))

    def patch(self, kind: str, name: str, **fields: Any) -> None:
        """Merge fields into the object's `spec`."""
        self._patch(kind, name, {"spec": fields})

    def annotate(self, kind: str, name: str, annotation: str, value: str) -> None:
        """Set an annotation."""
        self._patch(kind, name, {"metadata": {"annotations": {annotation: value}}})

    def scale(self, name: str, replicas: int) -> None:
        """`kubectl scale`."""
        self.mark()
        self.kubectl("scale", f"modeldeployment/{name}", f"--replicas={replicas}")

    def delete(self, *resources: str) -> None:
        """Ask for a deletion, without waiting for it."""
        self.kubectl("delete", "--wait=false", *resources)

    def mark(self) -> None:
        """Something outside is about to change: waits shall not be content with what was before."""
        for history in self._recorder.histories(self.namespace):
            self._note(history[-1], 1)

    def s3(self, key: str, *, endpoint: str | None = None) -> Object:
        """Location of a key of the bucket, with the Secret of `s3_secret`."""
        return {
            "uri": f"s3://{BUCKET}/{key}",
            "endpointURL": endpoint or self.simulators.urls["s3"]["url"],
            "region": "us-east-1",
            "credentialsSecretRef": {"name": CREDENTIALS},
        }

    def s3_secret(self) -> Object:
        """The Secret with credentials for the bucket."""
        found: Object = json.loads(self.simulators.s3_secret(self.namespace, CREDENTIALS))
        return found

    def from_prefix(self, prefix: str, *, destination: str | None = None) -> Object:
        """`source` and `archive` of a CustomModel for files under a prefix.

        Args:
            destination: base URL of the store that the archive goes to.
        """
        return {
            "source": {"s3": self.s3(prefix)},
            "archive": {"destination": self.s3("archives/", endpoint=destination)},
        }

    def upload(self, path: Path, key: str) -> None:
        """Put a file into the bucket."""
        s3_client(self.simulators).upload_file(str(path), BUCKET, key)

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix of the bucket."""
        pages = s3_client(self.simulators).get_paginator("list_objects_v2")
        listed = pages.paginate(Bucket=BUCKET, Prefix=prefix)
        return [item["Key"] for page in listed for item in page.get("Contents", [])]

    def presign(self, key: str, seconds: int) -> str:
        """A URL that a user would sign for a key of the bucket."""
        url: str = s3_client(self.simulators).generate_presigned_url(
            "get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=seconds
        )
        return url

    # What becomes of it.

    def get(self, kind: str, name: str) -> Object:
        """The newest version of an object that is there."""
        found = self._recorder.latest(kind, self.namespace, name)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def versions(self, kind: str, name: str) -> list[Object]:
        """All versions of an object."""
        return self._recorder.versions(kind, self.namespace, name)

    def until(
        self,
        kind: str,
        name: str,
        holds: Callable[[Object], bool],
        what: str,
        seconds: float = PATIENCE_SECONDS,
    ) -> Object:
        """The first version since the last change of which something holds."""

        def look() -> Object | None:
            versions = self.versions(kind, name)
            since = self._since[kind, name]
            return next((v for v in versions if version_of(v) >= since and holds(v)), None)

        found = self._recorder.wait(look, seconds)
        assert found is not None, self.explain(f"{kind} {name}: {what}", kind, name)
        return found

    def ready(self, kind: str, name: str, seconds: float = PATIENCE_SECONDS) -> Object:
        """Wait until the object is ready as it is now specified."""
        what = "is Ready for the generation that it has"
        return self.until(kind, name, is_ready, what, seconds)

    def all_ready(self, *manifests: Object) -> list[Object]:
        """Wait for each of them."""
        return [self.ready(m["kind"], m["metadata"]["name"]) for m in manifests if "spec" in m]

    def shows(self, kind: str, name: str, reason: str, *words: str) -> Object:
        """Wait until `Ready` has the reason, and a message with all of the words."""

        def holds(found: Object) -> bool:
            ready = condition(found, "Ready")
            message = ready.get("message", "")
            return ready.get("reason") == reason and all(word in message for word in words)

        return self.until(kind, name, holds, f"has reason {reason} and says {words}")

    def gone(self, kind: str, name: str) -> None:
        """Wait until the object is not there any more."""

        def look() -> bool | None:
            seen = self.versions(kind, name)
            return True if seen and not self._is_there(kind, name) else None

        assert self._recorder.wait(look, PATIENCE_SECONDS), self.explain(
            f"{kind} {name}: is gone", kind, name
        )

    def events(self, name: str) -> list[Object]:
        """Events about objects of that name."""
        found = self._recorder.events(self.namespace)
        return [event for event in found if event["involvedObject"]["name"] == name]

    def eventually(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something that the watch does not bring."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, self.explain(what)
            time.sleep(0.05)

    # What is at Together.

    def remote_name(self, name: str) -> str:
        """Bare name of an object's model or endpoint, unless the spec gives another."""
        return f"{self.namespace}-{name}"

    def models(self) -> dict[str, Object]:
        """Models of this namespace's objects, by bare name."""
        return self._mine("models")

    def endpoints(self) -> dict[str, Object]:
        """Endpoints of this namespace's objects, by bare name."""
        return self._mine("endpoints")

    def deployments(self) -> list[Object]:
        """Deployments on this namespace's endpoints."""
        endpoints = {endpoint["id"] for endpoint in self.endpoints().values()}
        return [d for d in self.simulators.state()["deployments"] if d["endpointId"] in endpoints]

    def audit(self, resource: str, method: str = "POST") -> list[Object]:
        """Calls that changed something of this namespace, oldest first.

        Args:
            resource: model, import (under its model's name), endpoint or deployment.
        """
        mine = (f"{self.namespace}-", *self._deployment_names())
        return [
            entry
            for entry in self.simulators.audit()
            if entry["resource"] == resource
            and entry["method"] == method
            and entry["committed"]
            and entry["name"].startswith(mine)
        ]

    def count(self, resource: str, name: str, method: str = "POST") -> int:
        """How often something of an object's was created (or, with another method, changed)."""
        if resource == "deployment":
            wanted = self._deployment_names(name)
        else:
            wanted = {self.remote_name(name)}
        return sum(entry["name"] in wanted for entry in self.audit(resource, method))

    def remove_endpoint_by_hand(self, name: str) -> None:
        """Stop and delete an endpoint as a person would."""
        endpoint = f"endpoints/{self.endpoints()[self.remote_name(name)]['id']}"
        call = self.simulators.call
        call("PATCH", endpoint, {"trafficSplit": []}, updateMask="trafficSplit")
        for deployment in self.deployments():
            path = f"{endpoint}/deployments/{deployment['id']}"
            bounds = {"minReplicas": 0, "maxReplicas": 0}
            call("PATCH", path, {"autoscaling": bounds}, updateMask="autoscaling")
        self.eventually(
            lambda: all(d["state"] == "STOPPED" for d in self.deployments()), "all is stopped"
        )
        for deployment in self.deployments():
            call("DELETE", f"{endpoint}/deployments/{deployment['id']}")
        call("DELETE", endpoint)

    def _deployment_names(self, name: str | None = None) -> set[str]:
        """Names at Together that the status of our deployments has, or of one of them had."""
        return {
            record["name"]
            for history in self._recorder.histories(self.namespace)
            for version in history
            if (record := version.get("status", {}).get("deployment")) and "name" in record
            if version["metadata"]["name"] == (name or version["metadata"]["name"])
        }

    def _mine(self, what: str) -> dict[str, Object]:
        prefix = f"{self.namespace}-"
        found = {item["name"]: item for item in self.simulators.state()[what]}
        return {name: item for name, item in found.items() if name.startswith(prefix)}

    # The end.

    def close(self) -> None:
        """Delete everything, and see that nothing of it is left at Together."""
        self.surroundings.all_is_well()
        if self._recorder.present(self.namespace):
            self.delete("custommodels,modeldeployments", "--all")
        done = self._recorder.wait(
            lambda: True if not self._recorder.present(self.namespace) else None, PATIENCE_SECONDS
        )
        left = self._recorder.present(self.namespace)
        assert done, self.explain(f"{left} go", *(left[0].split("/") if left else ()))
        assert self.models() == {}, "models are left at Together"
        assert self.endpoints() == {}, "endpoints are left at Together"
        histories = self._recorder.histories(self.namespace)
        assert [v for history in histories for v in violations(history)] == []
        assert self._needless_writes(histories) == []
        mine = f'"{self.namespace}/'
        assert [line[:2000] for line in self.operator.crashes() if mine in line] == []

    def _needless_writes(self, histories: list[list[Object]]) -> list[str]:
        """Objects whose status was written more often than it changed."""
        writes = Counter(
            (entry.resource, entry.name)
            for entry in self.surroundings.cluster.audit()
            if entry.namespace == self.namespace
            and entry.subresource == "status"
            and entry.user == "operator"
            and entry.code == 200
        )
        return [
            f"{kind} {name}: {writes[kind, name]} writes of {changes} changes"
            for history in histories
            for kind, name in [(f"{history[0]['kind'].lower()}s", history[0]["metadata"]["name"])]
            for changes in [status_changes(history)]
            if writes[kind, name] > changes
        ]

    def explain(self, what: str, kind: str = "", name: str = "") -> str:
        """What a person needs to know when something did not come about."""
        versions = self.versions(kind, name)
        status = versions[-1].get("status") if versions else "there is no such object"
        calls = [
            f"{e['method']} {e['path']} {e['name']} -> {e['status']}"
            f"{' (' + e['fault'] + ')' if e['fault'] else ''}"
            for e in self.simulators.audit()[-15:]
        ]
        return "\n".join(
            (
                f"after {PATIENCE_SECONDS:.0f} s still not: {what}",
                f"generation {versions[-1]['metadata']['generation']}" if versions else "",
                json.dumps(status, indent=1),
                "last calls at Together:",
                *calls,
                "the operator's log ends with:",
                self.operator.tail(15),
            )
        )

    def _is_there(self, kind: str, name: str) -> bool:
        return self._recorder.latest(kind, self.namespace, name) is not None

    def _patch(self, kind: str, name: str, patch: Object) -> None:
        resource = f"{kind.lower()}s.together.ai/{name}"
        args = ("patch", resource, "--type=merge", f"--patch={json.dumps(patch)}", "-o", "json")
        self._changed(self.kubectl(*args))

    def _changed(self, output: str) -> None:
        answer = json.loads(output)
        for item in answer.get("items", [answer]):
            self._note(item)

    def _note(self, item: Object, after: int = 0) -> None:
        key = (item["kind"], item["metadata"]["name"])
        self._since[key] = version_of(item) + after


def version_of(found: Object) -> int:
    """The resourceVersion, which orders the versions of an object."""
    return int(found["metadata"]["resourceVersion"])
