"""Reconciles ModelDeployments: looks at what the decision needs, and does what it asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from together_operator.api.v1alpha1 import (
    AdoptionPolicy,
    CustomModel,
    ModelDeployment,
    ModelDeploymentStatus,
)
from together_operator.domain import deployment as domain
from together_operator.domain.catalog import nearest
from together_operator.domain.deployment import (
    actions,
    budget,
    changing,
    clocked,
    connection,
    observed,
    preflight,
    startup,
    status,
    target,
)
from together_operator.domain.deployment.observed import Fact, Observed
from together_operator.domain.errors import (
    Ambiguous,
    Conflict,
    NotFound,
    OperatorError,
    Rejected,
    Unavailable,
)
from together_operator.domain.failures import StageError, during
from together_operator.domain.outcome import After, Gone, Outcome
from together_operator.domain.plan import is_deleting
from together_operator.domain.together import Deployment, Endpoint, NewDeployment
from together_operator.engine.store import Body, Key, Store
from together_operator.ports import ConfigMaps, Objects, Priority
from together_operator.reconcilers.account import Account, Accounts
from together_operator.reconcilers.claims import Claims
from together_operator.reconcilers.driver import Reconciler, Result, World
from together_operator.reconcilers.spending import Spending

Status = ModelDeploymentStatus
ActionResult = Result[Status, actions.Action]
FindModel = Callable[[str, str], Awaitable[CustomModel | None]]

FRESH_SECONDS = 2.0
"""How old a list may be that tells whether a name is free: the create itself says it for sure."""


_IN_CLUSTER = (actions.Publish, actions.Unpublish, actions.DeleteObject)
"""What is done in Kubernetes, and asks nothing of Together."""


class DeploymentReconciler(Reconciler[ModelDeployment, Status, Observed, actions.Action]):
    """See the module. `find_model` gives a CustomModel by namespace and name."""

    def __init__(
        self,
        world: World,
        objects: Objects,
        store: Store,
        accounts: Accounts,
        find_model: FindModel,
        spending: Spending,
        config_maps: ConfigMaps,
    ) -> None:
        super().__init__(world, objects, store)
        self._config_maps = config_maps
        self._spending = spending
        self._accounts = accounts
        self._find_model = find_model
        self._claims = Claims(store, lambda status: status.get("endpoint"))

    async def __call__(self, key: Key) -> Outcome:
        """Bring one object a step further; one that is gone spends nothing any more."""
        outcome = await super().__call__(key)
        if isinstance(outcome, Gone):
            self._spending.forget(key)
        return outcome

    def parse(self, body: Body) -> ModelDeployment:
        """The typed object."""
        return ModelDeployment.model_validate(body)

    def with_status(self, resource: ModelDeployment, status: Status) -> ModelDeployment:
        """The object with another status."""
        return resource.model_copy(update={"status": status})

    def status_of(self, resource: ModelDeployment) -> Status:
        """The object's status."""
        return resource.status

    def is_settled(self, resource: ModelDeployment) -> bool:
        """True when status says that nothing is to do."""
        return observed.is_settled(resource)

    def seconds_to_wait(self, resource: ModelDeployment, now: datetime) -> float:
        """Rest of the backoff that status holds."""
        wait = clocked.woken(resource, now, After(status.seconds_to_wait(resource, now)))
        return wait.seconds if isinstance(wait, After) else 0.0

    def unseen(self, resource: ModelDeployment) -> Observed:
        """The object alone."""
        jitter = self.world.rng.random()
        return Observed(resource, self.world.process, jitter=jitter, now=self.world.now())

    def decide(self, observed: Observed, now: datetime) -> actions.DeploymentPlan:
        """The pure decision, and what follows from it for what others may spend."""
        md = observed.md
        seen = replace(observed, ceilings=self._spending.ceilings(md))
        plan = domain.decide(seen, now)
        if plan.status != md.status or plan.action is not None:
            cents = budget.reserved_in(plan.status)
            self._spending.reserve(md, cents, waits=budget.is_over_budget(plan))
        if seen.deployments or not seen.md.status.deployment:
            self._spending.bill(md, budget.billed(seen), now)
        return plan

    def failure(
        self, observed: Observed, now: datetime, error: StageError
    ) -> actions.DeploymentPlan:
        """The pure decision about an error."""
        plan = status.failure(observed, now, error)
        return replace(plan, outcome=clocked.woken(observed.md, now, plan.outcome))

    # Looking.

    async def gather(self, resource: ModelDeployment) -> Observed:
        """Look at what `wanted_facts` names, and at nothing else."""
        facts = observed.wanted_facts(resource)
        sent = self.world.ledger.last_sent(resource.metadata.uid, resource.status.intent)
        seen = replace(self.unseen(resource), last_sent=sent)
        seen = await self._with_config_maps(seen)
        if not facts:
            return seen
        if Fact.MODEL in facts and resource.spec.model_ref is not None:
            with during(status.MODEL):
                namespace = resource.metadata.namespace
                model = await self._find_model(namespace, resource.spec.model_ref.name)
                seen = replace(seen, model=model)
        with during(status.DEPLOY):
            account = await self._account(resource)
            endpoint, stranger = await self._endpoint(resource, account)
            seen = replace(seen, endpoint=endpoint, stranger=stranger)
            if endpoint is not None and self._may_take(seen) and not endpoint.placeholder:
                claimed = self._claims.claim(endpoint.id, resource.metadata.uid)
                seen = replace(seen, claimed_by=claimed)
            if not is_deleting(resource):
                seen = await self._with_remote_model(seen, account)
            if target.is_calm(seen):
                return seen
            if endpoint is not None:
                return await self._with_deployments(seen, account, endpoint)
            seen = await self._with_prices(seen, account)
            return await self._with_configs(seen, account)

    async def _with_config_maps(self, seen: Observed) -> Observed:
        md, found = seen.md, dict[str, observed.PublishedMap]()
        for name in connection.names_to_look_at(md):
            try:
                there = await self._config_maps.read(md.metadata.namespace, name, md.metadata.uid)
            except OperatorError as error:
                return replace(seen, config_map_error=error)
            if there is not None:
                found[name] = there
        return replace(seen, config_maps=found)

    async def _with_deployments(
        self, seen: Observed, account: Account, endpoint: Endpoint
    ) -> Observed:
        """Everything that is on the endpoint, and what may come onto it."""
        md, provider = seen.md, account.provider
        found, strangers = await self._deployments(md, account, endpoint)
        seen = replace(seen, deployments=found, strangers=strangers)
        seen = await self._with_prices(seen, account)
        if len(seen.deployments) > 1 or endpoint.active_rollout_id is not None:
            seen = replace(seen, rollouts=tuple(await provider.list_rollouts(endpoint.id)))
        if is_deleting(md):
            return seen
        seen = await self._with_configs(seen, account)
        starting = seen.starting
        if starting is not None:
            events = await provider.list_events(endpoint.id, starting.id, startup.TYPES)
            seen = replace(seen, events=tuple(events))
            if preflight.waits_for_capacity(seen, starting) is not None:
                seen = replace(seen, instance_types=await account.instance_types(self._fresh))
        new = changing.due(seen)
        if new is not None:
            with during(status.SCHEDULE):
                seen = replace(seen, refused=await _refusal(account, endpoint, new))
        return seen

    @property
    def _fresh(self) -> float:
        """Age in seconds that a look at prices and room may have where something hangs on it."""
        return self.world.process.poll * 3

    @staticmethod
    def _may_take(seen: Observed) -> bool:
        """True when what was found by its name would be taken for this object's."""
        ours = seen.is_ours(seen.intent(observed.ENDPOINT_INTENT))
        adopts = seen.md.spec.adoption_policy == AdoptionPolicy.ADOPT
        return not observed.is_known_endpoint(seen) and (ours or adopts)

    async def _account(self, md: ModelDeployment) -> Account:
        return await self._accounts.of(md.metadata.namespace, md.spec.api_key_secret_ref)

    async def _endpoint(self, md: ModelDeployment, account: Account) -> tuple[Endpoint | None, str]:
        """The endpoint by the id that status has, else by name; and, should the one with that id
        be another object's by its name, that name."""
        calm = observed.is_settled(md)
        least = self.world.process.poll * 6 if calm else FRESH_SECONDS
        age = account.endpoints.age(least, calm=calm)
        # What an intent announces is looked for now: a list from before the end of the settle
        # window proves nothing.
        since = account.clock() - (age if md.status.intent is None else 0.0)
        priority = Priority.POLLING if calm else Priority.INTERACTIVE
        snapshot = await account.endpoints.read(since, priority)
        wanted = observed.wanted_name(md)
        named = next(iter(snapshot.find(wanted)), None)
        known = md.status.endpoint.id if md.status.endpoint is not None else None
        if known is None:
            return named, ""
        listed = snapshot.get(known)
        # A list may be older than a shift of traffic.
        found = listed if md.status.rollout is None else None
        # Where a list and the record's 404 contradict each other, the next look decides.
        found = found or await self._unlisted_endpoint(md, account, known) or listed
        if found is not None and found.bare_name != wanted:
            return named, found.name
        return found, ""

    async def _unlisted_endpoint(
        self, md: ModelDeployment, account: Account, known: str
    ) -> Endpoint | None:
        """A list may lag behind or be cut short; only the record's own 404 says that it is gone."""
        try:
            return await account.provider.get_endpoint(known)
        except NotFound:
            self._distrust_absence(md)
            return None

    async def _deployments(
        self, md: ModelDeployment, account: Account, endpoint: Endpoint
    ) -> tuple[tuple[Deployment, ...], tuple[Deployment, ...]]:
        """Ours on the endpoint, by their names or by the id that status has; and the others."""
        try:
            found = await account.provider.list_deployments(endpoint.id)
        except NotFound:
            return (), ()  # the endpoint went between the two looks; the next one sees it
        cluster = self.world.process.cluster_id
        ours = tuple(d for d in found if observed.is_our_deployment(md, cluster, d))
        record = md.status.deployment
        known = record.id if record is not None else None
        if known is not None and all(deployment.id != known for deployment in ours):
            self._distrust_absence(md)
        return ours, tuple(deployment for deployment in found if deployment not in ours)

    async def _with_remote_model(self, seen: Observed, account: Account) -> Observed:
        """The model that `spec.model` names, and the project that the key works in."""
        if observed.has_deployment(seen.md) and seen.deployments and seen.md.spec.model is None:
            return seen
        with during(status.MODEL):
            slug = await account.provider.project_slug()
            seen = replace(seen, project=slug)
            name = seen.md.spec.model
            if name is None:
                return seen
            age = account.models.age(self.world.process.poll * 6)
            models = await account.models.read(account.clock() - age, Priority.INTERACTIVE)
            owner, _, bare = name.rpartition("/")
            mine = models.find(bare) if owner in {"", slug} else []
            known = models.get(name) or next(iter(mine), None)
            catalog = await account.base_models()
            embeds = {entry.model_id for entry in catalog if entry.is_embedding}
            if known is not None:
                embedding = known.base_model_id in embeds
                model = observed.ServedModel(
                    known.id, known.name, known.project_id, is_embedding=embedding
                )
                return replace(seen, remote_model=model)
            for entry in catalog:
                if name in {entry.name, entry.model_id} and entry.project_id:
                    model = observed.ServedModel(
                        entry.model_id,
                        entry.name,
                        entry.project_id,
                        is_embedding=entry.is_embedding,
                    )
                    return replace(seen, remote_model=model)
        names = (*(entry.name for entry in catalog), *(model.name for model in models))
        return replace(seen, similar_models=nearest(name, names))

    def _distrust_absence(self, md: ModelDeployment) -> None:
        """What was created a moment ago may not be visible yet."""
        if is_deleting(md):
            return
        process = self.world.process
        changed = [c.last_transition_time for c in md.status.conditions if c.type == status.DEPLOY]
        begun = max([process.started, *changed])
        if self.world.now() < begun + timedelta(seconds=process.settle + 1):
            raise Unavailable("What was created is not visible at Together yet")

    async def _with_configs(self, seen: Observed, account: Account) -> Observed:
        served = target.served_model(seen)
        if served is None or not target.needs_configs(seen):
            return seen
        return replace(seen, configs=await account.configs(served.id))

    async def _with_prices(self, seen: Observed, account: Account) -> Observed:
        """The price list, which what runs can do without as long as its price is known."""
        try:
            # Where something is about to be started, it is the room that counts.
            ages = (self._fresh,) if target.needs_configs(seen) else ()
            return replace(seen, instance_types=await account.instance_types(*ages))
        except OperatorError:
            if is_deleting(seen.md) or (seen.deployments and budget.known_price(seen.md)):
                return seen
            raise

    # Acting.

    async def act(self, resource: ModelDeployment, action: actions.Action) -> ActionResult | None:
        """Do one thing outside."""
        if isinstance(action, _IN_CLUSTER):
            await self._act_in_cluster(resource, action)
            return None
        stage = status.ROLL if isinstance(action, _ROLLING) else status.DEPLOY
        with during("" if is_deleting(resource) else stage):
            account = await self._account(resource)
            match action:
                case actions.CreateEndpoint(name):
                    return await self._create_endpoint(resource, account, name)
                case actions.CreateDeployment():
                    return await self._create_deployment(resource, account, action)
                case actions.ScaleDeployment():
                    await self._scale(account, action)
                case actions.SetTraffic(endpoint_id, split, etag):
                    endpoint = await account.provider.set_traffic(endpoint_id, split, etag)
                    account.endpoints.put(endpoint)
                case actions.DeleteDeployment(endpoint_id, deployment_id):
                    with contextlib.suppress(NotFound):
                        await account.provider.delete_deployment(endpoint_id, deployment_id)
                    return Result(lambda s: status.without_deployment(s, deployment_id))
                case actions.CreateRollout(endpoint_id, new):
                    await account.provider.create_rollout(endpoint_id, new)
                case actions.ActOnRollout() | actions.DeleteRollout():
                    await _act_on_rollout(account, action)
                case actions.DeleteEndpoint(endpoint_id):
                    with contextlib.suppress(NotFound):
                        await account.provider.delete_endpoint(endpoint_id)
                    account.endpoints.remove(endpoint_id)
        return None

    async def _act_in_cluster(
        self,
        md: ModelDeployment,
        action: actions.Publish | actions.Unpublish | actions.DeleteObject,
    ) -> None:
        namespace, uid = md.metadata.namespace, md.metadata.uid
        with during(status.PUBLISH):
            match action:
                case actions.Publish(name, data):
                    manifest = connection.manifest(md, name, data)
                    await self._config_maps.write(namespace, manifest)
                case actions.Unpublish(name):
                    await self._config_maps.delete(namespace, name, uid)
                case actions.DeleteObject():
                    await self.objects.delete(Key(namespace, md.metadata.name), uid)

    async def _scale(self, account: Account, action: actions.ScaleDeployment) -> None:
        scaling = action.scaling
        await account.provider.scale_deployment(
            action.endpoint_id,
            action.deployment_id,
            action.replicas,
            action.replicas if scaling is None else scaling.high,
            action.change,
        )

    async def _create_endpoint(
        self, md: ModelDeployment, account: Account, name: str
    ) -> ActionResult:
        endpoint = await self.world.ledger.send(
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
        deployment = await self.world.ledger.send(
            md.metadata.uid,
            observed.DEPLOYMENT_INTENT,
            lambda: account.provider.create_deployment(action.endpoint_id, action.new),
        )
        if action.is_target:
            return Result(lambda before: status.with_target(before, deployment))
        return Result(
            lambda before: status.with_deployment(before, deployment, action.record, action.model)
        )


_ROLLING = (actions.CreateRollout, actions.ActOnRollout, actions.DeleteRollout)


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


async def _refusal(account: Account, endpoint: Endpoint, new: NewDeployment) -> str:
    """Why Together would not accept a deployment; empty when it would."""
    try:
        await account.provider.validate_deployment(endpoint.id, new)
    except (Rejected, NotFound) as error:
        return str(error)  # what it refers to, such as a revision, may be what is not there
    except Conflict:
        return ""  # its name is taken: a list is late, and the next look sees it
    except Ambiguous as error:
        raise Unavailable(str(error), status=error.status) from None
    return ""
