"""Everything that a watch shows: each version of our objects, and the events about them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from kubernetes.client import ApiException, CoreV1Api, CustomObjectsApi
from kubernetes.config import new_client_from_config
from kubernetes.watch import Watch

from together_operator.api.v1alpha1 import GROUP, VERSION, CustomModel, ModelDeployment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Object = dict[str, Any]
T = TypeVar("T")

PLURALS = {
    "CustomModel": CustomModel.definition.plural,
    "ModelDeployment": ModelDeployment.definition.plural,
}


class Recorder:
    """Watches all namespaces in threads of its own, from `start` on."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._news = threading.Condition(threading.RLock())
        self._versions: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
        self._deleted: set[tuple[str, str, str]] = set()
        self._events: list[Object] = []
        self._stopped = False

    def start(self) -> None:
        """Begin to watch."""
        config = str(self._kubeconfig)
        for kind, plural in PLURALS.items():
            api = CustomObjectsApi(new_client_from_config(config_file=config))  # type: ignore[no-untyped-call]
            self._follow(kind, api.list_cluster_custom_object, GROUP, VERSION, plural)
        core = CoreV1Api(new_client_from_config(config_file=config))  # type: ignore[no-untyped-call]
        self._follow("Event", core.list_event_for_all_namespaces)

    def stop(self) -> None:
        """Let the threads end with their connections."""
        self._stopped = True

    def versions(self, kind: str, namespace: str, name: str) -> list[Object]:
        """All versions of an object, oldest first; the one it was deleted in is the last."""
        with self._news:
            return list(self._versions.get((kind, namespace, name), []))

    def histories(self, namespace: str) -> list[list[Object]]:
        """The versions of each object that there ever was in a namespace."""
        with self._news:
            return [list(found) for key, found in self._versions.items() if key[1] == namespace]

    def every_version(self) -> list[Object]:
        """All versions of all objects."""
        with self._news:
            return [version for history in self._versions.values() for version in history]

    def latest(self, kind: str, namespace: str, name: str) -> Object | None:
        """The newest version; None when the object is not there."""
        with self._news:
            if (kind, namespace, name) in self._deleted:
                return None
            found = self._versions.get((kind, namespace, name))
            return found[-1] if found else None

    def present(self, namespace: str) -> list[str]:
        """`Kind/name` of the objects in a namespace."""
        with self._news:
            return [
                f"{key[0]}/{key[2]}"
                for key in self._versions
                if key[1] == namespace and key not in self._deleted
            ]

    def events(self, namespace: str) -> list[Object]:
        """Events about our objects in a namespace."""
        with self._news:
            return [
                event
                for event in self._events
                if event["metadata"]["namespace"] == namespace
                and event["involvedObject"]["kind"] in PLURALS
            ]

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """What `look` finds, tried again with everything that the watch brings; None if too late.

        `look` runs while nothing is added, and may use every method here.
        """
        deadline = time.monotonic() + seconds
        while True:
            with self._news:
                found = look()
                left = deadline - time.monotonic()
                if found is not None or left <= 0:
                    return found
                self._news.wait(min(left, 1.0))

    def _follow(self, kind: str, *listing: Any) -> None:
        thread = threading.Thread(
            target=self._watch, args=(kind, *listing), name=f"watch {kind}", daemon=True
        )
        thread.start()

    def _watch(self, kind: str, *listing: Any) -> None:
        while True:
            watch = Watch()  # type: ignore[no-untyped-call]
            try:
                for event in watch.stream(*listing):  # type: ignore[no-untyped-call]
                    if self._stopped:
                        return
                    self._add(kind, event["type"], event["raw_object"])
            except Exception as error:
                # The cluster ends after us, and the connection with it.
                if self._stopped:
                    return
                # As after a changed CRD. A new watch begins with what there is.
                if not (isinstance(error, ApiException) and error.status == HTTPStatus.GONE):
                    raise

    def _add(self, kind: str, change: str, found: Object) -> None:
        metadata = found["metadata"]
        key = (kind, metadata["namespace"], metadata["name"])
        with self._news:
            if kind == "Event":
                self._events.append(found)
            elif change == "DELETED" or not self._has(key, metadata["resourceVersion"]):
                self._versions[key].append(found)
                (self._deleted.add if change == "DELETED" else self._deleted.discard)(key)
            self._news.notify_all()

    def _has(self, key: tuple[str, str, str], version: str) -> bool:
        found = self._versions[key]
        return bool(found) and found[-1]["metadata"]["resourceVersion"] == version
