"""Our objects as the operator lists them: in pages, of all namespaces or of those it serves."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio import client, config

from tests.integration.crds.manifests import DEPLOYMENT, changed
from together_operator.adapters import kube
from together_operator.api.v1alpha1 import ModelDeployment
from together_operator.engine.store import Key, key_of

if TYPE_CHECKING:
    from tests.integration.crds.objects import Objects
    from tests.support.cluster import ThrowawayCluster

pytestmark = pytest.mark.integration

NAMES = [f"listed-{number}" for number in range(5)]


async def _listed(cluster: ThrowawayCluster, namespaces: tuple[str, ...]) -> list[Key]:
    settings = client.Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(cluster.kubeconfig()), client_configuration=settings
    )
    async with client.ApiClient(settings) as api:
        listing = kube.KubeObjects(api, ModelDeployment.definition.plural, namespaces)
        served = await listing.list()
        everywhere = [body async for body in listing.bodies()]
        assert all(body in everywhere for body in served)
        assert (await listing.versions()).keys() == {key_of(body) for body in served}
        return [key_of(body) for body in served]


@pytest.mark.parametrize("page", [2, 5, 500])
async def test_every_object_is_listed_once_whatever_a_page_holds(
    served: ThrowawayCluster, objects: Objects, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(kube, "PAGE", page)
    with ExitStack() as stack, served.new_namespace() as empty:
        for name in NAMES:
            stack.enter_context(objects.stored(changed(DEPLOYMENT, {"metadata.name": name})))
        mine = [Key(objects.namespace, name) for name in NAMES]

        assert await _listed(served, ()) == mine
        assert await _listed(served, (empty, objects.namespace)) == mine
        assert await _listed(served, (empty,)) == []
