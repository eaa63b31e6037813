"""Reconciles CustomModels: looks at what the decision needs, and does what it asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from together_operator.api.v1alpha1 import CustomModel, CustomModelStatus
from together_operator.domain import custom_model as domain
from together_operator.domain.archive_job import JobFacts, destination_prefix, job_name
from together_operator.domain.archive_manifest import manifest
from together_operator.domain.custom_model import actions, observed, status
from together_operator.domain.custom_model.observed import Fact, Observed
from together_operator.domain.errors import (
    Ambiguous,
    NotFound,
    OperatorError,
    RateLimited,
    SecretUnavailable,
    Unavailable,
)
from together_operator.domain.failures import STORE_REMEDIES, STORE_STAGE, StageError, during
from together_operator.domain.plan import is_deleting, may_not_show_yet
from together_operator.domain.source import check_addresses, may_change
from together_operator.domain.together import Import, Model, Revision
from together_operator.engine.store import Body, Key, Store
from together_operator.ports import Objects, Priority
from together_operator.reconcilers.account import Account
from together_operator.reconcilers.calm import Calm, Still, calm_age
from together_operator.reconcilers.claims import Claims
from together_operator.reconcilers.driver import Fold, Reconciler, Result, World
from together_operator.reconcilers.listing import Listing
from together_operator.reconcilers.sources import Outside, Sources

log = structlog.get_logger(__name__)

__all__ = ["CustomModelReconciler", "Outside"]

Status = CustomModelStatus
ActionResult = Result[Status, actions.Action]

_PASSING = (Ambiguous, RateLimited, Unavailable)

FRESH_SECONDS = 2.0
"""How old a list may be that tells whether a name is free: the create itself says it for sure."""


class CustomModelReconciler(Reconciler[CustomModel, Status, Observed, actions.Action]):
    """See the module.

    Args:
        users: names the ModelDeployments that use a CustomModel, by its key and its id at Together.
    """

    def __init__(
        self,
        world: World,
        objects: Objects,
        store: Store,
        outside: Outside,
        users: Callable[[Key, str | None], Iterable[str]],
    ) -> None:
        calm = Calm(world.process, store, outside.accounts, _models)
        super().__init__(world, objects, store, calm)
        self._outside = outside
        self._sources = Sources(world, outside, store.__len__)
        self._users = users
        self._claims = Claims(objects, store, lambda status: status.get("model"))

    def forget(self, key: Key) -> None:
        """The object is gone, and its claims with it."""
        super().forget(key)
        self._claims.forget(key)

    def parse(self, body: Body) -> CustomModel:
        """The typed object."""
        return CustomModel.model_validate(body)

    def with_status(self, resource: CustomModel, status: Status) -> CustomModel:
        """The object with another status."""
        return resource.model_copy(update={"status": status})

    def status_of(self, resource: CustomModel) -> Status:
        """The object's status."""
        return resource.status

    def is_settled(self, resource: CustomModel) -> bool:
        """True when status says that nothing is to do."""
        return observed.is_settled(resource)

    def seconds_to_wait(self, resource: CustomModel, now: datetime) -> float:
        """Rest of the backoff that status holds."""
        return status.seconds_to_wait(resource, now)

    def unseen(self, resource: CustomModel) -> Observed:
        """The object alone."""
        return Observed(resource, self.world.process, jitter=self.world.rng.random())

    def decide(self, observed: Observed, now: datetime) -> actions.ModelPlan:
        """The pure decision."""
        return domain.decide(observed, now)

    def failure(self, observed: Observed, now: datetime, error: StageError) -> actions.ModelPlan:
        """The pure decision about an error."""
        return status.failure(observed, now, error)

    # Looking.

    async def gather(self, resource: CustomModel) -> Observed:
        """Look at what `wanted_facts` names, and at nothing else."""
        facts = observed.wanted_facts(resource)
        seen = self.unseen(resource)
        sent = self.world.ledger.last_sent(resource.metadata.uid, resource.status.intent)
        seen = replace(seen, last_sent=sent)
        if Fact.USERS in facts:
            key = Key.of(resource.metadata)
            record = resource.status.model
            found = self._users(key, record.id if record is not None else None)
            seen = replace(seen, users=tuple(found))
        if Fact.SOURCE in facts:
            with during(status.SOURCE):
                seen = replace(seen, source=await self._sources.look(resource))
        elif observed.is_settled(resource) and self._sources.is_due(resource):
            seen = replace(seen, source=await self._sources.look_again(resource))
        if Fact.JOB in facts:
            with during(status.ARCHIVE):
                seen = replace(seen, job=await self._job(resource))
        if not facts & {Fact.MODEL, Fact.BASE_MODELS, Fact.IMPORTS, Fact.REVISION}:
            return seen
        try:
            return await self._remote(resource, facts, seen)
        except StageError as error:
            # Packing need not wait until Together answers: it is asked again before the import.
            if observed.is_before_packing(resource) and isinstance(error.error, _PASSING):
                return seen
            raise

    async def _remote(self, cm: CustomModel, facts: frozenset[Fact], seen: Observed) -> Observed:
        with during(status.REGISTER):
            account = await self._account(cm)
            model = await self._model(cm, account)
            seen = replace(seen, abilities=account.provider.abilities)
            if model is not None and model.bare_name != observed.wanted_name(cm):
                # Whoever wrote that id into the status, the record is not this object's.
                seen, model = replace(seen, stranger=model.name), None
            elif observed.has_model(cm) and (model is None or model.placeholder):
                # Gone, or out of this key's sight.
                seen = replace(seen, project=await account.provider.project_slug())
            seen = replace(seen, model=model)
            if model is not None and self._may_take(seen) and not model.placeholder:
                key = Key.of(cm.metadata)
                claimed = await self._claims.claim(model.id, key, cm.metadata.uid)
                seen = replace(seen, claimed_by=claimed)
            if Fact.BASE_MODELS in facts and model is None:
                seen = replace(seen, base_models=await account.base_models())
        if model is None:
            return seen
        with during(status.IMPORT):
            # What is deleted before its import has made a model of it waits for the import.
            unborn = model.placeholder and observed.is_import_running(cm)
            if Fact.IMPORTS in facts or unborn:
                seen = replace(seen, imports=await self._imports(cm, account, model.id))
            wanted = Fact.REVISION in facts and self._has_succeeded(cm, seen.imports)
            if wanted or observed.may_adopt(cm):
                revisions = await account.provider.list_revisions(model.id)
                seen = replace(seen, revision=max(revisions, key=_age, default=None))
        return seen

    @staticmethod
    def _may_take(seen: Observed) -> bool:
        """True when what was found by its name would be taken for this object's."""
        ours = seen.is_ours(seen.intent(observed.MODEL_INTENT))
        return not observed.has_model(seen.cm) and (ours or observed.may_adopt(seen.cm))

    async def _account(self, cm: CustomModel) -> Account:
        reference = cm.spec.api_key_secret_ref
        return await self._outside.accounts.of(cm.metadata.namespace, reference)

    async def _model(self, cm: CustomModel, account: Account) -> Model | None:
        """By the id that status has, else by name."""
        settled, models = observed.is_settled(cm), account.models
        age = calm_age(models, self.world.process) if settled else models.age(FRESH_SECONDS)
        priority = Priority.POLLING if settled else Priority.INTERACTIVE
        known = cm.status.model.id if cm.status.model is not None else None
        # An announced import says nothing about the record: only a name is looked for now.
        since = self._since(cm, account, age) if known is None else account.clock() - age
        snapshot = await account.models.read(since, priority)
        if known is None:
            found = snapshot.find(observed.wanted_name(cm))
            return found[0] if found else None
        listed = snapshot.get(known)
        if listed is not None:
            return listed
        # A list may lag behind or be cut short; only the record's own 404 tells that it is gone.
        try:
            return await account.provider.get_model(known)
        except NotFound:
            self._distrust_absence(cm)
            return None

    def _distrust_absence(self, cm: CustomModel) -> None:
        """A record that was created a moment ago may not be visible yet."""
        registered = next((c for c in cm.status.conditions if c.type == status.REGISTER), None)
        if not is_deleting(cm):
            created = registered.last_transition_time if registered is not None else None
            self._distrust("The model's record is not visible at Together yet", created)

    def _distrust(self, message: str, created: datetime | None) -> None:
        """Raise Unavailable as long as what was `created` may not show yet."""
        if may_not_show_yet(created, self.world.process, self.world.now()):
            raise Unavailable(message)

    async def _imports(
        self, cm: CustomModel, account: Account, model_id: str
    ) -> tuple[Import, ...]:
        """Imports of the model, newest first; the one that is followed among them if it exists."""
        since = self._since(cm, account, account.imports.age(self.world.process.poll / 2))
        found = (await account.imports.read(since)).find(model_id)
        # Which revision is its own is told by when it began, so it is needed until that is known.
        is_followed = observed.is_import_running(cm) or observed.is_import_unvalidated(cm)
        last = cm.status.import_ if is_followed else None
        if last is not None and last.job_id and all(job.id != last.job_id for job in found):
            unlisted = await self._unlisted_import(account, last.job_id, last.started_at)
            found += [job for job in unlisted if job.model_id == model_id]
        return tuple(sorted(found, key=_age, reverse=True))

    async def _unlisted_import(
        self, account: Account, job_id: str, started: datetime | None
    ) -> list[Import]:
        """A list may lag behind or be cut short; only the import's own 404 says that it is gone."""
        try:
            return [await account.provider.get_import(job_id)]
        except NotFound:
            self._distrust("The import is not visible at Together yet", started)
            return []

    @staticmethod
    def _has_succeeded(cm: CustomModel, imports: tuple[Import, ...]) -> bool:
        last = cm.status.import_
        if last is None:
            return False
        state = next((job.state for job in imports if job.id == last.job_id), last.state)
        return state == "SUCCEEDED"

    @staticmethod
    def _since(cm: CustomModel, account: Account, age: float) -> float:
        """Moment (of the account's clock) since which a list must have been read.

        What an intent announces is looked for now: a list from before the end of the settle
        window proves nothing.
        """
        return account.clock() - (age if cm.status.intent is None else 0.0)

    async def _job(self, cm: CustomModel) -> JobFacts | None:
        attempt = (cm.status.job.attempt if cm.status.job is not None else None) or 1
        name = job_name(cm, self.world.process.cluster_id, attempt)
        return await self._outside.jobs.find(cm.metadata.namespace, cm.metadata.uid, name)

    def still(self, observed: Observed) -> Still[Model] | None:
        """By the model's record in the list, and by whether the source is due."""
        cm, model = observed.cm, observed.model
        if model is None:
            return None
        place, uid = (cm.metadata.namespace, cm.spec.api_key_secret_ref), cm.metadata.uid
        still = Still(int(cm.metadata.resource_version), place, model)
        if may_change(cm.spec):
            still.holds = lambda: not self._sources.is_turn_of(uid)
        return still

    # Acting.

    async def act(self, resource: CustomModel, action: actions.Action) -> ActionResult | None:
        """Do one thing outside."""
        match action:
            case actions.CreateJob(name):
                await self._create_job(resource, name)
            case actions.DeleteJob(name):
                with during(status.ARCHIVE):
                    await self._outside.jobs.delete(resource.metadata.namespace, name)
            case actions.DeleteArchives(unfinished_only):
                return await self._delete_archives(resource, unfinished_only=unfinished_only)
            case actions.CreateModel():
                return await self._create_model(resource, action)
            case actions.UpdateModel():
                await self._update_model(resource, action)
            case actions.DeleteModel(model_id):
                await self._delete_model(resource, model_id)
            case actions.StartImport():
                return await self._start_import(resource, action)
        return None

    async def _create_job(self, cm: CustomModel, name: str) -> None:
        job = manifest(cm, name, self._outside.worker, self.world.process.cluster_id)
        with during(status.ARCHIVE):
            # The destination may have changed since the source was looked at.
            check_addresses(cm.spec, self._outside.worker.addresses)
            await self._outside.jobs.create(job)

    async def _delete_archives(self, cm: CustomModel, *, unfinished_only: bool) -> ActionResult:
        """Of an object that stays, what can't be deleted is only told: the model can be used.

        When a namespace is deleted, its Secrets may go before the object that needs them. Nobody
        can bring them back there, so what is in the user's own bucket must not hold up the end.
        Nor does a bucket that is not there: nothing can be in it. And who retains archives never
        had to let the operator delete there: it is tried, and no more.
        """
        assert cm.spec.archive is not None  # the decision saw to it
        location = cm.spec.archive.destination
        folder = destination_prefix(cm, self.world.process.cluster_id)
        try:
            credentials = await self._sources.credentials(cm, location)
            await self._outside.archives.delete_archives(
                location, folder, credentials, keep_whole=unfinished_only
            )
        except OperatorError as error:
            say = {"object": cm.key, "folder": folder}
            if not is_deleting(cm):
                words = f"{error}. {STORE_REMEDIES.get(type(error), '')}".rstrip()
                return Result(lambda before: status.archives_deleted(before, words))
            if isinstance(error, NotFound):
                log.info("no archives are left", error=str(error), **say)
                return Result(status.archives_deleted)
            if unfinished_only or isinstance(error, SecretUnavailable):
                log.warning("archives are left behind", error=str(error), **say)
                return Result(status.archives_deleted)
            raise StageError(STORE_STAGE, error) from error
        uri = (cm.status.archive.uri if cm.status.archive is not None else None) or folder
        if uri.startswith(folder) or is_deleting(cm):
            return Result(status.archives_deleted)
        words = "it lies outside of archive.destination as that is now: delete it by hand."
        return Result(lambda before: status.archives_deleted(before, words))

    async def _create_model(self, cm: CustomModel, action: actions.CreateModel) -> ActionResult:
        with during(status.REGISTER):
            account = await self._account(cm)
            model = await self.world.ledger.send(
                cm.metadata.uid,
                observed.MODEL_INTENT,
                lambda: account.provider.create_model(action.new),
            )
        if not model.placeholder:  # what is not there must not seem to be, once it was imported
            account.models.put(model)

        def fold(before: Status) -> Status:
            return status.registered(before, model)

        seen = replace(self.unseen(cm), model=model, abilities=account.provider.abilities)
        return self._followed(fold, seen, self.world.now())

    async def _update_model(self, cm: CustomModel, action: actions.UpdateModel) -> None:
        with during(""):
            account = await self._account(cm)
            account.models.put(await account.provider.update_model(action.model_id, action.change))

    async def _delete_model(self, cm: CustomModel, model_id: str) -> None:
        with during(""):
            account = await self._account(cm)
            with contextlib.suppress(NotFound):
                await account.provider.delete_model(model_id)
        account.models.remove(model_id)

    async def _start_import(self, cm: CustomModel, action: actions.StartImport) -> ActionResult:
        with during(status.SOURCE):
            if not await self._sources.is_archive_there(cm):
                return Result(status.archive_lost)
            url, token = await self._sources.remote_url(cm)
        with during(status.IMPORT):
            account = await self._account(cm)
            provider, model = account.provider, action.model
            job = await self.world.ledger.send(
                cm.metadata.uid,
                observed.IMPORT_INTENT,
                lambda: provider.start_import(model.id, url, token, new=action.new),
            )
        account.imports.put(job)
        now = self.world.now()

        def fold(before: Status) -> Status:
            return status.started(before, job, action.attempt, action.source_digest, now)

        seen = replace(self.unseen(cm), model=model, imports=(job,), abilities=provider.abilities)
        return self._followed(fold, seen, now)

    def _followed(self, fold: Fold[Status], seen: Observed, now: datetime) -> ActionResult:
        """A create's result with what follows from it: `seen` is all there is of what is new."""
        return Result(fold, self.decide(seen.with_status(fold(seen.cm.status)), now))


def _models(account: Account) -> Listing[Model]:
    return account.models


def _age(item: Import | Revision) -> datetime:
    return item.created_at or datetime.min.replace(tzinfo=UTC)
