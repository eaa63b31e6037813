"""Reconciles ModelDeployments: looks at what the decision needs, and does what it asks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

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
    RateLimited,
    Rejected,
    Unavailable,
)
from together_operator.domain.failures import StageError, during
from together_operator.domain.outcome import After
from together_operator.domain.plan import is_deleting, may_not_show_yet
from together_operator.domain.together import Deployment, Endpoint, NewDeployment
from together_operator.engine.store import Body, Key, Store
from together_operator.ports import ConfigMaps, Objects, Priority
from together_operator.reconcilers.account import Account, Accounts
from together_operator.reconcilers.calm import Calm, Still, calm_age
from together_operator.reconcilers.claims import Claims
from together_operator.reconcilers.deployment_actions import (
    ActionResult,
    DeploymentActions,
    account_of,
)
from together_operator.reconcilers.driver import Reconciler, World
from together_operator.reconcilers.listing import Listing
from together_operator.reconcilers.spending import Spending

Status = ModelDeploymentStatus
FindModel = Callable[[str, str], Awaitable[CustomModel | None]]

FRESH_SECONDS = 2.0
"""How old a list may be that tells whether a name is free: the create itself says it for sure."""


class DeploymentReconciler(Reconciler[ModelDeployment, Status, Observed, actions.Action]):
    """See the module.

    Args:
        find_model: gives a CustomModel by namespace and name.
        models: the newest CustomModels.
    """

    def __init__(
        self,
        world: World,
        objects: Objects,
        store: Store,
        accounts: Accounts,
        find_model: FindModel,
        spending: Spending,
        config_maps: ConfigMaps,
        models: Store,
    ) -> None:
        super().__init__(world, objects, store, Calm(world.process, store, accounts, _endpoints))
        self._models = models
        self._config_maps = config_maps
        self._actions = DeploymentActions(world.ledger, objects, accounts, config_maps)
        self._spending = spending
        self._accounts = accounts
        self._find_model = find_model
        self._claims = Claims(objects, store, lambda status: status.get("endpoint"))

    def forget(self, key: Key) -> None:
        """The object is gone, and spends nothing any more."""
        super().forget(key)
        self._claims.forget(key)
        self._spending.forget(key)

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
        billed = budget.billed(seen)
        if billed is not None:
            self._spending.bill(md, billed, now)
        return plan

    def failure(
        self, observed: Observed, now: datetime, error: StageError
    ) -> actions.DeploymentPlan:
        """The pure decision about an error."""
        return clocked.failing(observed, now, error)

    def still(self, observed: Observed) -> Still[Endpoint] | None:
        """By the endpoint's record in the list and the CustomModel's version, where nothing else
        was looked at and time alone changes nothing."""
        md, endpoint, model = observed.md, observed.endpoint, observed.model
        timed = md.spec.schedule or md.spec.ttl or md.status.next_change or md.status.rollout
        if endpoint is None or model is None or timed or connection.names_to_look_at(md):
            return None
        if not target.is_calm(observed):
            return None
        key, version = Key.of(model.metadata), int(model.metadata.resource_version)
        return Still(
            int(md.metadata.resource_version),
            account_of(md),
            endpoint,
            lambda: self._models.version(key) == version,
        )

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
        try:
            with during(status.DEPLOY):
                return await self._at_together(seen)
        except StageError as error:
            passing = isinstance(error.error, (RateLimited, Unavailable))
            if passing or not is_deleting(resource) or not observed.is_told_empty(resource):
                raise
            return seen  # a key that never worked must not hold what never was

    async def _at_together(self, seen: Observed) -> Observed:
        """What is there of the object."""
        resource = seen.md
        account = await self._accounts.of(*account_of(resource))
        endpoint, stranger = await self._endpoint(resource, account)
        seen = replace(seen, endpoint=endpoint, stranger=stranger)
        if observed.has_endpoint(resource) and (endpoint is None or endpoint.placeholder):
            # Gone, or out of this key's sight.
            seen = replace(seen, project=await account.provider.project_slug())
        if endpoint is not None and self._may_take(seen) and not endpoint.placeholder:
            key = Key.of(resource.metadata)
            claimed = await self._claims.claim(endpoint.id, key, resource.metadata.uid)
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

    async def _endpoint(self, md: ModelDeployment, account: Account) -> tuple[Endpoint | None, str]:
        """The endpoint by the id that status has, else by name; and, should the one with that id
        be another object's, that one's name."""
        calm, endpoints = observed.is_settled(md), account.endpoints
        age = calm_age(endpoints, self.world.process) if calm else endpoints.age(FRESH_SECONDS)
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
        if found is None or found.bare_name == wanted or await self._is_renamed(md, account, found):
            return found, ""
        return named, found.name

    async def _is_renamed(self, md: ModelDeployment, account: Account, endpoint: Endpoint) -> bool:
        """True when an endpoint with another name is this object's all the same.

        What this object made on it tells. Else its status does, unless another object has the
        endpoint (a status may be forged): with the id of what is on it, or, where only others'
        deployments are, with the new name, which an earlier look has accepted.
        """
        cluster = self.world.process.cluster_id
        if any(observed.was_made_by(md, cluster, d) for d in endpoint.deployments):
            return True
        # The endpoint's own record has the newest ones only, and may be older than they.
        known, others = await self._deployments(md, account, endpoint)
        if any(observed.was_made_by(md, cluster, d) for d in known):
            return True
        adopts = md.spec.adoption_policy is AdoptionPolicy.ADOPT
        record = md.status.endpoint
        accepted = adopts or (record is not None and record.name == endpoint.name)
        if others and not known and not accepted:
            return False
        key = Key.of(md.metadata)
        return not await self._claims.claim(endpoint.id, key, md.metadata.uid)

    async def _unlisted_endpoint(
        self, md: ModelDeployment, account: Account, known: str
    ) -> Endpoint | None:
        """A list may lag behind or be cut short; only the record's own 404 says that it is gone."""
        try:
            return await account.provider.get_endpoint(known)
        except NotFound:
            self._distrust_absence(md, known)
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
        # A deletion goes on with what is there, and waits with what comes last.
        goes_on = bool(ours) and is_deleting(md)
        if known is not None and not goes_on and all(d.id != known for d in ours):
            self._distrust_absence(md, known)
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

    def _distrust_absence(self, md: ModelDeployment, known: str) -> None:
        """What was created a moment ago may not be visible yet. While the object is deleted, that
        would leave it running; but what this process has taken down itself is gone."""
        if is_deleting(md) and self.world.ledger.has_deleted(md.metadata.uid, known):
            return
        created = self.world.ledger.last_created(md.metadata.uid)
        if may_not_show_yet(created, self.world.process, self.world.now()):
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
            if is_deleting(seen.md) or (seen.deployments and status.known_price(seen.md)):
                return seen
            raise

    # Acting.

    async def act(self, resource: ModelDeployment, action: actions.Action) -> ActionResult | None:
        """Do one thing outside."""
        return await self._actions.do(resource, action)


def _endpoints(account: Account) -> Listing[Endpoint]:
    return account.endpoints


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
