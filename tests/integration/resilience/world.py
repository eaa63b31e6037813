"""A cluster, simulators, and operators that each test starts, stops, pauses and cuts off."""

from __future__ import annotations

import contextlib
import json
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.cluster.errors import KubectlError
from tests.support.conditions import is_ready
from tests.support.environment import OperatorProcess, operator_environment, until
from tests.support.relay import kubeconfig_through

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.support.cluster import ThrowawayCluster
    from tests.support.environment import Simulators
    from tests.support.relay import Relay

Object = dict[str, Any]
REPO = "tiny/model"
BASE = "Qwen/Qwen2.5-0.5B-Instruct"
SETTINGS = {
    "poll_seconds": "0.3",
    "settle_seconds": "3",
    "retry_max_seconds": "2",
    "resync_seconds": "5",
    "lease_seconds": "10",
}
PATIENCE_SECONDS = 120.0
KUBECTL_SECONDS = 0.4
"""Between two looks with kubectl, which takes a tenth of a second of CPU."""

KINDS = "custommodels,modeldeployments"


@dataclass
class World:
    """See the module. `api` is a relay before the API server."""

    cluster: ThrowawayCluster
    simulators: Simulators
    api: Relay
    folder: Path
    namespace: str
    operators: list[OperatorProcess] = field(default_factory=list)

    def start(self, identity: str, *, relayed: bool = False, **settings: str) -> OperatorProcess:
        """Start an operator, which is not waited for."""
        environment = operator_environment(
            self.cluster, self.simulators, identity=identity, **{**SETTINGS, **settings}
        )
        if relayed:
            path = self.folder / f"kubeconfig-{identity}"
            kubeconfig_through(self.api, self.cluster.kubeconfig("operator"), path)
            environment["KUBECONFIG"] = str(path)
        operator = OperatorProcess(environment, self.folder / f"{self.namespace}-{identity}.log")
        operator.start()
        self.operators.append(operator)
        return operator

    @contextlib.contextmanager
    def more_leases(self, *names: str) -> Iterator[None]:
        """Let operators have Leases of other names than the one that their role is about."""
        for name in names:
            self.cluster.kubectl("delete", "lease", name, "--ignore-not-found")
        group = "rbac.authorization.k8s.io"
        metadata = {"name": "more-leases", "namespace": "default"}
        leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
        rules = [
            {**leases, "resourceNames": list(names), "verbs": ["get", "update"]},
            {**leases, "verbs": ["create"]},
        ]
        role = {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "more-leases"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "operator"}],
        }
        every = {"apiVersion": "v1", "kind": "List", "items": [role, binding]}
        self.cluster.kubectl("apply", "-f", "-", input=json.dumps(every))
        try:
            yield
        finally:
            # Other tests take such rights away, and see what is refused then.
            self.cluster.kubectl("delete", "-f", "-", input=json.dumps(every))

    def pair(self, name: str, **spec: Any) -> list[Object]:
        """A CustomModel and a ModelDeployment of it."""
        source = {"huggingFace": {"repo": REPO}}
        return [
            self._object("CustomModel", name, {"baseModel": BASE, "source": source, **spec}),
            self._object("ModelDeployment", name, {"modelRef": {"name": name}}),
        ]

    def apply(self, *manifests: Object) -> None:
        """`kubectl apply`."""
        every = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(every))

    def kubectl(self, *args: str, **options: Any) -> str:
        """Run kubectl in the namespace as the administrator."""
        return self.cluster.kubectl(f"--namespace={self.namespace}", *args, **options)

    def describe(self, name: str, words: str) -> None:
        """Change the description of a CustomModel, which shows at Together when it is noticed."""
        patch = json.dumps({"spec": {"description": words}})
        self.kubectl("patch", "custommodel", name, "--type=merge", f"--patch={patch}")

    def described(self, name: str, words: str) -> None:
        """Wait until Together has the description."""
        self.until(
            lambda: self.description(name) == words, f"the description at Together is {words!r}"
        )

    def description(self, name: str) -> str:
        """A model's description at Together."""
        record = self.models()[f"{self.namespace}-{name}"]
        return str(self.simulators.call("GET", f"models/{record['id']}")["description"])

    def ready(self, names: Iterable[str]) -> None:
        """Wait until both objects of each name are Ready."""
        wanted = set(names)

        def holds() -> bool:
            with contextlib.suppress(KubectlError):
                found = json.loads(self.kubectl("get", KINDS, "-o", "json"))["items"]
                good = [o for o in found if o["metadata"]["name"] in wanted and is_ready(o)]
                return len(good) == 2 * len(wanted)
            return False

        self.until(holds, f"{sorted(wanted)} are ready", pause=KUBECTL_SECONDS)

    def until(self, holds: Callable[[], bool], what: str, *, pause: float = 0.05) -> None:
        """Wait, for longer than any timeout takes."""
        until(holds, PATIENCE_SECONDS, what, self._logs, pause=pause)

    def created(self) -> dict[str, int]:
        """How often each thing of this namespace was created, by `resource name`."""
        endpoints = {e["id"] for e in self.simulators.state()["endpoints"] if self._is_mine(e)}
        counts: dict[str, int] = {}
        for entry in self.simulators.audit():
            if entry["method"] != "POST" or not entry["committed"]:
                continue
            on = entry["path"].partition("/endpoints/")[2].partition("/")[0]
            if not self._is_mine(entry) and on not in endpoints:
                continue
            what = f"{entry['resource']} {entry['name']}"
            counts[what] = counts.get(what, 0) + 1
        return counts

    def models(self) -> dict[str, Object]:
        """Models of this namespace, by bare name."""
        return {m["name"]: m for m in self.simulators.state()["models"] if self._is_mine(m)}

    def logged(self, operator: OperatorProcess, event: str) -> list[Object]:
        """Entries of an operator's log."""
        lines = operator.log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry.get("event") == event]

    def close(self) -> None:
        """Let an operator delete everything, and end all."""
        for operator in self.operators:
            if operator.process is not None and not operator.has_ended():
                operator.process.send_signal(signal.SIGCONT)
            operator.stop()
        # One that was cut off could not release it.
        self.cluster.kubectl("delete", "lease", "together-operator", "--ignore-not-found")
        last = self.start("last")
        self.kubectl("delete", KINDS, "--all", "--wait=false")
        self.until(
            lambda: not self.kubectl("get", KINDS, "-o", "name"),
            "all objects go",
            pause=KUBECTL_SECONDS,
        )
        last.stop()
        assert self.models() == {}, "models are left at Together"
        left = [e for e in self.simulators.state()["endpoints"] if self._is_mine(e)]
        assert left == [], "endpoints are left at Together"
        assert [line[:2000] for operator in self.operators for line in operator.crashes()] == []

    def _is_mine(self, item: Object) -> bool:
        return str(item["name"]).startswith(f"{self.namespace}-")

    def _object(self, kind: str, name: str, spec: Object) -> Object:
        return {
            "apiVersion": "together.ai/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }

    def _logs(self) -> str:
        return "\n".join(f"{o.log.name}:\n{o.tail(15)}" for o in self.operators)
