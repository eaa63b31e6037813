"""What a team does in a namespace, so that the operator needs every right that it has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.conditions import is_ready
from tests.support.environment import BUCKET
from tests.support.manifests import custom_model, hugging_face, model_deployment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cluster import ThrowawayCluster
    from tests.support.environment import Simulators

Object = dict[str, Any]
CHAT = "tiny/chat"


@dataclass
class Life:
    """`step` does what can be done next, as long as there is something left to do."""

    cluster: ThrowawayCluster
    simulators: Simulators
    namespace: str
    _done: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Apply everything."""
        self.kubectl("apply", "-f", "-", input=self.simulators.s3_secret(self.namespace))
        place = {
            "region": "us-east-1",
            "endpointURL": self.simulators.urls["s3"]["url"],
            "credentialsSecretRef": {"name": "s3-credentials"},
        }
        prefix = {"s3": {**place, "uri": f"s3://{BUCKET}/shared/chat/"}}
        archive = {"destination": {**place, "uri": f"s3://{BUCKET}/archives/"}}
        objects = [
            custom_model("direct", hugging_face(CHAT)),
            custom_model("packed", prefix, archive=archive),
            custom_model("given-up", prefix, archive=archive),
            model_deployment("serve", "direct", connection={"configMapName": "first"}),
            model_deployment("short", "direct", ttl={"seconds": 1, "action": "Delete"}),
        ]
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.kubectl("apply", "-f", "-", input=json.dumps(items))

    def step(self) -> bool:
        """What is possible now; True when everything was done and came about."""
        found = {f"{o['kind']}/{o['metadata']['name']}": o for o in self._objects()}
        if "CustomModel/given-up" not in found:
            self._done.add("given up")
        elif found["CustomModel/given-up"].get("status", {}).get("job"):
            self._once("delete", lambda: self.kubectl("delete", "custommodel/given-up", "--wait=0"))
        self._connect(found.get("ModelDeployment/serve", {}), found)
        if "ModelDeployment/short" not in found:
            self._done.add("ttl")
        if is_ready(found.get("CustomModel/packed", {})):
            self._done.add("packed")
        return {"given up", "ttl", "packed", "moved"} <= self._done

    def end(self) -> None:
        """Delete everything, without waiting for it."""
        self.kubectl("delete", "custommodels,modeldeployments", "--all", "--wait=false")

    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self.kubectl("get", "custommodels,modeldeployments", "-o", "name").strip()

    def _connect(self, serve: Object, found: dict[str, Object]) -> None:
        """Edit what was published, and move it to another name."""
        if not is_ready(serve):
            return
        model = found_data(found, "first").get("model")
        if "edited" not in self._done and model:
            self._patch("configmap/first", {"data": {"model": "edited"}})
            self._patch("modeldeployment/serve", {"metadata": {"annotations": {"look": "again"}}})
            self._done.add("edited")
        elif "edited" in self._done and model and model != "edited":
            self._patch(
                "modeldeployment/serve", {"spec": {"connection": {"configMapName": "second"}}}
            )
        elif found_data(found, "second") and not model:
            self._done.add("moved")

    def _objects(self) -> list[Object]:
        kinds = "custommodels,modeldeployments,configmaps"
        items: list[Object] = json.loads(self.kubectl("get", kinds, "-o", "json"))["items"]
        return items

    def _once(self, name: str, act: Callable[[], object]) -> None:
        if name not in self._done:
            self._done.add(name)
            act()

    def _patch(self, name: str, change: Object) -> None:
        self.kubectl("patch", name, "--type=merge", f"--patch={json.dumps(change)}")

    def kubectl(self, *args: str, **options: Any) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *args, **options)


def found_data(found: dict[str, Object], name: str) -> dict[str, str]:
    """Data of a ConfigMap; empty when it isn't there."""
    data: dict[str, str] = found.get(f"ConfigMap/{name}", {}).get("data", {})
    return data
