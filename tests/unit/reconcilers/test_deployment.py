"""A look for what a ModelDeployment has at Together, where lists and records may lag behind."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.unit.domain.serving_situations import DEPLOYMENT, ENDPOINT, SERVING, model_deployment
from tests.unit.domain.situations import NOW, PROCESS
from together_operator.domain import errors
from together_operator.domain.deployment import actions
from together_operator.domain.deployment.observed import name_prefix
from together_operator.domain.failures import StageError
from together_operator.domain.plan import RemoveFinalizer
from together_operator.domain.together import Deployment, Endpoint
from together_operator.engine.store import Store
from together_operator.reconcilers.account import Account
from together_operator.reconcilers.deployment import DeploymentReconciler
from together_operator.reconcilers.driver import World
from together_operator.reconcilers.ledger import Ledger
from together_operator.reconcilers.listing import Listing
from together_operator.reconcilers.spending import Spending

JUST_CREATED = timedelta(seconds=3)
LONG_AGO = timedelta(seconds=PROCESS.settle + 2)


@dataclass
class Blind:
    """A Together that shows no more than these, whatever is there."""

    endpoint: Endpoint | None = None
    shown: tuple[Deployment, ...] = ()
    deleted: list[str] = field(default_factory=list)

    async def list_models(self, priority: Any = None) -> list[Any]:
        return []

    async def list_endpoints(self, priority: Any = None) -> list[Endpoint]:
        return [self.endpoint] if self.endpoint is not None else []

    async def get_endpoint(self, endpoint_id: str) -> Endpoint:
        if self.endpoint is None:
            raise errors.NotFound("not there", status=404)
        return self.endpoint

    async def list_deployments(self, endpoint_id: str) -> list[Deployment]:
        return list(self.shown)

    async def list_rollouts(self, endpoint_id: str) -> list[Any]:
        return []

    async def list_instance_types(self) -> list[Any]:
        return []

    async def project_slug(self) -> str:
        return "acme"

    async def delete_deployment(self, endpoint_id: str, deployment_id: str) -> None:
        self.deleted.append(deployment_id)

    async def delete_endpoint(self, endpoint_id: str) -> None:
        self.deleted.append(endpoint_id)


class Deleted:
    """An object whose deployment was created at NOW, and which was deleted since."""

    def __init__(self, provider: Blind) -> None:
        self.now = NOW
        self.md = model_deployment({}, SERVING, deleted=True)
        self.ledger = Ledger(self._wall)
        made: Any = provider
        account = Account(
            made,
            Listing(made.list_models, lambda model: model.bare_name, self._clock),
            Listing(made.list_models, lambda model: model.model_id, self._clock),
            Listing(made.list_endpoints, lambda endpoint: endpoint.bare_name, self._clock),
            self._clock,
        )

        class Accounts:
            async def of(self, *place: object) -> Account:
                return account

        none: Any = None
        accounts: Any = Accounts()
        world = World(PROCESS, none, none, self.ledger, self._wall, random.Random(0))
        self.reconciler = DeploymentReconciler(
            world, none, Store(), accounts, none, Spending(), none, Store()
        )

    def _wall(self) -> datetime:
        return self.now

    def _clock(self) -> float:
        return 1000.0 + (self.now - NOW).total_seconds()

    async def created(self) -> None:
        async def create() -> None:
            """It has happened."""

        await self.ledger.send("uid-serve", "Deployment", create)
        self.ledger.forget("uid-serve")

    async def action(self, since: timedelta) -> object:
        self.now = NOW + since
        return self.reconciler.decide(await self.reconciler.gather(self.md), self.now).action


BLIND = pytest.mark.parametrize(
    "endpoint", [None, ENDPOINT], ids=["no endpoint is seen", "no deployment is seen"]
)


@BLIND
async def test_a_deletion_soon_after_a_create_does_not_believe_that_nothing_is_there(
    endpoint: Endpoint | None,
) -> None:
    deleted = Deleted(Blind(endpoint))
    await deleted.created()

    with pytest.raises(StageError, match="not visible at Together yet"):
        await deleted.action(JUST_CREATED)

    assert isinstance(
        await deleted.action(LONG_AGO),
        RemoveFinalizer if endpoint is None else actions.DeleteEndpoint,
    )


@BLIND
async def test_what_the_deletion_itself_took_down_is_believed_to_be_gone_at_once(
    endpoint: Endpoint | None,
) -> None:
    deleted = Deleted(Blind(endpoint))
    await deleted.created()
    await deleted.reconciler.act(deleted.md, actions.DeleteDeployment("ep_1", "dep_1"))
    if endpoint is None:
        await deleted.reconciler.act(deleted.md, actions.DeleteEndpoint("ep_1"))

    assert isinstance(
        await deleted.action(JUST_CREATED),
        RemoveFinalizer if endpoint is None else actions.DeleteEndpoint,
    )


async def test_a_deletion_goes_on_with_what_is_seen_where_status_names_something_else() -> None:
    provider = Blind(ENDPOINT)
    deleted = Deleted(provider)
    await deleted.created()
    made = f"acme/team-serve/{name_prefix(deleted.md, PROCESS.cluster_id)}-1"
    provider.shown = (replace(DEPLOYMENT, id="dep_2", name=made),)

    action = await deleted.action(JUST_CREATED)

    assert action == actions.ScaleDeployment("ep_1", "dep_2", 0)
