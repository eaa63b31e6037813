"""What the storm's users do: everybody's work is done, and what is wanted in the end is known."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import Any, cast

import pytest

from tests.chaos import users
from tests.chaos.users import NAMESPACE, Users
from tests.support.cluster import ThrowawayCluster
from tests.support.cluster.errors import KubectlError


class Cluster:
    """Keeps what is applied, and deletes at once; `away` calls fail before that."""

    def __init__(self, away: int = 0) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.created: Counter[str] = Counter()
        self.changed: Counter[str] = Counter()
        self._away = away
        self._lock = threading.Lock()

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        """The verbs that users use."""
        with self._lock:
            if self._away:
                self._away -= 1
                raise KubectlError(args, 1, "", "the API server is away")
            verb = args[1]
            if verb == "apply":
                for item in json.loads(input or "")["items"]:
                    self._apply(item)
            elif verb == "delete":
                for thing in args[4:]:
                    kind, _, name = thing.partition("/")
                    self.objects.pop((kind, name), None)
            return ""

    def _apply(self, item: dict[str, Any]) -> None:
        key = (f"{item['kind'].lower()}s", item["metadata"]["name"])
        if key not in self.objects:
            self.created["/".join(key)] += 1
        elif self.objects[key] != item:
            self.changed["/".join(key)] += 1
        self.objects[key] = item


def storm(cluster: Cluster, pairs: int) -> Users:
    """Users at work, until they are done."""
    fake = cast("ThrowawayCluster", cluster)
    crowd = Users(fake, pairs, ("tiny/one", "tiny/two"), 0.0, random.Random(1))
    crowd.start()
    crowd.join(60)
    assert not crowd.is_alive()
    return crowd


@pytest.mark.parametrize("pairs", [5, 20, 30, 130, 300])
def test_all_of_it_is_done_once(pairs: int) -> None:
    cluster = Cluster()
    crowd = storm(cluster, pairs)

    assert crowd.error is None
    assert {name for _, name in cluster.objects} == crowd.wanted
    assert len(cluster.objects) == 2 * len(crowd.wanted)
    assert 0 < len(crowd.wanted) < pairs
    lives = {name.removeprefix(f"{NAMESPACE}-"): n for name, n in crowd.allowed.lives.items()}
    assert lives == {n.partition("/")[2]: c for n, c in cluster.created.items()}
    assert set(lives) == {f"m{number:03}" for number in range(pairs)}
    assert max(lives.values()) == 2, "some are created anew"
    sources = sum(crowd.allowed.sources.values())
    assert 0 < sources <= sum(cluster.changed.values())


def test_what_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "RETRY_SECONDS", 0.0)
    crowd = storm(Cluster(away=7), 20)
    assert crowd.error is None
    assert crowd.done > 0


def test_what_never_works_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "PATIENCE_SECONDS", 0.0)
    crowd = storm(Cluster(away=10**6), 20)
    assert isinstance(crowd.error, KubectlError)
