"""Does what a decision about a ModelDeployment asks for: one thing outside at a time."""

from __future__ import annotations

import contextlib

from together_operator.api.v1alpha1 import (
    ModelDeployment,
    ModelDeploymentStatus,
    SecretKeyRef,
)
from together_operator.domain.deployment import actions, connection, observed, status
from together_operator.domain.errors import Conflict, NotFound, Rejected
from together_operator.domain.failures import OBJECT_STAGE, during
from together_operator.domain.plan import is_deleting
from together_operator.engine.store import Key
from together_operator.ports import ConfigMaps, Objects
from together_operator.reconcilers.account import Account, Accounts
from together_operator.reconcilers.driver import Result
from together_operator.reconcilers.ledger import Ledger

ActionResult = Result[ModelDeploymentStatus, actions.Action]

_IN_CLUSTER = (actions.Publish, actions.Unpublish, actions.DeleteObject)
"""What is done in Kubernetes, and asks nothing of Together."""

_ROLLING = (actions.CreateRollout, actions.ActOnRollout, actions.DeleteRollout)
"""What belongs to the stage of a rollout."""


class DeploymentActions:
    """See the module."""

    def __init__(
        self, ledger: Ledger, objects: Objects, accounts: Accounts, config_maps: ConfigMaps
    ) -> None:
        self._ledger = ledger
        self._objects = objects
        self._accounts = accounts
        self._config_maps = config_maps

    async def do(self, md: ModelDeployment, action: actions.Action) -> ActionResult | None:
        """Do it; None: it has no result to store.

        Raises:
            StageError: it could not be done, or may have been.
        """
        if isinstance(action, _IN_CLUSTER):
            await self._act_in_cluster(md, action)
            return None
        stage = status.ROLL if isinstance(action, _ROLLING) else status.DEPLOY
        with during("" if is_deleting(md) else stage):
            account = await self._accounts.of(*account_of(md))
            match action:
                case actions.CreateEndpoint(name):
                    return await self._create_endpoint(md, account, name)
                case actions.CreateDeployment():
                    return await self._create_deployment(md, account, action)
                case actions.ScaleDeployment():
                    return await self._scale(account, action)
                case actions.SetTraffic(endpoint_id, split, etag):
                    endpoint = await account.provider.set_traffic(endpoint_id, split, etag)
                    account.endpoints.put(endpoint)
                case actions.DeleteDeployment(endpoint_id, deployment_id):
                    with contextlib.suppress(NotFound):
                        await account.provider.delete_deployment(endpoint_id, deployment_id)
                    self._ledger.deleted(md.metadata.uid, deployment_id)
                    return Result(lambda s: status.without_deployment(s, deployment_id))
                case actions.CreateRollout(endpoint_id, new):
                    await account.provider.create_rollout(endpoint_id, new)
                case actions.ActOnRollout() | actions.DeleteRollout():
                    await _act_on_rollout(account, action)
                case actions.DeleteEndpoint(endpoint_id):
                    with contextlib.suppress(NotFound):
                        await account.provider.delete_endpoint(endpoint_id)
                    self._ledger.deleted(md.metadata.uid, endpoint_id)
                    account.endpoints.remove(endpoint_id)
        return None

    async def _act_in_cluster(
        self,
        md: ModelDeployment,
        action: actions.Publish | actions.Unpublish | actions.DeleteObject,
    ) -> None:
        namespace, uid = md.metadata.namespace, md.metadata.uid
        with during(OBJECT_STAGE if isinstance(action, actions.DeleteObject) else status.PUBLISH):
            match action:
                case actions.Publish(name, data):
                    manifest = connection.manifest(md, name, data)
                    await self._config_maps.write(namespace, manifest)
                case actions.Unpublish(name):
                    await self._config_maps.delete(namespace, name, uid)
                case actions.DeleteObject():
                    await self._objects.delete(Key(namespace, md.metadata.name), uid)

    async def _scale(
        self, account: Account, action: actions.ScaleDeployment
    ) -> ActionResult | None:
        scaling = action.scaling
        await account.provider.scale_deployment(
            action.endpoint_id,
            action.deployment_id,
            action.replicas,
            action.replicas if scaling is None else scaling.high,
            action.change,
        )
        if scaling is None or not action.starts:
            return None
        return Result(lambda before: status.with_start_asked(before, scaling))

    async def _create_endpoint(
        self, md: ModelDeployment, account: Account, name: str
    ) -> ActionResult:
        endpoint = await self._ledger.send(
            md.metadata.uid,
            observed.ENDPOINT_INTENT,
            lambda: account.provider.create_endpoint(name),
        )
        if not endpoint.placeholder:
            account.endpoints.put(endpoint)
        return Result(lambda before: status.with_endpoint(before, endpoint))

    async def _create_deployment(
        self, md: ModelDeployment, account: Account, action: actions.CreateDeployment
    ) -> ActionResult:
        deployment = await self._ledger.send(
            md.metadata.uid,
            observed.DEPLOYMENT_INTENT,
            lambda: account.provider.create_deployment(action.endpoint_id, action.new),
        )
        if action.is_target:
            return Result(lambda before: status.with_target(before, deployment))
        return Result(
            lambda before: status.with_deployment(before, deployment, action.record, action.model)
        )


def account_of(md: ModelDeployment) -> tuple[str, SecretKeyRef | None]:
    """Where the API key is that an object uses, as `Accounts.of` takes it."""
    return md.metadata.namespace, md.spec.api_key_secret_ref


async def _act_on_rollout(
    account: Account, action: actions.ActOnRollout | actions.DeleteRollout
) -> None:
    """A verb that the rollout's state does not allow any more came too late: look again."""
    provider = account.provider
    try:
        if isinstance(action, actions.DeleteRollout):
            await provider.delete_rollout(action.endpoint_id, action.rollout_id)
        else:
            await provider.act_on_rollout(
                action.endpoint_id, action.rollout_id, action.verb, action.why
            )
    except (Rejected, NotFound) as error:
        raise Conflict(str(error), status=error.status) from None
