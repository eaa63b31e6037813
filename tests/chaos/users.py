"""What users do during the storm: create, change, delete, and create again."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any

from tests.chaos.verdict import Allowed
from tests.support.cluster import ThrowawayCluster
from tests.support.cluster.errors import KubectlError

Object = dict[str, Any]
NAMESPACE = "storm"
BASE = "Qwen/Qwen2.5-0.5B-Instruct"
KINDS = "custommodels,modeldeployments"
BATCH = 25
PATIENCE_SECONDS = 300.0


class Users(threading.Thread):
    """Works until everything was done once; what it can't do now, it tries again.

    Args:
        pairs: number of CustomModels, each with a ModelDeployment of the same name.
        repositories: two models on the hub.
        pause: seconds between batches.
    """

    def __init__(
        self,
        cluster: ThrowawayCluster,
        pairs: int,
        repositories: tuple[str, str],
        pause: float,
        rng: random.Random,
    ) -> None:
        super().__init__(name="users", daemon=True)
        self.allowed = Allowed()
        self.wanted: set[str] = set()
        """Names of the pairs that shall be there in the end."""

        self.error: BaseException | None = None
        self.done = 0
        self._cluster = cluster
        self._names = [f"m{number:03}" for number in range(pairs)]
        self._repositories = repositories
        self._pause = pause
        self._rng = rng

    def run(self) -> None:
        """Do all of it."""
        try:
            batches = [self._names[n : n + BATCH] for n in range(0, len(self._names), BATCH)]
            for number, batch in enumerate(batches):
                self._create(batch)
                if number:
                    self._change(batches[number - 1])
                if number > 1:
                    self._remove(batches[number - 2])
            for batch in batches[-1:]:
                self._change(batch)
            for batch in batches[-2:]:
                self._remove(batch)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.error = error

    def _create(self, names: list[str]) -> None:
        self._apply([m for name in names for m in self._pair(name)])
        self._lives(names)

    def _lives(self, names: list[str]) -> None:
        for name in names:
            self.allowed.lives[f"{NAMESPACE}-{name}"] += 1
            self.wanted.add(name)
        self._rest(len(names))

    def _change(self, names: list[str]) -> None:
        """A third gets another source, a third other words, a third other replicas."""
        changed = []
        for number, name in enumerate(names):
            model, deployment = self._pair(name)
            if number % 3 == 0:
                model["spec"]["source"] = {"huggingFace": {"repo": self._repositories[1]}}
                self.allowed.sources[f"{NAMESPACE}-{name}"] += 1
            elif number % 3 == 1:
                model["spec"]["description"] = f"changed {self._rng.random()}"
            else:
                deployment["spec"]["replicas"] = self._rng.choice((0, 2, 3))
            changed += [model, deployment]
        self._apply(changed)
        self._rest(len(names))

    def _remove(self, names: list[str]) -> None:
        """A third goes for good, and a third is created anew under the same names."""
        chosen = self._rng.sample(names, 2 * len(names) // 3)
        self.wanted -= set(chosen)
        things = [f"{kind}/{name}" for name in chosen for kind in KINDS.split(",")]
        self._kubectl("delete", "--wait=false", "--ignore-not-found", *things)
        again = chosen[: len(chosen) // 2]
        self._kubectl("wait", "--for=delete", *[t for t in things if t.partition("/")[2] in again])
        self._create(again)

    def _pair(self, name: str) -> tuple[Object, Object]:
        source = {"huggingFace": {"repo": self._repositories[0]}}
        return (
            _object("CustomModel", name, {"baseModel": BASE, "source": source}),
            _object("ModelDeployment", name, {"modelRef": {"name": name}, "replicas": 1}),
        )

    def _apply(self, manifests: list[Object]) -> None:
        every = {"apiVersion": "v1", "kind": "List", "items": manifests}
        self._kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(every))

    def _kubectl(self, *args: str, stdin: str | None = None) -> None:
        """Run it until it works: the API server may be away."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._cluster.kubectl(f"--namespace={NAMESPACE}", *args, input=stdin)
            except KubectlError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

    def _rest(self, done: int) -> None:
        self.done += done
        time.sleep(self._pause)


def _object(kind: str, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "together.ai/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
