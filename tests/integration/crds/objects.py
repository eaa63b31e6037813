"""Objects of our kinds on the real API server, and why it refuses some."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kubernetes.client.exceptions import ApiException

from tests.integration.crds.cases import Refusal
from tests.support.cluster import ClusterError
from together_operator.api.v1alpha1 import GROUP, KINDS, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubernetes.client import CustomObjectsApi

    from tests.integration.crds.manifests import Manifest

T = TypeVar("T")

PLURALS = {kind.definition.kind: kind.definition.plural for kind in KINDS}


class Objects:
    """Creates and updates objects in one namespace, for good or as a dry run."""

    def __init__(self, api: CustomObjectsApi, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object and return it as stored."""
        return self._body(
            self._api.create_namespaced_custom_object(
                *self._at(manifest), body=manifest, dry_run="All" if dry_run else None
            )
        )

    def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Update an object's spec."""
        return self._body(
            self._api.replace_namespaced_custom_object(
                *self._at(manifest),
                manifest["metadata"]["name"],
                body=manifest,
                dry_run="All" if dry_run else None,
            )
        )

    def replace_status(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Write an object's status."""
        return self._body(
            self._api.replace_namespaced_custom_object_status(
                *self._at(manifest),
                manifest["metadata"]["name"],
                body=manifest,
                dry_run="All" if dry_run else None,
            )
        )

    def get(self, manifest: Manifest) -> Manifest:
        """Read an object."""
        return self._body(
            self._api.get_namespaced_custom_object(
                *self._at(manifest), manifest["metadata"]["name"]
            )
        )

    @contextmanager
    def stored(self, manifest: Manifest, status: Manifest | None = None) -> Iterator[Manifest]:
        """An object for the time of the block; without finalizers, it is gone right after."""
        present = self.create(manifest)
        try:
            yield self.replace_status(present | {"status": status}) if status else present
        finally:
            self._api.delete_namespaced_custom_object(
                *self._at(manifest), manifest["metadata"]["name"]
            )

    def _at(self, manifest: Manifest) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURALS[manifest["kind"]]

    @staticmethod
    def _body(answer: object) -> dict[str, Any]:
        assert isinstance(answer, dict)
        return answer


def refusals(attempt: Callable[[], object]) -> list[Refusal]:
    """The causes for which the API server refuses, as invalid, what `attempt` does; else none."""
    try:
        attempt()
    except ApiException as error:
        answer = json.loads(error.body or "{}")
        assert answer["reason"] == "Invalid", answer
        return [
            Refusal(cause.get("field", ""), cause["message"])
            for cause in answer["details"]["causes"]
        ]
    return []


def eventually(attempt: Callable[[], T], seconds: float = 30.0) -> T:
    """Try until it works: the API server takes a moment to serve a new CRD."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (AssertionError, ClusterError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
