"""What users do during the storm: create, change, delete, and create again."""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.chaos.verdict import Allowed
from tests.support.cluster import ThrowawayCluster
from tests.support.cluster.errors import KubectlError

Object = dict[str, Any]
NAMESPACE = "storm"
BASE = "Qwen/Qwen2.5-0.5B-Instruct"
KINDS = "custommodels,modeldeployments"
BATCH = 25
PEOPLE = 4
PATIENCE_SECONDS = 300.0
RETRY_SECONDS = 1.0


class Users(threading.Thread):
    """Several people at once, until everything was done once; what fails is tried again.

    Args:
        pairs: number of CustomModels, each with a ModelDeployment of the same name.
        repositories: two models on the hub.
        seconds: over which the work is spread, as long as nobody has to wait.
    """

    def __init__(
        self,
        cluster: ThrowawayCluster,
        pairs: int,
        repositories: tuple[str, str],
        seconds: float,
        rng: random.Random,
    ) -> None:
        super().__init__(name="users", daemon=True)
        self.allowed = Allowed()
        names = [f"m{number:03}" for number in range(pairs)]
        batches = [names[n : n + BATCH] for n in range(0, len(names), BATCH)]
        own = [batches[n::PEOPLE] for n in range(PEOPLE)]
        most = max(len(part) for part in own)
        pause = seconds / (3 * most)
        self._people = [
            _User(cluster, part, repositories, pause, self.allowed, random.Random(rng.random()))
            for part in own
            if part
        ]
        self.error: BaseException | None = None

    @property
    def wanted(self) -> set[str]:
        """Names of the pairs that shall be there in the end."""
        return set().union(*(user.wanted for user in self._people))

    @property
    def done(self) -> int:
        """Pairs that were created or changed so far."""
        return sum(user.done for user in self._people)

    def run(self) -> None:
        """Do all of it."""
        with ThreadPoolExecutor(PEOPLE, "user") as threads:
            for work in [threads.submit(user.work) for user in self._people]:
                error = work.exception()
                self.error = self.error or error


class _User:
    """One of them, with pairs that nobody else touches."""

    def __init__(
        self,
        cluster: ThrowawayCluster,
        batches: list[list[str]],
        repositories: tuple[str, str],
        pause: float,
        allowed: Allowed,
        rng: random.Random,
    ) -> None:
        self.wanted: set[str] = set()
        self.done = 0
        self._allowed = allowed
        self._cluster = cluster
        self._batches = batches
        self._repositories = repositories
        self._pause = pause
        self._rng = rng

    def work(self) -> None:
        """Create, change, and remove, each batch a step after the one before."""
        batches = self._batches
        for number, batch in enumerate(batches):
            self._create(batch)
            if number:
                self._change(batches[number - 1])
            if number > 1:
                self._remove(batches[number - 2])
        self._change(batches[-1])
        for batch in batches[-2:]:
            self._remove(batch)

    def _create(self, names: list[str]) -> None:
        self._apply([m for name in names for m in self._pair(name)])
        self._lives(names)

    def _lives(self, names: list[str]) -> None:
        for name in names:
            self._allowed.lives[f"{NAMESPACE}-{name}"] += 1
            self.wanted.add(name)
        self._rest(len(names))

    def _change(self, names: list[str]) -> None:
        """A third gets another source, a third other words, a third other replicas."""
        changed = []
        for number, name in enumerate(names):
            model, deployment = self._pair(name)
            if number % 3 == 0:
                model["spec"]["source"] = {"huggingFace": {"repo": self._repositories[1]}}
                self._allowed.sources[f"{NAMESPACE}-{name}"] += 1
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
                time.sleep(RETRY_SECONDS)
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
