"""Remote uploads: jobs that fetch a source, check it and make a revision of it."""

import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from tests.support.simulators.together.behaviour import Behaviour, ImportRule
from tests.support.simulators.together.blobs import Blobs
from tests.support.simulators.together.clock import Timing
from tests.support.simulators.together.errors import invalid, not_found
from tests.support.simulators.together.layout import LayoutError, inspect
from tests.support.simulators.together.records import (
    Import,
    ImportEvent,
    ImportStatus,
    Model,
    Revision,
    StoredFile,
)
from tests.support.simulators.together.sources import (
    Fetcher,
    SourceRefusedError,
    SourceUnavailableError,
)
from tests.support.simulators.together.store import Store

_CONCURRENT = 4
"""Fetches at the same time, so that a burst of imports does not take the whole machine."""


class Imports:
    """Creates and runs import jobs. One task a job; none of them polls."""

    def __init__(self, store: Store, blobs: Blobs, timing: Timing, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._behaviour_changed = asyncio.Event()
        self._store = store
        self._blobs = blobs
        self._timing = timing
        self._fetcher: Fetcher | None = None
        self._slots = asyncio.Semaphore(_CONCURRENT)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def behaviour(self) -> Behaviour:
        """What goes wrong; setting another one lets go of what it does not hold."""
        return self._behaviour

    @behaviour.setter
    def behaviour(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._behaviour_changed.set()
        self._behaviour_changed = asyncio.Event()

    def start(self, fetcher: Fetcher) -> None:
        """Take up what an earlier process left unfinished, as restarts of those jobs."""
        self._fetcher = fetcher
        for job in self._store.imports:
            if not job.final:
                if job.status != "PENDING":
                    self._restart_or_fail(job, "worker was restarted")
                if not job.final:
                    self._run(job)

    async def stop(self) -> None:
        """End all tasks; the jobs stay as they are."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def create(self, project_id: str, model_id: str, url: str, token: str | None) -> Import:
        """Accept a job. ApiError 400 or 404 when it can't be started."""
        model = self._store.models.get(model_id)
        if model is None or model.project_id != project_id:
            raise not_found("model", model_id)
        if not url.startswith(("https://", "http://")):
            raise invalid("remoteUrl: must be a Hugging Face repository or a presigned URL")
        job = Import(
            **self._store.stamp("job_", project_id),
            model_id=model_id,
            remote_url=url,
            token=token,
            message="Waiting for a worker",
        )
        self._event(job, "INFO", "job.created", "Import job created")
        self._store.imports.add(job)
        self._store.changed()
        self._run(job)
        return job

    def abandon(self, model_id: str) -> None:
        """Fail the jobs of a model that has been deleted."""
        for job in self._store.imports:
            if job.model_id == model_id and not job.final:
                self._fail(job, "the model was deleted")
                self._tasks[job.id].cancel()

    def _run(self, job: Import) -> None:
        task = asyncio.create_task(self._work(job), name=f"import {job.id}")
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _work(self, job: Import) -> None:
        clock, timing = self._store.clock, self._timing
        while not job.final:
            pause = timing.import_restart if job.status == "ERROR" else timing.import_queue
            await clock.sleep(timing.real(pause))
            job.restarts += job.status == "ERROR"
            self._status(job, "RUNNING", "Downloading")
            self._event(job, "INFO", "download.started", f"Download started{self._where(job)}")
            model = self._store.models.get(job.model_id)
            if model is None:
                self._fail(job, "the model was deleted")
                return
            if not await self._disturbed(job, model):
                await self._attempt(job, model)

    async def _disturbed(self, job: Import, model: Model) -> bool:
        """Whether a rule of the behaviour decided this attempt."""
        rule = self._rule(model)
        while rule is not None and rule.outcome == "held":
            await self._behaviour_changed.wait()
            rule = self._rule(model)
        if rule is None:
            return False
        rule.use()
        await self._store.clock.sleep(self._timing.real(self._timing.import_fixed))
        await self._apply(rule, job)
        return True

    def _rule(self, model: Model) -> ImportRule | None:
        return next((r for r in self.behaviour.imports if r.matches(model.name)), None)

    async def _apply(self, rule: ImportRule, job: Import) -> None:
        if rule.outcome == "stuck":
            await asyncio.Event().wait()
        elif rule.outcome == "failed":
            self._fail(job, rule.message + self._where(job))
        else:
            self._restart_or_fail(job, rule.message + self._where(job))

    async def _attempt(self, job: Import, model: Model) -> None:
        started = self._store.clock.now()
        directory = Path(tempfile.mkdtemp(prefix="together-sim-import-"))
        try:
            async with self._slots:
                revision = await self._import(job, model, directory)
            size = sum(file.size for file in revision.files) / 1e6
            simulated = self._timing.import_fixed + self._timing.import_per_megabyte * size
            elapsed = self._store.clock.now() - started
            await self._store.clock.sleep(self._timing.real(simulated) - elapsed)
        except (SourceRefusedError, LayoutError) as error:
            self._fail(job, f"{error}{self._where(job)}")
        except SourceUnavailableError as error:
            self._restart_or_fail(job, f"{error}{self._where(job)}")
        else:
            self._succeed(job, model, revision)
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    async def _import(self, job: Import, model: Model, directory: Path) -> Revision:
        assert self._fetcher is not None
        files = await self._fetcher.fetch(
            job.remote_url,
            job.token,
            directory,
            lambda done, total: self._progress(job, done, total),
        )
        job.message = "Validating"
        self._event(job, "INFO", "validation.started", f"Validating {len(files)} files")
        base = self._store.catalog.base(model.base_model_id)
        architecture = base[0].architecture if base else ""
        weights = await asyncio.to_thread(inspect, files, model.type, architecture)
        stored = await asyncio.to_thread(self._keep, files)
        return Revision(
            id=self._store.new_id("rv_"),
            created_at=self._store.clock.now(),
            files=stored,
            weights=weights,
        )

    def _keep(self, files: dict[str, Path]) -> list[StoredFile]:
        return [self._blobs.adopt(name, local) for name, local in sorted(files.items())]

    def _progress(self, job: Import, done: int, total: int | None) -> None:
        of = f" of {total / 1e6:.1f}" if total else ""
        job.message = f"Downloading: {done / 1e6:.1f}{of} MB"

    def _succeed(self, job: Import, model: Model, revision: Revision) -> None:
        if self._store.models.get(model.id) is None:
            self._fail(job, "the model was deleted")
            return
        model.revisions.append(revision)
        model.touch(self._store.clock.now())
        self._event(job, "INFO", "job.succeeded", f"Revision {revision.id} created")
        self._status(job, "SUCCEEDED", f"Imported {len(revision.files)} files")

    def _restart_or_fail(self, job: Import, message: str) -> None:
        """ERROR, from which the job goes on by itself as long as it has restarts left."""
        if job.restarts < job.max_restarts:
            self._event(job, "WARN", "job.error", message)
            self._status(job, "ERROR", message)
            return
        message = f"{message}; gave up after {job.restarts} restarts"
        self._event(job, "ERROR", "job.failed", message)
        self._status(job, self.behaviour.exhausted_status, message)

    def _fail(self, job: Import, message: str) -> None:
        self._event(job, "ERROR", "job.failed", message)
        self._status(job, "FAILED", message)

    def _status(self, job: Import, status: ImportStatus, message: str) -> None:
        job.status = status
        job.message = message
        job.touch(self._store.clock.now())
        self._store.changed()

    def _event(
        self, job: Import, level: Literal["INFO", "WARN", "ERROR"], type_: str, message: str
    ) -> None:
        now = self._store.clock.now()
        id_ = f"{job.id}-{len(job.events) + 1}"
        job.events.append(ImportEvent(id=id_, at=now, level=level, type=type_, message=message))

    def _where(self, job: Import) -> str:
        return f" ({job.remote_url})" if self.behaviour.leak_urls else ""
