"""Whether Kubernetes serves our kinds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kubernetes.aio import client

from together_operator.adapters.kube import translated
from together_operator.adapters.rest import KubeRest
from together_operator.api.v1alpha1 import GROUP, VERSION
from together_operator.domain import errors


async def require_kinds(
    api: client.ApiClient, plurals: Sequence[str], namespaces: Sequence[str]
) -> None:
    """See that kinds can be found, as kopf finds them, and listed in all of some namespaces.

    Raises:
        Unavailable: there are no CRDs of them, or not yet.
        Forbidden, Unauthorized, RateLimited: as Kubernetes says.
    """
    rest = KubeRest(api)
    missing = await _undiscovered(rest, plurals)
    if missing:
        raise errors.Unavailable(_words(missing))
    for plural in plurals:
        for namespace in namespaces:
            path = "/apis/{group}/{version}/namespaces/{namespace}/{plural}"
            names = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": plural}
            try:
                with translated():
                    await rest.ask("GET", path, names, query={"limit": "1"})
            except errors.NotFound:
                raise errors.Unavailable(_words([plural])) from None


async def _undiscovered(rest: KubeRest, plurals: Sequence[str]) -> Collection[str]:
    with translated():
        groups = await rest.ask("GET", "/apis", {})
    if all(group["name"] != GROUP for group in groups["groups"]):
        return plurals
    try:
        with translated():
            names = {"group": GROUP, "version": VERSION}
            found = await rest.ask("GET", "/apis/{group}/{version}", names)
    except errors.NotFound:
        return plurals
    there = {resource["name"] for resource in found["resources"]}
    return [plural for plural in plurals if plural not in there]


def _words(plurals: Collection[str]) -> str:
    names = ", ".join(f"{plural}.{GROUP}" for plural in plurals)
    return f"the CRDs are not installed: {names}"
